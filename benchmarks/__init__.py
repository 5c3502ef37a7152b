"""Benchmarks: one command a claim, ours beside the released algorithm in the same run."""
