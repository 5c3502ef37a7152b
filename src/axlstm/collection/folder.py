"""Read a collection's folder: its encoders, and the windows that each made of the recordings."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from axlstm.bounds import parse_object
from axlstm.collection.parts import Rows, map_part
from axlstm.collection.schema import FILE, transaction
from axlstm.errors import ConfigError, DamageError, DataError, name_some
from axlstm.files import is_gone, readable_name
from axlstm.locks import locked

CACHE = "cache"
"""The folder in that of a collection which holds what can be made again."""

_ATTEMPTS = 3  # to map parts, while another process merges them
_PART_FILE = re.compile(r"parts/\d{8}\.arrow")


@dataclass(frozen=True)
class EncoderEntry:
    """An encoder of a collection, and how it cuts recordings into windows."""

    id: int
    name: str
    source: str
    fingerprint: str
    size: int
    window_s: float
    hop_s: float
    options: dict[str, Any]


@dataclass(frozen=True)
class Span:
    """The windows of one recording: consecutive rows of a part."""

    recording: int
    part: int
    first_row: int
    rows: int


class CollectionFolder:
    """The folder and the tables of a collection, as all work on it needs them. `Collection` adds that work to it."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder, self.tables = folder, connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the tables."""
        self.tables.close()

    def transaction(self, *, flush: bool = True) -> AbstractContextManager[None]:
        """Change the tables in one step; see `axlstm.collection.schema.transaction`."""
        return transaction(self.tables, self.folder / FILE, flush=flush)

    def alone(self) -> AbstractContextManager[None]:
        """Hold the collection for changes of vectors.

        Raises:
            InUseError: another process changes it.
        """
        return locked(self.folder)

    @property
    def root(self) -> Path:
        """Return the folder that the paths of recordings are relative to; another process may move it."""
        row = self.tables.execute("SELECT value FROM settings WHERE name = 'root'").fetchone()
        if row is None or "\0" in row["value"]:
            raise self.damage("no root")
        return find_named(Path(row["value"]))

    def name_of(self, recording: Path) -> str:
        """Return the path of a recording as the collection has it: below the root, or absolute.

        Links to folders are resolved, and a link to a file keeps its own name. Bytes that are no UTF-8 are escaped.
        """
        return self.names_of([recording])[0]

    def names_of(self, recordings: Iterable[Path]) -> list[str]:
        """Return the paths of recordings as `name_of`."""
        root = self.root.resolve()
        resolve = cache(Path.resolve)
        places = (resolve(recording.parent) / recording.name for recording in recordings)
        return [
            readable_name((place.relative_to(root) if place.is_relative_to(root) else place).as_posix())
            for place in places
        ]

    def place_of(self, name: str) -> Path:
        """Return where a recording with this path in the collection lies."""
        return self.places_of([name])[0]

    def places_of(self, names: Iterable[str]) -> list[Path]:
        """Return where recordings with these paths in the collection lie."""
        root = self.root
        return [find_named(root / PurePosixPath(name)) for name in names]

    def encoders(self) -> list[EncoderEntry]:
        """List the encoders, the first one that was indexed with first."""
        rows = self.tables.execute("SELECT * FROM encoders ORDER BY id").fetchall()
        try:
            return [_entry(row) for row in rows]
        except ValueError as error:
            raise self.damage(str(error)) from error

    def encoder(self, name: str | None = None, option: str = "--encoder") -> EncoderEntry:
        """Find an encoder by its name. None takes the only one there is.

        Args:
            option: that names it on the command line.

        Raises:
            ConfigError: there is none of that name, or several to choose from.
        """
        there = self.encoders()
        chosen = [entry for entry in there if name in (None, entry.name)]
        if len(chosen) == 1:
            return chosen[0]
        names = name_some(entry.name for entry in there) or "none: index recordings first"
        asked = "several encoders, and none was named" if name is None and there else f"no encoder {name or ''}".strip()
        choose = f"; choose one with {option}" if there else ""
        raise ConfigError(f"{self.folder}: {asked}; it has {names}{choose}")

    def spans(self, encoder: EncoderEntry) -> list[Span]:
        """List the windows that an encoder made of the recordings that are present, in the order of parts and rows."""
        rows = self.tables.execute(
            "SELECT recording, part, first_row, rows FROM spans WHERE encoder = ? ORDER BY part, first_row",
            (encoder.id,),
        )
        return [Span(*row) for row in rows]

    def map_spans(self, encoder: EncoderEntry) -> tuple[list[Span], dict[int, tuple[str, Rows]]]:
        """List the spans of an encoder as `spans`, and map their parts: checksum and all rows, by number.

        All parts at once: once it is mapped, a part that another process merges and removes can still be read.

        Raises:
            DamageError: a part is missing or damaged, or spans are not in it.
        """
        for attempt in range(_ATTEMPTS):
            spans, entries = self._read_spans(encoder)
            try:
                mapped = {
                    row["id"]: (row["crc32"], map_part(self.path_of(row["file"]), row["rows"], encoder.size))
                    for row in entries
                }
            except DamageError:
                if attempt + 1 == _ATTEMPTS or self._read_spans(encoder)[1] == entries:
                    raise
                continue  # another process has merged it meanwhile
            for span in spans:
                self._check_inside(mapped[span.part][1], span)
            return spans, mapped
        raise AssertionError

    def _read_spans(self, encoder: EncoderEntry) -> tuple[list[Span], list[sqlite3.Row]]:
        """Read the spans and their parts as they are at one moment."""
        with self.snapshot():
            parts = self.tables.execute(
                "SELECT id, file, rows, crc32 FROM parts WHERE id IN (SELECT part FROM spans WHERE encoder = ?) "
                "ORDER BY id",
                (encoder.id,),
            ).fetchall()
            spans = self.spans(encoder)
        if strangers := {span.part for span in spans} - {row["id"] for row in parts}:
            raise self.damage(f"no part {min(strangers)}, which windows are said to be in")
        return spans, parts

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read the tables as they are at one moment, whatever other processes write meanwhile."""
        self.tables.execute("BEGIN")
        try:
            yield
        finally:
            self.tables.execute("COMMIT")

    def rows(self, encoder: EncoderEntry) -> list[Rows]:
        """Return all windows of an encoder, mapped into memory: for each part, its runs of rows in use.

        Raises:
            DamageError: as `map_spans`.
        """
        spans, mapped = self.map_spans(encoder)
        return [mapped[part][1].cut(first, rows) for part, first, rows in _join(spans)]

    def windows(self, encoder: EncoderEntry, recording: int) -> Rows | None:
        """Return the windows that an encoder made of a recording, or None if it made none."""
        found = self.tables.execute(
            "SELECT recording, part, first_row, rows FROM spans WHERE encoder = ? AND recording = ?",
            (encoder.id, recording),
        ).fetchone()
        if found is None:
            return None
        return self.cut(self.part(encoder, found["part"]), Span(*found))

    def cut(self, part: Rows, span: Span) -> Rows:
        """Return the rows of a span.

        Raises:
            DamageError: they are not in the part.
        """
        self._check_inside(part, span)
        return part.cut(span.first_row, span.rows)

    def _check_inside(self, part: Rows, span: Span) -> None:
        first, end = span.first_row, span.first_row + span.rows
        if not 0 <= first < end <= len(part):
            raise self.damage(f"windows that are rows {first} to {end} of a part with {len(part)}")

    def part(self, encoder: EncoderEntry, part: int) -> Rows:
        """Map all rows of a part, those too that are not in use."""
        row = self.tables.execute("SELECT file, rows FROM parts WHERE id = ?", (part,)).fetchone()
        if row is None:
            raise self.damage(f"no part {part}, which windows are said to be in")
        return map_part(self.path_of(row["file"]), row["rows"], encoder.size)

    def path_of(self, file: str) -> Path:
        """Return where the file of a part lies.

        Raises:
            DamageError: a name that no part has: nothing else is read or deleted.
        """
        if not _PART_FILE.fullmatch(file):
            raise self.damage(f"a part called {file[:60]!r}")
        return self.folder / file

    def metadata_of(self, text: str) -> dict[str, Any]:
        """Read the column of that name.

        Raises:
            DamageError: it is no JSON object.
        """
        try:
            return parse_object(text)
        except ValueError as error:
            raise self.damage(f"metadata that are none: {error}") from error

    def damage(self, told: str) -> DamageError:
        """Make the error that says that the tables hold something that nobody has written."""
        return DamageError(f"{self.folder / FILE}: damaged ({told}); put back a copy of the whole collection")

    def statistics(self, encoder: EncoderEntry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean and the deviation of each dimension, ``(size,)`` each, that search standardises with.

        Raises:
            DataError: there are none yet: nothing was indexed with this encoder.
        """
        row = self.tables.execute("SELECT mean, deviation FROM encoders WHERE id = ?", (encoder.id,)).fetchone()
        if row["mean"] is None:
            raise DataError(f"{self.folder}: no windows of {encoder.name} yet; index recordings first")
        if not len(row["mean"]) == len(row["deviation"] or b"") == 8 * encoder.size:
            raise self.damage(f"statistics of another size than {encoder.size}")
        mean, deviation = np.frombuffer(row["mean"]), np.frombuffer(row["deviation"])
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation > 0).all()):
            raise self.damage("statistics that are no numbers")
        return mean, deviation


def find_named(place: Path) -> Path:
    """Return the path that `readable_name` wrote: bytes that it escaped are themselves again."""
    if "\\x" not in str(place) or not is_gone(place):
        return place
    unescaped = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), os.fsencode(place))
    return Path(os.fsdecode(unescaped))


def _join(spans: Iterable[Span]) -> list[tuple[int, int, int]]:
    """Join neighbouring spans to runs: part, first row and number of rows."""
    runs: list[tuple[int, int, int]] = []
    for span in spans:
        part, first, rows = runs[-1] if runs else (None, 0, 0)
        if part == span.part and first + rows == span.first_row:
            runs[-1] = (span.part, first, rows + span.rows)
        else:
            runs.append((span.part, span.first_row, span.rows))
    return runs


def now() -> str:
    """Return the time in UTC, to the millisecond, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _entry(row: sqlite3.Row) -> EncoderEntry:
    names = ("id", "name", "source", "fingerprint", "size", "window_s", "hop_s")
    return EncoderEntry(**{name: row[name] for name in names}, options=parse_object(row["options"]))
