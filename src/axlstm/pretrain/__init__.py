"""Masked-patch pretraining: from shards of log-mel or audio to a trained encoder."""
