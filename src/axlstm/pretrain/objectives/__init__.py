"""Compute losses beside the prediction of log-mel values; all take the tokens of one forward pass of the student."""
