"""Use embedders inside the benchmarks and tools of others: one module for each, which imports it when it is imported.

What each needs, and what was tried with which version, is in docs/adapters.md.
"""
