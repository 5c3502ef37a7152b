"""Scores of predictions: clips, many probes at once, events."""
