"""Clips, long recordings and endless sound to embeddings."""
