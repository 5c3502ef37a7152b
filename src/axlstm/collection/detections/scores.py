"""Write and read the probabilities of windows: a parquet file with a row for each window, sealed as a whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from axlstm.bounds import MOST_PARQUET, check_parquet, check_types, parse_object
from axlstm.errors import DamageError, DataError, first_line
from axlstm.files import atomic_path
from axlstm.store.origin import ORIGIN_COLUMNS, Origin
from axlstm.store.parquet import check, seal

_KEY = b"axlstm.scores"
_PREFIX = "probability_"  # of a label's column: a label may be called as another column is
_GROUP_ROWS = 15_000
_GROUP_RECORDINGS = 256
_FACTS = {
    "path": pa.string(),
    "duration_s": pa.float64(),
    "sample_rate_hz": pa.int64(),
    "recorded_at": pa.string(),
    **{name: pa.int64() if kind is int else pa.string() for name, kind in ORIGIN_COLUMNS.items()},
}
_TEXTS = [name for name, kind in _FACTS.items() if kind == pa.string()]


@dataclass(frozen=True)
class ScoreSettings:
    """The classifier that probabilities belong to: its fingerprint, its labels and its windows."""

    fingerprint: str
    labels: tuple[str, ...]
    window_s: float
    hop_s: float

    @classmethod
    def from_json(cls, content: bytes) -> ScoreSettings:
        """Read the settings that a file holds.

        Raises:
            ValueError: they are none.
        """
        values = parse_object(content, 16 << 20)
        check_types(values, {"fingerprint": str, "labels": list, "window_s": float, "hop_s": float})
        if values.keys() != cls.__dataclass_fields__.keys() or not all(type(one) is str for one in values["labels"]):
            raise ValueError("settings that are none")
        return cls(**{**values, "labels": tuple(values["labels"])})

    @property
    def schema(self) -> Any:
        """Return the columns of a file."""
        labels = {f"{_PREFIX}{label}": pa.float32() for label in self.labels}
        times = {"start_s": pa.float64(), "end_s": pa.float64()}
        facts = {name: kind for name, kind in _FACTS.items() if name != "path"}
        columns = {"path": _FACTS["path"], **times, **labels, **facts}
        return pa.schema(columns, metadata={_KEY: json.dumps(asdict(self)).encode()})


class ScoredRecording(NamedTuple):
    """A recording whose windows have probabilities, as it was then."""

    path: str
    duration_s: float
    sample_rate_hz: int
    recorded_at: str | None
    origin: Origin


class ScoreBlock(NamedTuple):
    """Consecutive windows of a recording: bounds ``(n,)`` in seconds, probabilities ``(n, L)`` float32."""

    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    probabilities: NDArray[np.float32]

    def cut(self, rows: slice) -> ScoreBlock:
        """Return some windows, as views."""
        return ScoreBlock(self.start_s[rows], self.end_s[rows], self.probabilities[rows])


Piece = tuple[ScoredRecording, ScoreBlock]


def write_scores(path: Path, settings: ScoreSettings, pieces: Iterable[Piece]) -> int:
    """Write the windows of recordings, one after another, complete or not at all; returns how many there are.

    Raises:
        WriteError: the disk is full or fails.
    """
    schema, rows = settings.schema, 0
    options = {"compression": "zstd", "use_dictionary": _TEXTS, "write_page_checksum": True}
    with atomic_path(path) as temporary:
        with pa.OSFile(os.fsencode(temporary), "w") as file, pq.ParquetWriter(file, schema, **options) as writer:
            for group in _groups(pieces):
                table = _make_table(group, schema)
                rows += table.num_rows
                writer.write_table(table)
        seal(temporary)
    return rows


def _groups(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    group: list[Piece] = []
    rows = 0
    for piece in pieces:
        group.append(piece)
        rows += len(piece[1].start_s)
        if rows >= _GROUP_ROWS or len(group) == _GROUP_RECORDINGS:
            yield group
            group, rows = [], 0
    if group:
        yield group


def _make_table(group: list[Piece], schema: Any) -> Any:
    lengths = [len(block.start_s) for _, block in group]
    places = np.repeat(np.arange(len(group)), lengths)
    facts = [{**recording._asdict(), **asdict(recording.origin)} for recording, _ in group]
    columns = {name: pa.array([one[name] for one in facts], kind).take(places) for name, kind in _FACTS.items()}
    start_s, end_s, probabilities = (
        np.concatenate(parts) for parts in zip(*(block for _, block in group), strict=True)
    )
    columns |= {"start_s": start_s, "end_s": end_s}
    of_labels = [name for name in schema.names if name.startswith(_PREFIX)]
    columns |= {name: np.ascontiguousarray(column) for name, column in zip(of_labels, probabilities.T, strict=True)}
    return pa.table([columns[name] for name in schema.names], schema=schema)


class ScoreFile:
    """A file that `write_scores` wrote.

    Raises:
        DamageError: another file, or a damaged one.
        DataError: the disk does not give it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._told():
            check(path, is_needed=True)
            with pa.OSFile(os.fsencode(path)) as opened:
                file = pq.ParquetFile(opened, page_checksum_verification=True, **MOST_PARQUET)
                check_parquet(file.metadata, path.stat().st_size)
                self.settings = ScoreSettings.from_json((file.schema_arrow.metadata or {}).get(_KEY, b""))
                if not file.schema_arrow.equals(self.settings.schema):
                    raise ValueError("columns of other names or types")
                groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
                self._ends = list(accumulate(groups))  # the rows that each row group ends before
                self.recordings = _find_recordings(file)

    def cut(self, rows: slice) -> Iterator[tuple[int, slice]]:
        """Cut rows into those of each row group: its number, and its own rows."""
        begin = 0
        for group, end in enumerate(self._ends):
            own = slice(max(rows.start, begin) - begin, min(rows.stop, end) - begin)
            if own.start < own.stop:
                yield group, own
            begin = end

    def read_group(self, group: int) -> ScoreBlock:
        """Read a row group; errors as the file's."""
        with self._told(), pa.OSFile(os.fsencode(self.path)) as opened:
            file = pq.ParquetFile(opened, page_checksum_verification=True, **MOST_PARQUET)
            labels = [f"{_PREFIX}{label}" for label in self.settings.labels]
            table = file.read_row_group(group, columns=["start_s", "end_s", *labels])
            start_s, end_s = (table.column(name).to_numpy() for name in ("start_s", "end_s"))
            probabilities = np.stack([table.column(name).to_numpy() for name in labels], axis=1)
            if not (np.isfinite(end_s) & (start_s >= 0) & (start_s < end_s)).all():
                raise ValueError("windows that are none")
            if not ((probabilities >= 0) & (probabilities <= 1)).all():  # written so that NaN fails too
                raise ValueError("probabilities that are none")
        return ScoreBlock(start_s, end_s, probabilities)

    def _told(self) -> _Told:
        return _Told(self.path)


