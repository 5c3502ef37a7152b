"""Weights on the disk or the Hub, read and written without executing anything found in them."""
