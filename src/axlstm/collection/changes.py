"""Change the vectors of a collection: parts come, are merged, and go, and a kill at any moment loses one at most."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from axlstm.collection.folder import CollectionFolder, EncoderEntry, Span
from axlstm.collection.parts import Rows, Waiting, write_part
from axlstm.errors import DamageError
from axlstm.files import clear_dead_parts, writing
from axlstm.seals import crc_of_path

logger = logging.getLogger(__name__)
MOST_ROWS = 65_536
"""Rows of a part, but for a single recording with more."""

_FEW_ROWS = MOST_ROWS // 2  # parts of fewer are merged
_FOLDER = "parts"


@dataclass(frozen=True)
class PartEntry:
    """A part that is ready, as the tables have it."""

    id: int
    encoder: int
    file: str
    rows: int
    bytes: int
    crc32: str


def list_parts(collection: CollectionFolder, encoder: int | None = None) -> list[PartEntry]:
    """List the parts that are ready, of one encoder or of all."""
    rows = collection.tables.execute(
        "SELECT id, encoder, file, rows, bytes, crc32 FROM parts "
        "WHERE state = 'ready' AND encoder = ifnull(?, encoder) ORDER BY id",
        (encoder,),
    )
    return [PartEntry(*row) for row in rows]


@contextmanager
def changing(collection: CollectionFolder) -> Iterator[None]:
    """Hold a collection for changes of its vectors, and put away what dead writers have left.

    Raises:
        InUseError: another process changes it.
        WriteError: it cannot be written.
    """
    with collection.alone():
        clear_unused(collection)
        yield


def clear_unused(collection: CollectionFolder) -> None:
    """Delete the parts that were being written when their writer ended, and those that others have replaced."""
    clear_dead_parts(part_folder(collection))
    rows = collection.tables.execute("SELECT id, file FROM parts WHERE state != 'ready'").fetchall()
    gone = []
    for row in rows:
        path = collection.path_of(row["file"])
        with writing(path), suppress(PermissionError):  # Windows keeps files that are mapped: a later writer deletes it
            path.unlink(missing_ok=True)
            gone.append((row["id"],))
    if gone:
        with collection.transaction():
            collection.tables.executemany("DELETE FROM parts WHERE id = ?", gone)


def add_part(collection: CollectionFolder, encoder: int, rows: Rows, commit: Callable[[int], None]) -> None:
    """Write a part, and enter it into the tables together with what belongs to it.

    Args:
        commit: is called with the number of the part, in the transaction that makes it count.

    Raises:
        WriteError: the disk is full or fails; the part does not count then, and is deleted later.
    """
    tables = collection.tables
    with collection.transaction():
        latest = tables.execute("SELECT seq FROM sqlite_sequence WHERE name = 'parts'").fetchone()
        part = 1 + (latest["seq"] if latest else 0)
        file = f"{_FOLDER}/{part:08d}.arrow"
        tables.execute("INSERT INTO parts VALUES (?, ?, ?, 'writing', ?, 0, '')", (part, encoder, file, len(rows)))
    path = part_folder(collection) / Path(file).name
    crc = write_part(path, rows)
    with collection.transaction():
        values = (path.stat().st_size, crc, part)
        tables.execute("UPDATE parts SET state = 'ready', bytes = ?, crc32 = ? WHERE id = ?", values)
        commit(part)


def part_folder(collection: CollectionFolder) -> Path:
    """Return the folder of the parts; it is made if needed.

    Raises:
        WriteError: it cannot be made.
    """
    folder = collection.folder / _FOLDER
    with writing(folder):
        folder.mkdir(exist_ok=True)
    return folder


def find_fault(collection: CollectionFolder, part: PartEntry, *, quick: bool = False) -> str:
    """Say what is wrong with the file of a part; an empty text if nothing is.

    Args:
        quick: whether the size alone is looked at, not the checksum.
    """
    path = collection.path_of(part.file)
    try:
        there = path.stat().st_size
        if there != part.bytes:
            return f"{path}: {there} bytes, and {part.bytes} were written"
        if not quick and crc_of_path(path) != part.crc32:
            return f"{path}: damaged, as its checksum tells"
    except FileNotFoundError:
        return f"{path} is not there"
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror})"
    return ""


def drop_damaged(collection: CollectionFolder, entry: EncoderEntry) -> None:
    """Forget the windows of damaged parts, with a warning, so that their recordings are embedded again.

    The checksums of large parts, which nothing rewrites, are left to `axlstm collection verify`.
    """
    for part in list_parts(collection, entry.id):
        if fault := find_fault(collection, part, quick=part.rows >= _FEW_ROWS):
            logger.warning("%s; its recordings are embedded again", fault)
            with collection.transaction():
                collection.tables.execute("DELETE FROM spans WHERE part = ?", (part.id,))
                collection.tables.execute("UPDATE parts SET state = 'unused' WHERE id = ?", (part.id,))


def merge_small(collection: CollectionFolder, entry: EncoderEntry) -> None:
    """Put the windows of small parts together in large ones, and delete the small ones.

    Raises:
        DamageError: one of them was damaged after it was written.
        WriteError: the disk is full or fails; the parts stay as they are.
    """
    _rewrite(collection, entry, [part for part in list_parts(collection, entry.id) if part.rows < _FEW_ROWS])
    clear_unused(collection)


def rewrite_wasteful(collection: CollectionFolder, entry: EncoderEntry) -> None:
    """Rewrite the parts with rows that are not in use, and small ones; errors as `merge_small`."""
    used: dict[int, int] = {}
    for span in collection.spans(entry):
        used[span.part] = used.get(span.part, 0) + span.rows
    parts = list_parts(collection, entry.id)
    wasteful = {part.id for part in parts if used.get(part.id, 0) < part.rows}
    _rewrite(collection, entry, [part for part in parts if part.id in wasteful or part.rows < _FEW_ROWS], wasteful)


def _rewrite(
    collection: CollectionFolder,
    entry: EncoderEntry,
    parts: Sequence[PartEntry],
    needed: AbstractSet[int] = frozenset(),
) -> None:
    """Write the windows in use of some parts into new parts, as large as may be.

    Args:
        needed: those that are rewritten even if nothing is put together with them.
    """
    spans: dict[int, list[Span]] = {part.id: [] for part in parts}
    for span in collection.spans(entry):
        if span.part in spans:
            spans[span.part].append(span)
    group: list[PartEntry] = []
    rows = 0
    for part in parts:
        own = sum(span.rows for span in spans[part.id])
        if group and rows + own > MOST_ROWS:
            _write_group(collection, entry, group, spans, needed)
            group, rows = [], 0
        group.append(part)
        rows += own
    _write_group(collection, entry, group, spans, needed)


def _write_group(
    collection: CollectionFolder,
    entry: EncoderEntry,
    group: Sequence[PartEntry],
    spans: dict[int, list[Span]],
    needed: AbstractSet[int],
) -> None:
    if len(group) < 2 and not any(part.id in needed for part in group):
        return
    for part in group:
        if fault := find_fault(collection, part):  # copied, damage would be sealed again
            raise DamageError(f"{fault}; delete it, and axlstm index embeds its recordings again")
    chosen = [span for part in group for span in spans[part.id]]

    def replace(new: int | None) -> None:
        tables, first = collection.tables, 0
        for span in chosen:
            values = (new, first, span.recording, entry.id)
            tables.execute("UPDATE spans SET part = ?, first_row = ? WHERE recording = ? AND encoder = ?", values)
            first += span.rows
        tables.executemany("UPDATE parts SET state = 'unused' WHERE id = ?", [(part.id,) for part in group])

    if not chosen:
        with collection.transaction():
            replace(None)
        return
    with Waiting(entry.size, part_folder(collection)) as waiting:
        for part in group:
            mapped = collection.part(entry, part.id)
            for span in spans[part.id]:
                waiting.add(collection.cut(mapped, span))
        add_part(collection, entry.id, waiting.rows(), replace)
