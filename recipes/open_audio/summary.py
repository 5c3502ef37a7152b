"""Tabulate a manifest's hours: by kind, and by licence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from recipes.open_audio.manifest import Row
from recipes.open_audio.packages import KINDS
from recipes.open_audio.reserved import is_reserved


def summarise(rows: Sequence[Row]) -> str:
    """Write a Markdown table of files and hours by kind: all, without copies, and reserved for tests."""
    seen: set[int] = set()
    tested = {row.cluster for row in rows if is_reserved(vars(row))}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        hours = row.duration_s / 3600
        one = counts[row.kind]
        one["files"] += 1
        one["hours"] += hours  # type: ignore[assignment]
        if not row.duplicate_of:
            one["exact"] += hours  # type: ignore[assignment]
        if row.cluster not in seen:
            seen.add(row.cluster)
            one["distinct"] += hours  # type: ignore[assignment]
            if row.cluster in tested:
                one["reserved"] += hours  # type: ignore[assignment]
    lines = [
        "| kind | files | hours | without exact copies | one of each cluster | of that, for tests |",
        "|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        one = counts[kind]
        columns = " | ".join(f"{one[name]:.2f}" for name in ("hours", "exact", "distinct", "reserved"))
        lines.append(f"| {kind} | {one['files']} | {columns} |")
    return "\n".join(lines)


def by_licence(rows: Sequence[Row]) -> str:
    """Write a Markdown table of the hours of each licence and kind."""
    hours: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        hours[row.licence][row.kind] += row.duration_s / 3600  # type: ignore[assignment]
    lines = ["| licence | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
    for licence, of_kind in sorted(hours.items(), key=lambda entry: -entry[1].total()):
        lines.append(f"| {licence} | " + " | ".join(f"{of_kind[kind]:.2f}" for kind in KINDS) + " |")
    return "\n".join(lines)
