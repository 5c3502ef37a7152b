"""Collections: windows and labels on the disk."""
