"""Probe embeddings: the exact twin, the batched default and nearest neighbours."""
