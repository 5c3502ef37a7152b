"""Turn what the page asks for into calls of the collection: searches, and labels on windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from axlstm.collection.collection import Collection
from axlstm.collection.labels.saying import say_all
from axlstm.collection.search.hits import Hits
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError
from axlstm.explore.desk import Desk, check_rows
from axlstm.explore.places import NoSuchError
from axlstm.options import Verdict


def find_windows(desk: Desk, asked: Mapping[str, Any], known: str | None) -> dict[str, Any]:
    """Search as `axlstm.collection.collection.Collection.search` does.

    Args:
        asked: ``rows`` and ``unlike`` are windows by their numbers; ``stretches`` are of recordings; ``upload`` is a
            sound that was sent; the others are those of the search.
        known: the name of the windows that the rows are of.
    """

    def run(collection: Collection) -> dict[str, Any]:
        table = desk.table(collection, known)
        query = _examples_of_rows(collection, table, asked["rows"])
        query += [
            _example(collection, place["recording"], place["start_s"], place["end_s"]) for place in asked["stretches"]
        ]
        if asked["upload"] is not None:
            query.append(str(desk.uploads.find(asked["upload"]).path))
        options = ("label", "combine", "count", "one_per_recording", "apart_s", "within", "exact")
        hits = collection.search(
            query,
            unlike=_examples_of_rows(collection, table, asked["unlike"]),
            encoder=asked["encoder"] or table.entry.name,
            **{name: asked[name] for name in options},
            **asked["filters"],
        )
        return describe_hits(table, hits)

    return desk.search(run)


def describe_hits(table: WindowTable, hits: Hits) -> dict[str, Any]:
    """Describe hits as JSON, with their rows in a table if they are windows of its encoder."""
    has_rows = hits.encoder == table.entry.name
    return {
        "hits": [
            {"row": row_of_window(table, hit.recording, hit.start_s) if has_rows else None, **asdict(hit)}
            for hit in hits
        ],
        "compared": hits.compared,
        "exact": hits.exact,
        "encoder": hits.encoder,
        "notes": list(hits.notes),
    }


def row_of_window(table: WindowTable, recording: int, start_s: float) -> int | None:
    """Find the row of the window of a recording that begins at a moment; None if there is none."""
    for span in table.spans_of(recording).tolist():
        windows = table.span_rows(span)
        place = int(windows.start_s.searchsorted(start_s - 1e-3))
        if place < len(windows) and abs(windows.start_s[place] - start_s) < 1e-3:
            return int(table.starts[span]) + place
    return None


def _examples_of_rows(collection: Collection, table: WindowTable, rows: Sequence[int]) -> list[str]:
    check_rows(list(rows), table)
    return [_example(collection, int(table.recordings[table.span_of_row(row)]), *table.bounds(row)) for row in rows]


def _example(collection: Collection, recording: int, start_s: float, end_s: float) -> str:
    """Write a stretch of a recording as an example of a query: by its whole path, which no other file has."""
    row = collection.tables.execute(
        "SELECT path FROM recordings WHERE id = ? AND removed_at IS NULL", (recording,)
    ).fetchone()
    if row is None:
        raise NoSuchError(f"no recording number {recording} in {collection.folder}")
    if not 0 <= start_s < end_s < 1e9:
        raise ConfigError(f"{start_s:g} to {end_s:g} s: expected 0 or more, and an end behind the start")
    return f"{collection.place_of(row['path'])}@{start_s:.6f}-{end_s:.6f}"


def label_windows(
    desk: Desk,
    collection: Collection,
    items: Sequence[Mapping[str, Any]],
    label: str,
    verdict: Verdict,
    author: str,
    known: str | None,
) -> dict[str, list[int]]:
    """Say the same about windows and stretches, in one step that is on the disk when this returns.

    Returns:
        the numbers of the labels, and which of them are new: what was said last already is not entered again.
    """
    stretches = []
    for item in items:
        if set(item) == {"row"}:
            table = desk.table(collection, known)
            check_rows([item["row"]], table)
            stretches.append((int(table.recordings[table.span_of_row(item["row"])]), *table.bounds(item["row"])))
        elif set(item) == {"recording", "start_s", "end_s"}:
            stretches.append((item["recording"], item["start_s"], item["end_s"]))
        else:
            raise ConfigError("items: expected each with a row, or with recording, start_s and end_s")
    latest = collection.tables.execute("SELECT ifnull(max(id), 0) FROM labels").fetchone()[0]
    ids = say_all(collection, stretches, label, verdict=verdict, author=author or desk.author)
    return {"ids": ids, "new": [number for number in ids if number > latest]}
