"""Pretrain an encoder on masked patches of log-mel, from shards of log-mel or audio."""
