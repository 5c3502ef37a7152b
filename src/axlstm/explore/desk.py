"""Hold what the requests of a page share: the collection, its windows, the thread that searches, and uploads.

SQLite's connections belong to a thread. So a request opens the tables for itself, which takes a millisecond, and all
that needs searchers or encoders runs in one thread that keeps a collection open.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, TypeVar

from axlstm.collection.collection import Collection
from axlstm.collection.collection import open as open_collection
from axlstm.collection.folder import EncoderEntry
from axlstm.collection.maps.kept import WindowMap, map_path, read_map
from axlstm.collection.search.table import WindowTable, state_of
from axlstm.errors import AxlstmError, ConfigError
from axlstm.explore.jobs import Jobs
from axlstm.explore.places import Places
from axlstm.explore.sounds import Recent
from axlstm.explore.streams import Streams
from axlstm.explore.uploads import Uploads

R = TypeVar("R")
_WARM_UP_AFTER_S = 2.0


class StaleError(AxlstmError):
    """Rows of windows that are not those of the collection any more."""


class Shown(NamedTuple):
    """Windows, what tells their rows from those of others, and their map, if one was drawn."""

    table: WindowTable
    name: str
    map: WindowMap | None


class Desk:
    """Holds what all requests of the page of one collection share.

    Args:
        folder: of the collection.
        author: who labels; empty for the name of the user.
        encoder: whose windows are shown; None takes the first one.
        sounds: the folder of sound that is indexed into the collection, if one was given.
        model: that it is indexed with, as `axlstm index` takes it.
    """

    def __init__(
        self,
        folder: Path,
        author: str = "",
        encoder: str | None = None,
        sounds: Path | None = None,
        model: str | None = None,
    ) -> None:
        self.folder, self.author = folder, author
        self.sounds, self.model = sounds, model
        self.jobs, self.uploads, self.places, self.recent = Jobs(), Uploads(), Places(), Recent()
        self.streams = Streams()
        self.faults: dict[int, str] = {}  # why an encoder could not be loaded
        self._thread = ThreadPoolExecutor(1, "axlstm-search")
        self._lock = threading.Lock()
        self._kept: Collection | None = None  # of the thread alone
        self._chosen = encoder
        self._warming: threading.Timer | None = None
        self._table: WindowTable | None = None
        self.table_name = ""
        """A name of the windows that are shown: other windows have another name, since their rows are others."""

        self._state: tuple[object, ...] = ()
        self._map: WindowMap | None = None
        self._map_state: tuple[int, ...] = ()  # of its file

    def close(self) -> None:
        """End what runs, and let go of the collection."""
        self.jobs.close()
        if self._warming is not None:
            self._warming.cancel()
            self._warming.join()
        self._thread.submit(self._let_go).result()
        self._thread.shutdown()
        self.uploads.close()

    def _let_go(self) -> None:
        if self._kept is not None:
            self._kept.close()

    def collection(self) -> Collection:
        """Open the collection for one request; use it in a ``with``."""
        return open_collection(self.folder)

    def search(self, work: Callable[[Collection], R]) -> R:
        """Run work in the thread that keeps searchers and encoders, one piece after the other."""

        def run() -> R:
            if self._kept is None:
                self._kept = open_collection(self.folder)
            return work(self._kept)

        return self._thread.submit(run).result()

    def warm_up(self) -> None:
        """Load what searches, once, in its thread, when the first view is drawn: it takes seconds of a core."""
        with self._lock:
            if self._warming is None:
                load = partial(self._thread.submit, import_module, "axlstm.collection.search.run")
                self._warming = threading.Timer(_WARM_UP_AFTER_S, load)
                self._warming.daemon = True
                self._warming.start()

    def entry(self, collection: Collection, name: str | None = None) -> EncoderEntry:
        """Find the encoder whose windows are shown, or another one by its name.

        Raises:
            ConfigError: there is none.
        """
        there = collection.encoders()
        wanted = name or self._chosen
        found = next((entry for entry in there if wanted in (None, entry.name)), None)
        return found or collection.encoder(wanted)

    def table(self, collection: Collection, known: str | None = None) -> WindowTable:
        """Return the windows that are shown, mapped again if the collection has others now.

        Args:
            known: the `table_name` that the rows of a request are of, if it names rows.

        Raises:
            DataError: there are no windows.
            StaleError: the rows are of other windows.
        """
        with self._lock:
            table = self._current(collection)
            if known is not None and known != self.table_name:
                raise StaleError("the collection has other windows than the page shows; reload the page")
            return table

    def _current(self, collection: Collection) -> WindowTable:
        entry = self.entry(collection)
        state = (entry.id, *state_of(collection, entry))
        if self._table is None or state != self._state:
            self._table, self._state = WindowTable(collection, entry), state
            self._map, self._map_state, self.table_name = None, (), _name_table(self._table)
        return self._table

    def choose(self, encoder: str) -> None:
        """Show the windows of another encoder."""
        self._chosen = encoder

    def shown(self, collection: Collection) -> Shown:
        """Return the windows that are shown with their map, both of one moment.

        A map is read again if its file was written since, by this process or another one.

        Raises:
            DataError: there are no windows.
        """
        with self._lock:
            table = self._current(collection)
            state = _state_of_file(map_path(self.folder, table.entry))
            if state and state != self._map_state:
                self._map, self._map_state = read_map(self.folder, table) or self._map, state
            return Shown(table, self.table_name, self._map)

    def map(self, collection: Collection) -> WindowMap | None:
        """Return the map of the windows that are shown, if one was drawn."""
        return self.shown(collection).map

    def show_map(self, table: WindowTable, drawn: WindowMap) -> None:
        """Show a map that was drawn of the windows of a table, if these are still shown."""
        with self._lock:
            if self._table is table:
                self._map = drawn


def _state_of_file(path: Path) -> tuple[int, ...]:
    """Return what changes whenever a file is written; nothing if there is none."""
    try:
        facts = path.stat()
    except OSError:
        return ()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _name_table(table: WindowTable) -> str:
    """Hash which row is which window."""
    digest = hashlib.sha256(str(table.entry.id).encode())
    digest.update(table.recordings.tobytes() + table.starts.tobytes())
    return digest.hexdigest()[:16]


def row_numbers(text: str, table: WindowTable, most: int = 1000) -> list[int]:
    """Read rows of a table as a request lists them, ``1,2,3``.

    Raises:
        ConfigError: too many, or something else than rows of the table.
    """
    parts = text.split(",") if text else []
    if len(parts) > most:
        raise ConfigError(f"{len(parts)} rows: expected at most {most}; ask for them in several requests")
    rows = [int(part) if part.isascii() and part.isdecimal() and len(part) < 12 else -1 for part in parts]
    check_rows(rows, table)
    return rows


def check_rows(rows: list[int], table: WindowTable) -> None:
    """Refuse rows that a table does not have, with a `ConfigError`."""
    if any(not 0 <= row < len(table) for row in rows):
        raise ConfigError(f"rows: expected numbers from 0 to {len(table) - 1}, with commas between them")
