"""Turn clips, long recordings and endless sound into embeddings."""
