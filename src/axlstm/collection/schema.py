"""Define the tables of a collection, and bring those of earlier versions up to date."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axlstm.errors import DamageError, DataError, WriteError

FILE = "collection.sqlite"

# Row i of MIGRATIONS makes version i + 1 of version i. Rows are added at the end and never changed.
MIGRATIONS = (
    """
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

    CREATE TABLE encoders (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,           -- by which commands choose it
        source TEXT NOT NULL,                -- what loads it again: a model, a HEAR module, an ONNX file
        fingerprint TEXT NOT NULL,           -- of all that its numbers depend on
        size INTEGER NOT NULL,               -- of a vector
        window_s REAL NOT NULL,
        hop_s REAL NOT NULL,
        options TEXT NOT NULL,               -- JSON object
        mean BLOB, deviation BLOB,           -- float64 of each dimension, which search standardises with
        statistics_rows INTEGER NOT NULL DEFAULT 0,  -- windows that they were computed from
        added_at TEXT NOT NULL
    ) STRICT;

    CREATE TABLE recordings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, also when the row is gone: parts name it
        path TEXT NOT NULL,                  -- below the root, with '/'; absolute if it lies elsewhere
        size_bytes INTEGER NOT NULL,
        modified INTEGER NOT NULL,           -- time of its last change, in ns since 1970
        quick_digest TEXT NOT NULL,
        digest TEXT NOT NULL,                -- of the content
        duration_s REAL NOT NULL,
        sample_rate_hz INTEGER NOT NULL,
        channels INTEGER NOT NULL,
        recorded_at TEXT,                    -- ISO 8601, with its offset from UTC where that is known
        latitude REAL, longitude REAL,
        device TEXT,
        metadata TEXT NOT NULL DEFAULT '{}', -- JSON object: columns of a table, fields of the header
        added_at TEXT NOT NULL,
        removed_at TEXT                      -- the recording is gone, or has other content now
    ) STRICT;
    CREATE UNIQUE INDEX present ON recordings (path) WHERE removed_at IS NULL;
    CREATE INDEX recordings_by_digest ON recordings (digest);

    CREATE TABLE parts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: a cache may tell by it what it was made from
        encoder INTEGER NOT NULL REFERENCES encoders (id),
        file TEXT NOT NULL UNIQUE,           -- below the folder of the collection
        state TEXT NOT NULL CHECK (state IN ('writing', 'ready', 'unused')),  -- only ready ones count
        rows INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        crc32 TEXT NOT NULL
    ) STRICT;

    -- The windows of a recording: consecutive rows of one part. Rows of a part that no span names are unused.
    CREATE TABLE spans (
        recording INTEGER NOT NULL REFERENCES recordings (id),
        encoder INTEGER NOT NULL REFERENCES encoders (id),
        part INTEGER NOT NULL REFERENCES parts (id),
        first_row INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        PRIMARY KEY (recording, encoder)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX spans_of_part ON spans (part);

    CREATE TABLE skipped (                   -- what the last run met and could not use
        path TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT;

    -- What was said about a stretch of a recording. The last row that is not undone counts.
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY,
        recording INTEGER NOT NULL REFERENCES recordings (id),
        start_s REAL NOT NULL,
        end_s REAL NOT NULL,
        low_hz REAL, high_hz REAL,
        label TEXT NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN ('yes', 'no', 'unsure')),
        author TEXT NOT NULL,
        source TEXT NOT NULL,                -- a file that it was imported from, or the command that gave it
        at TEXT NOT NULL,
        undone_at TEXT,
        CHECK (start_s >= 0 AND end_s > start_s)
    ) STRICT;
    CREATE INDEX labels_of_recording ON labels (recording, label);
    CREATE INDEX labels_by_name ON labels (label);

    CREATE TABLE queries (
        id INTEGER PRIMARY KEY,
        encoder INTEGER NOT NULL REFERENCES encoders (id),
        query TEXT NOT NULL,                 -- JSON object
        hits TEXT NOT NULL,                  -- JSON array of [recording, start_s, end_s, score]
        at TEXT NOT NULL
    ) STRICT;
    """,
)
VERSION = len(MIGRATIONS)
_BUSY_MS = 30_000  # that a writer waits for another one
_FAULTS = (sqlite3.DatabaseError, UnicodeDecodeError)  # the latter where a message quotes a damaged name


def connect(folder: Path, *, new: bool = False) -> sqlite3.Connection:
    """Open the tables of a collection, and bring them to the present version.

    A transaction that was acknowledged survives a kill of the process and a power cut (WAL, ``synchronous=FULL``). On a
    disk that cannot be written, the tables can be read.

    Raises:
        DataError: they are not there, a newer version of this package made them, or they were copied half.
        DamageError: the file is no SQLite database, or a damaged one.
    """
    path = folder / FILE
    if not new and not path.is_file():
        raise DataError(f"{path} is not there: {folder} is a half-copied collection; copy the whole folder")
    try:
        connection = _open(path, is_fixed=not new and _is_read_only(folder))
        _migrate(connection, path)
        _check_plain(connection, path)
    except _FAULTS as error:
        raise _translate(error, path) from error
    return connection


def _is_read_only(folder: Path) -> bool:
    """Tell whether nobody can write to the disk of a folder: a disc, a snapshot, a disk that was mounted so."""
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _open(path: Path, is_fixed: bool) -> sqlite3.Connection:
    """Open a database.

    Args:
        is_fixed: whether it is on a disk that cannot be written, where nobody changes it. SQLite needs no files beside
            it then, and all changes are refused.
    """
    pragmas = ["journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"]
    name = str(path)
    if is_fixed:
        log = Path(f"{path}-wal")
        if log.exists() and log.stat().st_size:
            raise DataError(
                f"{path}: copied while it was open, and this disk cannot be written; copy it to one that can"
            )
        name, pragmas = f"{path.absolute().as_uri()}?immutable=1", pragmas[2:]
    connection: _Connection = sqlite3.connect(
        name, timeout=_BUSY_MS / 1000, isolation_level=None, factory=_Connection, uri=is_fixed
    )
    connection.row_factory, connection.path = sqlite3.Row, path
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


class _Connection(sqlite3.Connection):
    """Tables whose errors say what they mean for a user."""

    path = Path()

    def cursor(self, factory: Any = None) -> Any:
        cursor = super().cursor(factory or _Cursor)
        cursor.path = self.path
        return cursor

    def execute(self, *arguments: Any) -> Any:
        return self.cursor().execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        return self.cursor().executemany(*arguments)


class _Cursor(sqlite3.Cursor):
    path = Path()

    def execute(self, *arguments: Any) -> Any:
        with _translated(self.path):
            return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        with _translated(self.path):
            return super().executemany(*arguments)

    def fetchone(self) -> Any:
        with _translated(self.path):
            return super().fetchone()

    def fetchall(self) -> Any:
        with _translated(self.path):
            return super().fetchall()

    def fetchmany(self, *arguments: Any) -> Any:
        with _translated(self.path):
            return super().fetchmany(*arguments)

    def __next__(self) -> Any:
        try:  # without a context, which would cost more than a row
            return super().__next__()
        except _FAULTS as error:
            raise _translate(error, self.path) from error


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        raise _translate(error, path) from error


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    there = connection.execute("PRAGMA user_version").fetchone()[0]
    if there > VERSION:
        raise DataError(f"{path}: tables of version {there}, and this package knows {VERSION}: install a newer axlstm")
    if there == VERSION:
        return
    with transaction(connection, path):
        there = connection.execute("PRAGMA user_version").fetchone()[0]  # another process may have been faster
        for script in MIGRATIONS[there:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _check_plain(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse views and triggers, which could stand for any work: there are none in `MIGRATIONS`."""
    query = "SELECT type, name FROM sqlite_master WHERE type IN ('view', 'trigger') LIMIT 1"
    if (found := connection.execute(query).fetchone()) is not None:
        raise DamageError(
            f"{path}: damaged (a {found['type']} {found['name'][:60]!r}); put back a copy of the collection"
        )


