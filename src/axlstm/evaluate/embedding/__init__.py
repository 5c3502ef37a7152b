"""Any HEAR-API model to a task's embeddings."""
