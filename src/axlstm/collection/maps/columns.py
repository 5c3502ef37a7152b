"""Say of each point of a map what it is coloured by and found again by: recording, start, site, hour, density."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.maps.kept import WindowMap
from axlstm.collection.search.filters import clock_time
from axlstm.collection.search.table import WindowTable

NO_PLACE = 65_535
"""Both coordinates of a window without a place."""

NO_HOUR, NO_SITE = 255, 0
_GRID = 256  # cells on a side, that density is counted in
_BLUR = (1, 4, 6, 4, 1)  # nearly a bell
_MOST_SITES = 255
_LAST = NO_PLACE - 1


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a map: values of all rows ``(n,)``, and what codes mean where they are codes."""

    name: str
    values: NDArray[Any]
    meanings: Sequence[str] = ()


def make_columns(collection: CollectionFolder, table: WindowTable, drawn: WindowMap) -> list[Column]:
    """Make the columns of a map, in the order of the table's rows."""
    x, y = _quantise(drawn.places)
    counts = np.diff(table.starts)
    rows = collection.tables.execute("SELECT id, recorded_at, metadata FROM recordings WHERE removed_at IS NULL")
    facts = {row["id"]: row for row in rows}
    spans = [facts.get(recording) for recording in table.recordings.tolist()]
    sites = [None if row is None else collection.metadata_of(row["metadata"]).get("site") for row in spans]
    names = sorted({str(site) for site in sites if site is not None})[: _MOST_SITES - 1]
    code = {name: number for number, name in enumerate(names, start=1)}
    of_span = np.array([code.get(str(site), NO_SITE) if site is not None else NO_SITE for site in sites], np.uint8)
    start_s = table.start_s
    return [
        Column("x", x),
        Column("y", y),
        Column("recording", np.repeat(table.recordings.astype(np.uint32), counts)),
        Column("start_ms", np.round(1000 * start_s).astype(np.uint32)),
        Column("site", np.repeat(of_span, counts), ["", *names]),
        Column("hour", _hours([None if row is None else row["recorded_at"] for row in spans], counts, start_s)),
        Column("density", _density(x, y)),
    ]


def _quantise(places: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Scale places ``(n, 2)`` to a square of 16 bits, one scale for both directions."""
    found = np.full(places.shape, NO_PLACE, np.uint16)
    known = np.isfinite(places).all(axis=1)
    if known.any():
        low, high = places[known].min(axis=0), places[known].max(axis=0)
        scaled = (places[known] - (low + high) / 2) / max(float((high - low).max()), 1e-9) + 0.5
        found[known] = np.round(np.clip(scaled, 0, 1) * _LAST)
    return found[:, 0], found[:, 1]


def _hours(
    recorded_at: Sequence[str | None], counts: NDArray[np.int64], start_s: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Return the hour of day in which each window begins ``(n,)``, by the recorder's clock."""
    begins = []
    for text in recorded_at:
        moment = clock_time(text)
        begins.append(np.nan if moment is None else 3600 * moment.hour + 60 * moment.minute + moment.second)
    times = np.repeat(np.array(begins, np.float64), counts) + start_s
    known = np.isfinite(times)
    hours = np.full(len(times), NO_HOUR, np.uint8)
    hours[known] = (times[known] // 3600) % 24
    return hours


def _density(x: NDArray[np.uint16], y: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Tell how many points lie around each ``(n,)``, from 0 to 255 in logarithmic steps."""
    known = x != NO_PLACE
    side = (NO_PLACE + 1) // _GRID
    cells = x.astype(np.int64) // side * _GRID + y // side
    counts = np.bincount(cells[known], minlength=_GRID * _GRID).reshape(_GRID, _GRID).astype(np.float64)
    for _ in range(2):  # along one side, and then along the other
        padded = np.pad(counts, ((2, 2), (0, 0)))
        counts = np.stack([weight * padded[at : at + _GRID] for at, weight in enumerate(_BLUR)]).sum(axis=0).T
    logs = np.log1p(counts)
    levels = np.round(255 * logs / max(float(logs.max()), 1e-9)).astype(np.uint8).reshape(-1)
    return np.where(known, levels[cells], 0).astype(np.uint8)


def pack_columns(columns: Sequence[Column], header: dict[str, Any]) -> bytes:
    """Put columns behind a header: its length as uint32, JSON, and the values, all little-endian.

    The JSON ends in spaces, so that the values begin at a multiple of eight. ``columns`` in it has the name, type and
    offset of each, from where the values begin.
    """
    listed, parts, offset = [], [], 0
    for column in columns:
        content = column.values.astype(column.values.dtype.newbyteorder("<")).tobytes()
        meant = {"values": list(column.meanings)} if column.meanings else {}
        listed.append({"name": column.name, "dtype": column.values.dtype.name, "offset": offset, **meant})
        content += bytes(-len(content) % 8)
        parts.append(content)
        offset += len(content)
    text = json.dumps({**header, "columns": listed}, separators=(",", ":")).encode()
    text += b" " * (-(4 + len(text)) % 8)
    return len(text).to_bytes(4, "little") + text + b"".join(parts)
