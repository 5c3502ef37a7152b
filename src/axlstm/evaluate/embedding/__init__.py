"""Models behind the HEAR API, and the embeddings of a task."""
