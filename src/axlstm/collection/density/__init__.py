"""Estimate the density of calls: the share of windows in which a label is heard, from a sample that people judge."""
