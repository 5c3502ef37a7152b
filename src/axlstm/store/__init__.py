"""Embeddings of many files on the disk."""
