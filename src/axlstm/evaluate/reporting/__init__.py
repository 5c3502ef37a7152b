"""Report results: files, intervals, tables and figures."""
