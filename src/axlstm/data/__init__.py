"""Turn raw audio into shards, and shards into batches of crops."""
