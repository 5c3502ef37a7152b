"""Evaluate on HEAR tasks: embeddings, probes, scores, statistics and report."""
