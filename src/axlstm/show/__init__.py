"""Pictures, pages of one file, and what a thing is in a few facts."""
