"""Measure each claim with one command, which times axlstm and the released algorithm in the same run."""
