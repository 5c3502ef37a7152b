"""Result files, intervals, tables and figures."""
