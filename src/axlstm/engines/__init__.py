"""Compute the encoder by other means than torch in this process: windows in, frames out."""
