"""Open a collection: its folder, its recordings and the windows that each encoder made of them."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from axlstm.bounds import check_types, parse_object
from axlstm.collection.parts import Rows, map_part
from axlstm.collection.schema import FILE, connect, transaction
from axlstm.errors import ConfigError, DamageError, DataError, name_some
from axlstm.files import clear_dead_parts, readable_name, write_atomically, writing
from axlstm.locks import locked
from axlstm.seals import object_is_whole, seal_object

if TYPE_CHECKING:
    from axlstm.collection.indexing import IndexSummary
    from axlstm.collection.labels.judgements import Verdict
    from axlstm.collection.search.hits import Hits
    from axlstm.collection.search.query import Combine
    from axlstm.collection.search.searcher import Searcher

Examples = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
_DESCRIPTION = "collection.json"
_FORMAT = "axlstm collection"
FORMAT_VERSION = 1
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


class Collection:
    """A folder of recordings' embeddings and labels. Made by `open` and `create`; close it, or use it in a ``with``.

    Several processes may read and label at once. One at a time may change vectors (`writing`).
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder, self.tables = folder, connection
        self._searchers: dict[int, Searcher] = {}  # by encoder

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the tables, and of what searches keep."""
        self._searchers.clear()
        self.tables.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Change the tables in one step; see `axlstm.collection.schema.transaction`."""
        return transaction(self.tables, self.folder / FILE)

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
        return Path(row["value"])

    def name_of(self, recording: Path) -> str:
        """Return the path of a recording as the collection has it: below the root, or absolute.

        Links to folders are resolved, and a link to a file keeps its own name. Bytes that are no UTF-8 are escaped.
        """
        place = recording.parent.resolve() / recording.name
        root = self.root.resolve()
        return readable_name((place.relative_to(root) if place.is_relative_to(root) else place).as_posix())

    def place_of(self, name: str) -> Path:
        """Return where a recording with this path in the collection lies."""
        place = self.root / PurePosixPath(name)
        if "\\x" in name and not place.exists():  # bytes that `name_of` escaped
            unescaped = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), name.encode())
            return self.root / PurePosixPath(os.fsdecode(unescaped))
        return place

    def index(
        self,
        recordings: Iterable[str | os.PathLike[str]],
        *,
        model: str | None = None,
        name: str = "",
        window_s: float | None = None,
        hop_s: float | None = None,
        metadata: str | os.PathLike[str] | None = None,
        progress: Callable[[float], None] = lambda _: None,
        **options: Any,
    ) -> IndexSummary:
        """Embed the windows of recordings, but for those that are there already; an interrupted call is taken up.

        Args:
            recordings: sound files, or folders to search with all their subfolders.
            model, name, window_s, hop_s, options: see `axlstm.collection.loading.choose_encoder`.
            metadata: a CSV table for all recordings, see `axlstm.collection.metadata`.
            progress: called with the part of a file that is done, 1.0 in all for each.

        Raises:
            AxlstmError: as `axlstm.collection.indexing.index`, or the model cannot be loaded.
        """
        from axlstm.audio.find import find_audio
        from axlstm.collection.indexing import index
        from axlstm.collection.loading import choose_encoder
        from axlstm.collection.metadata import read_metadata

        table = None if metadata is None else read_metadata(Path(metadata))
        found = find_audio(map(Path, recordings), without=self.folder)
        encoder = choose_encoder(self, model, name, window_s, hop_s, **options)
        return index(self, encoder, found, table, progress)

    def search(
        self,
        query: Examples = (),
        *,
        unlike: Examples = (),
        label: str | None = None,
        combine: Combine = "mean",
        count: int = 50,
        encoder: str | None = None,
        one_per_recording: bool = False,
        apart_s: float | None = None,
        within: bool = False,
        exact: bool = False,
        **filters: Any,
    ) -> Hits:
        """Find the windows that sound most like a query. Query and hits are noted in the tables.

        Args:
            query, unlike, label, combine: see `axlstm.collection.search.query.Query`.
            count: of hits, at most.
            encoder: its name, if the collection has several.
            one_per_recording, apart_s: see `axlstm.collection.search.thin.Spacing`.
            within: find where in each hit the query's sound is, by frames of 40 ms.
            exact: compare every window; without it, an approximate index is asked in large collections.
            filters: see `axlstm.collection.search.filters.Filters`.

        Raises:
            AxlstmError: as `axlstm.collection.search.run.search`.
        """
        from axlstm.collection.search.filters import make_filters
        from axlstm.collection.search.query import Query, as_examples
        from axlstm.collection.search.run import search
        from axlstm.collection.search.thin import Spacing

        asked = Query(as_examples(query), as_examples(unlike), label, combine)
        spacing = Spacing(one_per_recording, apart_s)
        chosen = make_filters(filters)
        searcher = self.searcher(encoder)
        return search(searcher, asked, count=count, filters=chosen, spacing=spacing, within=within, exact=exact)

    def searcher(self, encoder: str | None = None) -> Searcher:
        """Return what searches the windows of an encoder; it is kept as long as the collection is open.

        Raises:
            ConfigError: as `encoder`.
            DataError: there are no windows.
        """
        from axlstm.collection.search.searcher import Searcher

        entry = self.encoder(encoder)
        if entry.id not in self._searchers:
            self._searchers[entry.id] = Searcher(self, entry)
        return self._searchers[entry.id]

    def label(
        self,
        recording: str | os.PathLike[str],
        label: str,
        start_s: float | None = None,
        end_s: float | None = None,
        *,
        verdict: Verdict = "yes",
        author: str = "",
    ) -> int:
        """Say whether a label is heard in a stretch of a recording, and return the number of the statement.

        Args:
            recording: its path in the collection, or on the disk.
            start_s, end_s: None is its beginning or end.
            author: who says so; empty for the name of the user.

        Raises:
            DataError: a recording that is not there, or a name or stretch that a label cannot have.
        """
        from axlstm.collection.labels.table import say

        return say(self, recording, label, start_s, end_s, verdict=verdict, author=author)

    def encoders(self) -> list[EncoderEntry]:
        """List the encoders, the first one that was indexed with first."""
        rows = self.tables.execute("SELECT * FROM encoders ORDER BY id").fetchall()
        try:
            return [_entry(row) for row in rows]
        except ValueError as error:
            raise self.damage(str(error)) from error

    def encoder(self, name: str | None = None) -> EncoderEntry:
        """Find an encoder by its name. None takes the only one there is.

        Raises:
            ConfigError: there is none of that name, or several to choose from.
        """
        there = self.encoders()
        chosen = [entry for entry in there if name in (None, entry.name)]
        if len(chosen) == 1:
            return chosen[0]
        names = name_some(entry.name for entry in there) or "none: index recordings first"
        asked = "several encoders, and none was named" if name is None and there else f"no encoder {name or ''}".strip()
        raise ConfigError(f"{self.folder}: {asked}; it has {names}")

    def spans(self, encoder: EncoderEntry) -> list[Span]:
        """List the windows that an encoder made of the recordings that are present, in the order of parts and rows."""
        rows = self.tables.execute(
            "SELECT recording, part, first_row, rows FROM spans WHERE encoder = ? ORDER BY part, first_row",
            (encoder.id,),
        )
        return [Span(*row) for row in rows]

    def rows(self, encoder: EncoderEntry) -> Iterator[Rows]:
        """Give all windows of an encoder, mapped into memory: for each part, its runs of rows in use.

        Raises:
            DamageError: a part is missing or damaged.
        """
        # All of them at once: once it is mapped, a part that another process merges and removes can still be read.
        mapped = [(self.part(encoder, part), runs) for part, runs in self._runs(encoder).items()]
        for part, runs in mapped:
            for first, rows in runs:
                yield self._cut(part, first, rows)

    def windows(self, encoder: EncoderEntry, recording: int) -> Rows | None:
        """Return the windows that an encoder made of a recording, or None if it made none."""
        found = self.tables.execute(
            "SELECT part, first_row, rows FROM spans WHERE encoder = ? AND recording = ?", (encoder.id, recording)
        ).fetchone()
        if found is None:
            return None
        return self._cut(self.part(encoder, found["part"]), found["first_row"], found["rows"])

    def _cut(self, part: Rows, first: int, rows: int) -> Rows:
        if not 0 <= first < first + rows <= len(part):
            raise self.damage(f"windows that are rows {first} to {first + rows} of a part with {len(part)}")
        return part.cut(first, rows)

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

    def _runs(self, encoder: EncoderEntry) -> dict[int, list[tuple[int, int]]]:
        """Join neighbouring spans: first row and number of rows, by part."""
        runs: dict[int, list[tuple[int, int]]] = {}
        for span in self.spans(encoder):
            of_part = runs.setdefault(span.part, [])
            if of_part and sum(of_part[-1]) == span.first_row:
                of_part[-1] = (of_part[-1][0], of_part[-1][1] + span.rows)
            else:
                of_part.append((span.first_row, span.rows))
        return runs

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


