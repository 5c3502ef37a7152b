"""Render speech and notes whose labels are known, and teach them."""
