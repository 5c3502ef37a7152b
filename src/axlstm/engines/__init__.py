"""The encoder computed by other means than torch in this process: windows in, frames out."""