def _statements(script: str) -> Iterator[str]:
    """Cut a script into its statements: ``executescript`` would end the transaction."""
    waiting = ""
    for line in script.splitlines(keepends=True):
        waiting += line
        if sqlite3.complete_statement(waiting):
            yield waiting
            waiting = ""


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path, *, flush: bool = True) -> Iterator[None]:
    """Run a block as one transaction: all of it is in the tables afterwards, or nothing.

    Args:
        flush: wait until it is on the disk. Without, it survives a kill at once, and a power cut after the next
            transaction that is flushed.

    Raises:
        WriteError: the disk is full or fails, or another process holds the tables for half a minute.
        DamageError: the tables are damaged.
    """
    with _translated(path):
        try:
            if not flush:
                connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            if not flush:
                connection.execute("PRAGMA synchronous = FULL")


_REMEDIES = {
    sqlite3.SQLITE_FULL: "Free some space",
    sqlite3.SQLITE_IOERR: "Check the disk",
    sqlite3.SQLITE_READONLY: "Allow it",
    sqlite3.SQLITE_CANTOPEN: "Allow it",
    sqlite3.SQLITE_PERM: "Allow it",
    sqlite3.SQLITE_BUSY: "Another process works on it: wait for it to end",
    sqlite3.SQLITE_LOCKED: "Another process works on it: wait for it to end",
}


def _translate(error: Exception, path: Path) -> Exception:
    """Say what an error of SQLite means for a user: the disk, another process, or damage."""
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest tells where in SQLite it happened
    if remedy := _REMEDIES.get(kind):
        return WriteError(f"{path}: cannot be written ({error}). {remedy}, and run the same command again to go on")
    return DamageError(f"{path}: damaged ({error}); put back a copy of the whole collection")
