"""Keep embeddings of many files on the disk."""
