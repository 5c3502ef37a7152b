"""Group the windows of a collection by what is known of their recordings, and by the day or hour of the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.search.filters import clock_time
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError, name_some

UNKNOWN = ""
_DAY_S = 86_400


def group_windows(
    collection: CollectionFolder, table: WindowTable, by: Sequence[str]
) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
    """Group windows by columns: day or hour of the recorder's clock, path, device, or one of the metadata.

    Returns:
        the values of each group, `UNKNOWN` where one is not known, in order; and the group of each window ``(n,)``.

    Raises:
        ConfigError: a column that no recording has.
    """
    rows = collection.tables.execute("SELECT * FROM recordings WHERE removed_at IS NULL").fetchall()
    known = {row["id"]: (row, collection.metadata_of(row["metadata"])) for row in rows}
    columns = [_read_column(collection, table, known, name) for name in by]
    codes = np.stack([np.zeros(len(table), np.int64), *(codes for _, codes in columns)])  # (1 + columns, n)
    present, groups = np.unique(codes, axis=1, return_inverse=True)
    values = [tuple(texts[code] for (texts, _), code in zip(columns, one[1:], strict=True)) for one in present.T]
    return values, groups.reshape(-1)


def _read_column(
    collection: CollectionFolder, table: WindowTable, known: dict[int, tuple[Any, dict[str, Any]]], name: str
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the texts of a column in order, and the number of each window's ``(n,)``."""
    if name in ("day", "hour"):
        return _read_clock(table, {number: row["recorded_at"] for number, (row, _) in known.items()}, name)
    if name in ("path", "device"):
        texts = {number: row[name] for number, (row, _) in known.items()}
    else:
        texts = {number: metadata.get(name) for number, (_, metadata) in known.items()}
        if not any(name in metadata for _, metadata in known.values()):
            there = sorted({key for _, metadata in known.values() for key in metadata})
            raise ConfigError(
                f"{collection.folder}: no recording has a column {name!r}; there are day, hour, path, device"
                + (f", {name_some(there, most=20)}" if there else "")
            )
    plain = [UNKNOWN if texts.get(one) is None else str(texts[one]) for one in table.recordings.tolist()]
    present, codes = np.unique(np.array(plain, dtype=object), return_inverse=True)
    return present.tolist(), np.repeat(codes.reshape(-1), np.diff(table.starts))


def _read_clock(
    table: WindowTable, recorded_at: dict[int, str | None], name: str
) -> tuple[list[str], NDArray[np.int64]]:
    moments = {number: clock_time(text) for number, text in recorded_at.items()}
    begins = np.array([_seconds(moments.get(one)) for one in table.recordings.tolist()])
    times = np.repeat(begins, np.diff(table.starts)) + table.start_s  # (n,), NaN where it is not known
    units = np.floor(times / _DAY_S) if name == "day" else np.floor(times % _DAY_S / 3600)
    present, codes = np.unique(np.where(np.isnan(units), -np.inf, units), return_inverse=True)
    return [_name_unit(value, name) for value in present.tolist()], codes.reshape(-1)


def _seconds(moment: datetime | None) -> float:
    return np.nan if moment is None else (moment - datetime(1970, 1, 1)).total_seconds()


def _name_unit(value: float, name: str) -> str:
    if value == -np.inf:
        return UNKNOWN
    return (date(1970, 1, 1) + timedelta(days=value)).isoformat() if name == "day" else f"{int(value):02d}"
