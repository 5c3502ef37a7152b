"""Score predictions: clips, many probes at once, events."""
