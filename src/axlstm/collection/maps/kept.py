"""Keep a map in the cache of a collection, and fit it to the windows that are there now.

The windows of a recording by an encoder never change, so places are kept by recording: a map stays good when parts are
merged and recordings removed, and windows that came later have no place until it is drawn anew.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.bounds import check_types, parse_object
from axlstm.collection.folder import CACHE, EncoderEntry
from axlstm.collection.search.table import WindowTable
from axlstm.files import write_atomically, writing
from axlstm.seals import SEAL_BYTES, is_seal, seal_of

_FORMAT = "axlstm map 1"
_MOST_HEADER_BYTES = 1 << 16
_MOST_BYTES = 1 << 30  # of a map of a hundred million windows


@dataclass(frozen=True, eq=False)
class WindowMap:
    """Places of windows in a plane.

    Args:
        places: of the rows of a table ``(n, 2)`` float32; NaN for those without a place.
        about: how it was drawn, as plain JSON.
    """

    places: NDArray[np.float32]
    about: Mapping[str, Any]

    @property
    def lacking(self) -> int:
        """Count the windows without a place, which came after the map was drawn."""
        return int(np.isnan(self.places[:, 0]).sum())


def map_path(folder: Path, entry: EncoderEntry) -> Path:
    """Return where the map of an encoder lies."""
    return folder / CACHE / f"map-{entry.id}"


def keep_map(folder: Path, table: WindowTable, drawn: WindowMap) -> None:
    """Write a map into the cache of a collection.

    Raises:
        WriteError: the disk is full or fails.
    """
    path = map_path(folder, table.entry)
    about = {"format": _FORMAT, "encoder": _key_of(table.entry), "spans": len(table.recordings), "rows": len(table)}
    header = json.dumps({**about, "about": dict(drawn.about)}).encode()
    arrays = (table.recordings, np.diff(table.starts), drawn.places.astype(np.float32))
    content = len(header).to_bytes(4, "little") + header + b"".join(array.tobytes() for array in arrays)
    with writing(path.parent):
        path.parent.mkdir(exist_ok=True)
    write_atomically(path, content + seal_of(zlib.crc32(content)))


def read_map(folder: Path, table: WindowTable) -> WindowMap | None:
    """Read the map of a table's encoder, fitted to its rows; None if no whole one of this encoder is there."""
    path = map_path(folder, table.entry)
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        content = path.read_bytes()
        about, recordings, counts, places = _parse(content, table.entry)
    except (OSError, ValueError):
        return None
    return WindowMap(_fit(table, recordings, counts, places), about)


def _parse(
    content: bytes, entry: EncoderEntry
) -> tuple[dict[str, Any], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return how a map was drawn, its recordings and their numbers of windows ``(S,)``, and its places ``(n, 2)``.

    Raises:
        ValueError: it is not as it was written, or of another encoder.
    """
    body, seal = content[:-SEAL_BYTES], content[-SEAL_BYTES:]
    if not (is_seal(seal) and seal == seal_of(zlib.crc32(body))):
        raise ValueError("its checksum does not fit")
    length = int.from_bytes(body[:4], "little")
    header = parse_object(body[4 : 4 + length], _MOST_HEADER_BYTES)
    check_types(header, {"format": str, "encoder": str, "spans": int, "rows": int, "about": dict})
    spans, rows, begin = header["spans"], header["rows"], 4 + length
    if header["format"] != _FORMAT or header["encoder"] != _key_of(entry):
        raise ValueError("of another encoder or version")
    if min(spans, rows) < 0 or len(body) != begin + 16 * spans + 8 * rows:
        raise ValueError("of another size than it says")
    recordings = np.frombuffer(body, "<i8", spans, begin)
    counts = np.frombuffer(body, "<i8", spans, begin + 8 * spans)
    if (counts < 0).any() or counts.sum() != rows:
        raise ValueError("counts that do not fit")
    places = np.frombuffer(body, "<f4", 2 * rows, begin + 16 * spans).reshape(-1, 2)
    if np.isinf(places).any():
        raise ValueError("places that are no numbers")
    return header["about"], recordings, counts, places


def _fit(
    table: WindowTable, recordings: NDArray[np.int64], counts: NDArray[np.int64], places: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give each row of a table the place that its window has in a map ``(n, 2)``."""
    fitted = np.full((len(table), 2), np.nan, np.float32)
    ends = np.cumsum(counts)
    known = {
        int(recording): (int(end - count), int(end))
        for recording, count, end in zip(recordings, counts, ends, strict=True)
    }
    for span, recording in enumerate(table.recordings.tolist()):
        begin, end = known.get(recording, (0, 0))
        first, stop = int(table.starts[span]), int(table.starts[span + 1])
        if end - begin == stop - first:
            fitted[first:stop] = places[begin:end]
    return fitted


def _key_of(entry: EncoderEntry) -> str:
    return f"{entry.fingerprint} {entry.window_s:g} {entry.hop_s:g} {entry.size}"
