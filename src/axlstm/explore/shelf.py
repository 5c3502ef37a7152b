"""Give the recordings of a collection as the page shows them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from axlstm.collection.collection import Collection
from axlstm.collection.labels.history import list_history
from axlstm.errors import ConfigError
from axlstm.explore.desk import Desk
from axlstm.explore.places import NoSuchError
from axlstm.files import is_file

_MOST_RECORDINGS = 500
_MOST_WINDOWS = 5000  # whose bounds are given


def list_page_of(desk: Desk, collection: Collection, after: str, like: str, count: int) -> dict[str, Any]:
    """List recordings in the order of their paths.

    Args:
        after: the path that the page before ended with.
        like: a part of the path.

    Raises:
        ConfigError: a count out of range.
    """
    if not 1 <= count <= _MOST_RECORDINGS:
        raise ConfigError(f"{count} recordings: expected 1 to {_MOST_RECORDINGS}")
    entries = collection.encoders()
    encoder = desk.entry(collection).id if entries else 0
    rows = collection.tables.execute(
        "SELECT id, path, duration_s, sample_rate_hz, recorded_at, metadata, "
        "(SELECT rows FROM spans WHERE recording = recordings.id AND encoder = ?) AS windows FROM recordings "
        "WHERE removed_at IS NULL AND path > ? AND instr(lower(path), lower(?)) > 0 ORDER BY path LIMIT ?",
        (encoder, after, like, count),
    ).fetchall()
    total = collection.tables.execute(
        "SELECT count(*) FROM recordings WHERE removed_at IS NULL AND instr(lower(path), lower(?)) > 0", (like,)
    ).fetchone()[0]
    places = collection.places_of([row["path"] for row in rows])
    listed = [
        {
            "id": row["id"],
            "path": row["path"],
            "duration_s": row["duration_s"],
            "rate": row["sample_rate_hz"],
            "site": collection.metadata_of(row["metadata"]).get("site"),
            "recorded_at": row["recorded_at"],
            "windows": row["windows"] or 0,
            "present": is_file(place),
        }
        for row, place in zip(rows, places, strict=True)
    ]
    return {"recordings": listed, "total": total}


def describe_recording(desk: Desk, collection: Collection, number: int) -> dict[str, Any]:
    """Describe a recording: its facts, its windows, and what was said about it.

    Raises:
        NoSuchError: there is none of that number.
    """
    row = collection.tables.execute(
        "SELECT * FROM recordings WHERE id = ? AND removed_at IS NULL", (number,)
    ).fetchone()
    if row is None:
        raise NoSuchError(f"no recording number {number} in {collection.folder}")
    facts = ("id", "path", "duration_s", "sample_rate_hz", "channels", "recorded_at", "latitude", "longitude", "device")
    table = desk.table(collection)
    spans = table.spans_of(number).tolist()
    windows = table.span_rows(spans[0]) if spans else None
    shown = slice(0, _MOST_WINDOWS)
    return {
        **{name: row[name] for name in facts},
        "content": row["digest"],
        "metadata": collection.metadata_of(row["metadata"]),
        "present": is_file(collection.place_of(row["path"])),
        "first_row": int(table.starts[spans[0]]) if spans else None,
        "windows": 0 if windows is None else len(windows),
        "start_s": [] if windows is None else windows.start_s[shown].tolist(),
        "end_s": [] if windows is None else windows.end_s[shown].tolist(),
        "labels": [asdict(said) for said in list_history(collection, recording=number, undone=False, count=1000)],
    }
