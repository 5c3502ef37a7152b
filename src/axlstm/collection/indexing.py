"""Index recordings: find them, embed their windows, and go on where an earlier run ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from axlstm.audio.find import Found, by_place
from axlstm.collection.changes import changing, drop_damaged
from axlstm.collection.encoders import WindowEncoder
from axlstm.collection.folder import CollectionFolder, EncoderEntry, now
from axlstm.collection.interrupts import taking_interrupts
from axlstm.collection.loading import match_entry
from axlstm.collection.metadata import MetadataTable, apply_metadata
from axlstm.collection.recordings import Sorted, note_places, sort_files
from axlstm.collection.work import IndexTask, IndexWork
from axlstm.errors import ConfigError
from axlstm.files import is_pipe, readable_name


@dataclass(frozen=True)
class IndexSummary:
    """Account of everything that was asked for: asked = embedded + there + skipped + not sound.

    An entry that is named or reached in several ways is one.
    """

    asked: int
    embedded: int
    windows: int  # of the embedded ones
    changed: int  # of the embedded ones: files that had other content before
    there: int  # files whose windows were there already
    moved: int  # files whose content the collection has under another path, which it follows
    labels_left: int  # of earlier contents, which files have no more
    gone: tuple[str, ...]  # recordings of the collection that are not on the disk; they are kept
    skipped: tuple[tuple[str, str], ...]  # path and reason
    not_sound: Mapping[str, int]  # entries of folders by suffix, see `axlstm.audio.find.Found`
    unmatched: tuple[str, ...]  # rows of the table that are of no recording


def index(
    collection: CollectionFolder,
    encoder: WindowEncoder,
    found: Found,
    table: MetadataTable | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> IndexSummary:
    """Embed the windows of the files that were found, but for those that the collection has.

    Args:
        table: whose columns all recordings of the collection get.
        progress: called with the part of a file that is done, 1.0 in all for each.

    Raises:
        ConfigError: the collection has another encoder of that name.
        InUseError: another process changes the collection.
        WriteError: the disk is full or fails; the same call goes on from what is finished.
        KeyboardInterrupt: the first SIGINT; what is finished is written, and further ones are ignored meanwhile.
    """
    with taking_interrupts() as interrupts, changing(collection):
        entry = match_entry(collection, encoder)
        if entry is not None:
            drop_damaged(collection, entry)
        places = by_place(found.files)
        named = zip(collection.names_of(places), places.values(), strict=True)
        files = {name: file for name, file in named if not is_pipe(file)}
        there = sort_files(collection, files)
        labels_left = note_places(collection, files, there)
        tasks = _plan(collection, files, there, entry)
        work = IndexWork(collection, encoder, entry, progress, interrupts)
        work.labels_left += labels_left
        for file in places.values():
            if is_pipe(file):
                work.skip(file, "a pipe, which a collection cannot come back to; save it as a file first")
        for _ in range(len(found.files) - len(tasks) - len(work.skipped)):
            progress(1.0)
        work.embed(tasks)
        skipped = [(readable_name(path), readable_name(reason)) for path, reason in found.skipped] + work.skipped
        _note_skipped(collection, skipped)
        unmatched = [] if table is None else apply_metadata(collection, table)
        work.finish()
    asked = found.asked - len(found.files) + len(places)
    had = len(places) - len(tasks) - len(work.skipped) + work.failed
    return IndexSummary(
        asked,
        work.embedded,
        work.windows,
        work.changed,
        had,
        len(there.moved),
        work.labels_left,
        tuple(recording.path for recording in there.gone),
        tuple(skipped),
        found.not_sound,
        tuple(unmatched),
    )


def _plan(
    collection: CollectionFolder, files: Mapping[str, Path], there: Sorted, entry: EncoderEntry | None
) -> list[IndexTask]:
    """List the files that have no windows as they are now."""
    embedded = {span.recording for span in collection.spans(entry)} if entry is not None else set()
    same = {**there.unchanged, **there.moved}
    tasks = []
    for name, file in files.items():
        if name not in same:
            earlier = there.changed.get(name)
            tasks.append(IndexTask(file, name, None, None if earlier is None else earlier.id))
        elif same[name].id not in embedded:
            tasks.append(IndexTask(file, name, same[name].id, None))
    return tasks


def _note_skipped(collection: CollectionFolder, skipped: Sequence[tuple[str, str]]) -> None:
    with collection.transaction():
        collection.tables.execute("DELETE FROM skipped")
        rows = [(path, reason, now()) for path, reason in skipped]
        collection.tables.executemany("INSERT OR REPLACE INTO skipped VALUES (?, ?, ?)", rows)


def common_folder(recordings: Iterable[Path]) -> Path:
    """Return the deepest folder that holds all of the files and folders.

    Raises:
        ConfigError: there is none.
    """
    folders = [(place if place.is_dir() else place.parent).resolve() for place in recordings]
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:
        raise ConfigError("the recordings have no folder in common; name one with --root") from error
