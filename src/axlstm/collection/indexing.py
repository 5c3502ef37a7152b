"""Index recordings: find them, embed their windows, and go on where an earlier run ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from axlstm.audio.find import Found, by_place
from axlstm.collection.changes import changing, drop_damaged
from axlstm.collection.encoders import NotedEncoder, WindowEncoder
from axlstm.collection.folder import CollectionFolder, EncoderEntry, now
from axlstm.collection.interrupts import taking_interrupts
from axlstm.collection.loading import match_entry
from axlstm.collection.metadata import MetadataTable, apply_metadata
from axlstm.collection.recordings import Sorted, note_places, sort_files
from axlstm.collection.work import IndexWork
from axlstm.collection.writer import CollectionWriter, IndexTask
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


class Indexing(Protocol):
    """Gives the windows of files to a `CollectionWriter`: by computing them, or out of parts."""

    skipped: list[tuple[str, str]]
    """Path and reason."""
    failed: int
    """The number of skipped tasks; others are skipped before."""

    def skip(self, file: Path | str, reason: str) -> None:
        """Note why a file is left out."""

    def embed(self, tasks: Iterable[IndexTask]) -> None:
        """Enter the windows of all files."""


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
    return enter(collection, encoder, found, table, progress, lambda writer: IndexWork(encoder, writer))


def enter(
    collection: CollectionFolder,
    encoder: NotedEncoder,
    found: Found,
    table: MetadataTable | None,
    progress: Callable[[float], None],
    make_work: Callable[[CollectionWriter], Indexing],
) -> IndexSummary:
    """Enter the files that were found, but for those that the collection has.

    Args:
        table, progress: as for `index`, and so are the errors.
        make_work: makes what gives the windows.
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
        tasks = plan_tasks(collection, files, there, entry)
        writer = CollectionWriter(collection, encoder, entry, progress, interrupts)
        writer.labels_left += labels_left
        work = make_work(writer)
        for file in places.values():
            if is_pipe(file):
                work.skip(file, "a pipe, which a collection cannot come back to; save it as a file first")
        for _ in range(len(found.files) - len(tasks) - len(work.skipped)):
            progress(1.0)
        work.embed(tasks)
        skipped = [(readable_name(path), readable_name(reason)) for path, reason in found.skipped] + work.skipped
        _note_skipped(collection, skipped)
        unmatched = [] if table is None else apply_metadata(collection, table)
        writer.finish()
    asked = found.asked - len(found.files) + len(places)
    had = len(places) - len(tasks) - len(work.skipped) + work.failed
    return IndexSummary(
        asked,
        writer.embedded,
        writer.windows,
        writer.changed,
        had,
        len(there.moved),
        writer.labels_left,
        tuple(recording.path for recording in there.gone),
        tuple(skipped),
        found.not_sound,
        tuple(unmatched),
    )


def plan_tasks(
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
