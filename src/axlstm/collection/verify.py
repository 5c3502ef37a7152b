"""Find and name damage in a collection: its tables, its parts, and its recordings."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from axlstm.collection.changes import PartEntry, find_fault, list_parts
from axlstm.collection.folder import CollectionFolder, EncoderEntry, Span
from axlstm.collection.parts import Rows
from axlstm.collection.recordings import Recording, list_recordings
from axlstm.errors import DamageError
from axlstm.store.origin import content_digest
from axlstm.threads import on_all_cores

_MOST_FAULTS = 100  # of the tables, which SQLite would list without an end
_AT_ONCE = 256  # recordings


def verify(
    collection: CollectionFolder, *, recordings: bool = False, progress: Callable[[float], None] = lambda _: None
) -> Iterator[str]:
    """Name each damage: of the tables, of each part, and of what the tables say of its rows.

    Args:
        recordings: whether the recordings are read too, and compared with what was indexed.
        progress: called with 1.0 for each part and recording.
    """
    broken = list(_table_faults(collection))
    yield from broken
    if broken:
        return
    spans: dict[int, list[Span]] = {}
    with collection.snapshot():
        entries = {entry.id: entry for entry in collection.encoders()}
        for entry in entries.values():
            for span in collection.spans(entry):
                spans.setdefault(span.part, []).append(span)
        parts = list_parts(collection)
    for part in parts:
        faults = list(_part_faults(collection, entries[part.encoder], part, spans.pop(part.id, [])))
        if faults and part in list_parts(collection):  # else another process has replaced it meanwhile
            yield from faults
        progress(1.0)
    for number in spans:
        told = f"part {number} is not there, and windows are said to be in it"
        yield f"{collection.folder}: {told}; axlstm index embeds its recordings again"
    if recordings:
        yield from _recording_faults(collection, progress)


def count_work(collection: CollectionFolder, *, recordings: bool) -> int:
    """Count the steps that `verify` reports."""
    return len(list_parts(collection)) + (len(list_recordings(collection)) if recordings else 0)


def _table_faults(collection: CollectionFolder) -> Iterator[str]:
    path = collection.folder / "collection.sqlite"
    try:
        for (told,) in collection.tables.execute(f"PRAGMA integrity_check({_MOST_FAULTS})"):
            if told != "ok":
                yield f"{path}: {told}; put back a copy of the whole collection"
        for table, row, other, _ in collection.tables.execute("PRAGMA foreign_key_check").fetchmany(_MOST_FAULTS):
            yield f"{path}: row {row} of {table} is of none of {other}; put back a copy of the whole collection"
    except sqlite3.DatabaseError as error:
        yield f"{path}: damaged ({error}); put back a copy of the whole collection"


def _part_faults(
    collection: CollectionFolder, entry: EncoderEntry, part: PartEntry, spans: list[Span]
) -> Iterator[str]:
    if fault := find_fault(collection, part):
        yield f"{fault}: {len(spans)} recordings; delete it, and axlstm index embeds them again"
        return
    path = collection.path_of(part.file)
    try:
        rows = collection.part(entry, part.id)
    except DamageError as error:
        yield str(error)
        return
    reached = 0
    for span in sorted(spans, key=lambda span: span.first_row):
        if told := _span_fault(span, rows, reached):
            yield f"{path}: the windows of recording {span.recording} {told}; put back a copy of the whole collection"
        reached = max(reached, span.first_row + span.rows)


def _span_fault(span: Span, rows: Rows, reached: int) -> str:
    if span.rows < 1 or span.first_row < 0 or span.first_row + span.rows > len(rows):
        return f"are said to be rows {span.first_row} to {span.first_row + span.rows}, of {len(rows)}"
    if span.first_row < reached:
        return "are said to be rows of another one"
    own = rows.cut(span.first_row, span.rows)
    if not (own.recording == span.recording).all():
        return "are of another one in the part"
    if not ((own.start_s >= 0) & (own.end_s > own.start_s)).all():
        return "begin behind their ends"
    return ""


def _recording_faults(collection: CollectionFolder, progress: Callable[[float], None]) -> Iterator[str]:
    there = list(list_recordings(collection).values())
    pairs = list(zip(collection.places_of(one.path for one in there), there, strict=True))
    for begin in range(0, len(pairs), _AT_ONCE):
        for told in on_all_cores(lambda pair: _recording_fault(*pair), pairs[begin : begin + _AT_ONCE]):
            if told:
                yield told
            progress(1.0)


def _recording_fault(place: Path, recording: Recording) -> str:
    try:
        size = place.stat().st_size
        with place.open("rb", buffering=0) as file:
            if size == recording.origin.size_bytes and content_digest(file) == recording.origin.digest:
                return ""
    except FileNotFoundError:
        return f"{place}: not there; put it back, relocate the collection, or remove the recording"
    except OSError as error:
        return f"{place}: cannot be read ({error.strerror})"
    return f"{place}: changed since it was indexed; axlstm index embeds it again"
