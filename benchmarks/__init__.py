"""Benchmarks: one command for each claim, which times axlstm and the released algorithm in the same run."""
