"""Search a collection: queries, filters, exact and approximate comparison, hits and their files."""
