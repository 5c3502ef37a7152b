"""Probe embeddings: the exact twin, the batched default, and probes that have one solution."""
