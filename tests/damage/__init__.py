"""Damaged and hostile files: random edits of everything that is read again, and cases made by hand."""