class _Told:
    """Turns what a library raises at a file's content into errors that name it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno:
            raise DataError(f"{self._path}: cannot be read ({error.strerror})") from error
        if isinstance(error, Exception):
            raise DamageError(f"{self._path}: damaged, or no file of scores ({first_line(error)})") from error


def _find_recordings(file: Any) -> list[tuple[ScoredRecording, slice]]:
    """List the recordings whose windows follow one another, with their rows."""
    heads: list[tuple[ScoredRecording, int]] = []  # the first row of each
    begin = 0
    for batch in file.iter_batches(_GROUP_ROWS, columns=list(_FACTS)):
        is_head = np.zeros(len(batch), bool)
        is_head[:1] = True
        for name in ("path", "place", "digest"):
            codes = batch.column(name).dictionary_encode().indices.to_numpy(zero_copy_only=False)
            is_head[1:] |= codes[1:] != codes[:-1]
        firsts = np.flatnonzero(is_head)
        for first, values in zip(firsts.tolist(), batch.take(firsts).to_pylist(), strict=True):
            recording = _make_recording(values)
            if not heads or heads[-1][0] != recording:
                heads.append((recording, begin + first))
        begin += len(batch)
    ends = [first for _, first in heads[1:]] + [begin]
    return [(recording, slice(first, end)) for (recording, first), end in zip(heads, ends, strict=True)]


def _make_recording(values: dict[str, Any]) -> ScoredRecording:
    if any(value is None for name, value in values.items() if name != "recorded_at"):
        raise ValueError("facts that are missing")
    origin = Origin(**{name: values.pop(name) for name in ORIGIN_COLUMNS})
    return ScoredRecording(**values, origin=origin)
