"""Map all windows of an encoder as one table, whose rows have numbers from 0 on."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.folder import CollectionFolder, EncoderEntry
from axlstm.collection.parts import Rows
from axlstm.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

_ROUNDING = 2.0**-12  # of a value to float16, at most, relative to it


@dataclass(frozen=True)
class Statistics:
    """The mean and the deviation of each dimension, ``(D,)`` float64, that vectors are standardised with."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def standardise(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Standardise vectors ``(n, D)``."""
        standard = vectors.astype(np.float64)
        standard -= self.mean
        standard /= self.deviation
        return standard

    @property
    def digest(self) -> str:
        """Identify the numbers, for caches that are made with them."""
        return hashlib.sha256(self.mean.tobytes() + self.deviation.tobytes()).hexdigest()[:16]


def find_statistics(collection: CollectionFolder, entry: EncoderEntry) -> Statistics:
    """Return the statistics that search standardises with.

    A dimension that varies less than rounding to float16 may make it has no say: its deviation is infinite.

    Raises:
        DataError: there are none yet.
    """
    mean, deviation = collection.statistics(entry)
    return Statistics(mean, np.where(deviation > _ROUNDING * np.abs(mean), deviation, np.inf))


@dataclass(frozen=True)
class MappedPart:
    """A part in memory."""

    id: int
    crc32: str
    rows: Rows

    @property
    def vectors(self) -> Tensor:
        """Return the vectors of the rows as a tensor ``(n, D)``, which shares their memory."""
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the memory cannot be written: nobody does
            return torch.from_numpy(self.rows.vectors)


Place = tuple[int, tuple[float, float]]
"""A span of a table, and a stretch of its recording in seconds."""


class Run(NamedTuple):
    """Consecutive rows of the table that are consecutive in a part."""

    part: MappedPart
    first: int  # in the part
    begin: int  # in the table
    rows: int


class WindowTable:
    """The windows of all recordings that are present, as they were when the table was made.

    Args:
        entry: the encoder.

    Raises:
        DataError: there are no windows.
        DamageError: a part is missing or damaged.
    """

    def __init__(self, collection: CollectionFolder, entry: EncoderEntry) -> None:
        self.entry = entry
        listed, mapped = collection.map_spans(entry)
        if not listed:
            raise DataError(f"{collection.folder}: no windows of {entry.name} yet; index recordings first")
        self.parts = {number: MappedPart(number, crc32, rows) for number, (crc32, rows) in mapped.items()}
        self.statistics = find_statistics(collection, entry)
        spans = np.array([(span.recording, span.part, span.first_row, span.rows) for span in listed], dtype=np.int64)
        self.recordings = spans[:, 0]
        """The recording of each span ``(S,)``; the spans are in the order of the rows."""
        self._part_ids, self._first = spans[:, 1], spans[:, 2]
        self.starts = np.concatenate([[0], np.cumsum(spans[:, 3])])
        """The first row of each span, and at the end the number of rows ``(S + 1,)``."""
        self.runs = list(self._join_spans())

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def start_s(self) -> NDArray[np.float64]:
        """Return the starts of all windows in their recordings ``(n,)``, in seconds."""
        return np.concatenate([run.part.rows.start_s[run.first : run.first + run.rows] for run in self.runs])

    def _join_spans(self) -> Iterator[Run]:
        counts = np.diff(self.starts)
        follows = np.zeros(len(counts), dtype=bool)
        follows[1:] = (self._part_ids[1:] == self._part_ids[:-1]) & (self._first[1:] == self._first[:-1] + counts[:-1])
        heads = np.flatnonzero(~follows)
        ends = np.append(heads[1:], len(counts))
        for head, end in zip(heads, ends, strict=True):
            begin = int(self.starts[head])
            part = self.parts[int(self._part_ids[head])]
            yield Run(part, int(self._first[head]), begin, int(self.starts[end]) - begin)

    def span_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the span that each row lies in."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def span_of_row(self, row: int) -> int:
        """Find the span that a row lies in."""
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def bounds(self, row: int) -> tuple[float, float]:
        """Return the start and end of a window in its recording, in seconds."""
        span = self.span_of_row(row)
        windows, place = self.span_rows(span), row - int(self.starts[span])
        return float(windows.start_s[place]), float(windows.end_s[place])

    def span_rows(self, span: int) -> Rows:
        """Return the windows of a span: those of one recording."""
        count = int(self.starts[span + 1] - self.starts[span])
        return self.parts[int(self._part_ids[span])].rows.cut(int(self._first[span]), count)

    def spans_of(self, recording: int) -> NDArray[np.int64]:
        """List the spans of a recording: one, or none."""
        return np.flatnonzero(self.recordings == recording)

    def take_bounds(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the starts and the ends of windows in their recordings ``(m,)``, in seconds."""
        start_s, end_s = np.empty(len(rows)), np.empty(len(rows))
        for part, own, places in self._by_part(rows):
            start_s[own], end_s[own] = part.rows.start_s[places], part.rows.end_s[places]
        return start_s, end_s

    def take_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Copy the vectors of rows ``(m, D)``."""
        vectors = np.empty((len(rows), self.entry.size), np.float16)
        for part, own, places in self._by_part(rows):
            vectors[own] = part.rows.vectors[places]
        return vectors

    def _by_part(self, rows: NDArray[np.int64]) -> Iterator[tuple[MappedPart, NDArray[np.bool_], NDArray[np.int64]]]:
        """Give each part that rows are of, which of them these are, and their places in the part."""
        spans = self.span_of(rows)
        parts, places = self._part_ids[spans], self._first[spans] + rows - self.starts[spans]
        for part in np.unique(parts):
            own = parts == part
            yield self.parts[int(part)], own, places[own]


def state_of(collection: CollectionFolder, entry: EncoderEntry) -> tuple[object, ...]:
    """Return what is another one whenever the windows or the statistics of an encoder have changed."""
    row = collection.tables.execute(
        "SELECT count(*), sum(rows), max(part), min(part) FROM spans WHERE encoder = ?", (entry.id,)
    ).fetchone()
    newest = collection.tables.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'parts'").fetchone()
    return (*row, *newest, find_statistics(collection, entry).digest)