def create(folder: str | os.PathLike[str], root: str | os.PathLike[str]) -> Collection:
    """Make an empty collection.

    Args:
        folder: must not be there yet, or be empty.
        root: the folder that paths of recordings are relative to.

    Raises:
        ConfigError: the folder is there and holds something, or the root is no folder.
        WriteError: it cannot be written.
    """
    folder, root = Path(folder), Path(root).resolve()
    if not root.is_dir():
        raise ConfigError(f"{root}: expected a folder, which recordings lie in")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    begun = {FILE, f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-journal", "lock", "lock.holder"}
    clear_dead_parts(folder)
    if {path.name for path in folder.iterdir()} - begun:
        raise ConfigError(f"{folder}: not empty, and no collection; choose another folder")
    connection = connect(folder, new=True)
    with transaction(connection, folder / FILE):
        connection.execute("INSERT OR REPLACE INTO settings VALUES ('root', ?)", (str(root),))
    # Written last: a collection whose making was killed has no description, and is made again.
    about = {"format": _FORMAT, "version": FORMAT_VERSION, "id": uuid.uuid4().hex, "created_at": now()}
    write_atomically(folder / _DESCRIPTION, json.dumps(seal_object(about), indent=2).encode())
    return Collection(folder, connection)


def open(folder: str | os.PathLike[str]) -> Collection:
    """Open a collection.

    Raises:
        DataError: the folder is no collection, a half-copied one, or one of a newer version of this package.
        DamageError: its description or its tables are damaged.
    """
    folder = Path(folder)
    _check_description(folder)
    return Collection(folder, connect(folder))


def is_collection(folder: Path) -> bool:
    """Tell whether a folder says that it is a collection."""
    return (folder / _DESCRIPTION).is_file()


def _check_description(folder: Path) -> None:
    path = folder / _DESCRIPTION
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        kind = "no collection" if not (folder / FILE).exists() else "a half-copied collection; copy the whole folder"
        raise DataError(f"{folder}: {kind} ({_DESCRIPTION} is not there)") from error
    except NotADirectoryError as error:
        raise DataError(f"{folder}: a file; expected the folder of a collection") from error
    try:
        about = parse_object(content)
        check_types(about, {"format": str, "version": int})
        if about["format"] != _FORMAT:
            raise ValueError(f"format {about['format'][:60]!r}, expected {_FORMAT!r}")
        if not object_is_whole(about):
            raise ValueError("its checksum does not fit")
    except ValueError as error:
        raise DamageError(f"{path}: damaged ({error}); put back a copy of this file") from error
    if about["version"] > FORMAT_VERSION:
        raise DataError(
            f"{folder}: a collection of version {about['version']}, and this package knows {FORMAT_VERSION}: "
            "install a newer axlstm"
        )


def now() -> str:
    """Return the time in UTC, to the millisecond, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _entry(row: sqlite3.Row) -> EncoderEntry:
    names = ("id", "name", "source", "fingerprint", "size", "window_s", "hop_s")
    return EncoderEntry(**{name: row[name] for name in names}, options=parse_object(row["options"]))
