"""The benchmarks' comparison with committed ratios, and the table of the document."""

from __future__ import annotations

from benchmarks.check import compare
from benchmarks.table import table


def test_what_became_slower_is_told() -> None:
    known = {"embed": [4.0, 5.0, 6.0], "folder": [8.0, 8.0, 8.0], "gone": [1.0, 1.0, 1.0]}
    measured = {"embed": [4.0, 4.4, 5.0], "folder": [7.0, 7.5, 8.0], "new": [1.0, 1.0, 1.0]}
    (told,) = compare(measured, known)
    assert told == "worse: embed: 4.40 (up to 5.00), committed 5.00: 12% slower beside its baseline"


def test_the_documents_table_is_that_of_the_results() -> None:
    assert table(check=True) == 0, "python -m benchmarks table writes it"
