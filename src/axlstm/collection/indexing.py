"""Index recordings: find them, embed their windows, and go on where an earlier run ended."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.audio.find import Found, by_place
from axlstm.audio.read import file_facts
from axlstm.collection.changes import MOST_ROWS, add_part, changing, drop_damaged, merge_small, part_folder
from axlstm.collection.collection import Collection, EncoderEntry, now
from axlstm.collection.encoders import WindowEncoder, WindowVectors
from axlstm.collection.headers import Recorded
from axlstm.collection.metadata import MetadataTable, apply_metadata
from axlstm.collection.parts import Rows, Waiting, to_float16
from axlstm.collection.recorded import read_recorded
from axlstm.collection.recordings import (
    Sorted,
    add_recording,
    bring_back,
    find_removed,
    known_of,
    note_places,
    remove_recording,
    sort_files,
)
from axlstm.collection.statistics import count_windows, note_statistics, renew_statistics
from axlstm.errors import AudioError, ConfigError, name_differences
from axlstm.files import is_pipe, readable_name
from axlstm.store.origin import Origin, read_origin
from axlstm.store.work import LONG_SECONDS, PART_SECONDS, FileWork, check_unchanged, read_through

_PART_FILES = 4096  # the most of a part
_MOST_SMALL = 64  # parts of a run before they are merged


@dataclass(frozen=True)
class IndexSummary:
    """What became of all that was asked for: asked = embedded + there + skipped + not sound.

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


@dataclass(frozen=True)
class _Task:
    """A file to embed."""

    file: Path
    name: str  # in the collection
    recording: int | None  # the number it has there with this content
    earlier: int | None  # the number it has there with other content


@dataclass(frozen=True)
class _Ready:
    """What is known of a file before it is embedded; the sound is None if it is too long to be held in memory."""

    origin: Origin
    facts: Mapping[str, Any]
    recorded: Recorded
    sound: Any


def index(
    collection: Collection,
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
    """
    with changing(collection):
        entry = find_entry(collection, encoder)
        if entry is not None:
            drop_damaged(collection, entry)
        places = by_place(found.files)
        files = {collection.name_of(place): file for place, file in places.items() if not is_pipe(file)}
        there = sort_files(collection, files)
        labels_left = note_places(collection, files, there)
        tasks = _plan(collection, files, there, entry)
        work = _Work(collection, encoder, entry, progress)
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


def find_entry(collection: Collection, encoder: WindowEncoder) -> EncoderEntry | None:
    """Find the encoder among those of the collection; None if it is new there.

    Raises:
        ConfigError: there is another one of that name.
    """
    entry = next((entry for entry in collection.encoders() if entry.name == encoder.note.name), None)
    if entry is None:
        return None
    windows = encoder.windows
    here = {
        "window_s": windows.window_s,
        "hop_s": windows.hop_s,
        "source": encoder.note.source,
        **encoder.note.options,
        "fingerprint": encoder.note.fingerprint,
    }
    known = {"window_s": entry.window_s, "hop_s": entry.hop_s, "source": entry.source, "fingerprint": entry.fingerprint}
    compared = {**dict.fromkeys(here), **known, **entry.options}
    here = {**dict.fromkeys(entry.options), **here}
    if encoder.note.fingerprint == entry.fingerprint:  # the same numbers, wherever the weights lie
        here["source"] = entry.source
    if differing := name_differences(compared, here):
        raise ConfigError(
            f"{collection.folder}: encoder {entry.name} was indexed with other settings ({differing}): give the same "
            "ones, or another --name"
        )
    return entry


def _plan(collection: Collection, files: Mapping[str, Path], there: Sorted, entry: EncoderEntry | None) -> list[_Task]:
    """List the files that have no windows as they are now."""
    embedded = {span.recording for span in collection.spans(entry)} if entry is not None else set()
    same = {**there.unchanged, **there.moved}
    tasks = []
    for name, file in files.items():
        if name not in same:
            earlier = there.changed.get(name)
            tasks.append(_Task(file, name, None, None if earlier is None else earlier.id))
        elif same[name].id not in embedded:
            tasks.append(_Task(file, name, same[name].id, None))
    return tasks


def _note_skipped(collection: Collection, skipped: Sequence[tuple[str, str]]) -> None:
    with collection.transaction():
        collection.tables.execute("DELETE FROM skipped")
        rows = [(path, reason, now()) for path, reason in skipped]
        collection.tables.executemany("INSERT OR REPLACE INTO skipped VALUES (?, ?, ?)", rows)


class _Work(FileWork[_Task, _Ready]):
    """Embeds files into parts; windows of neighbouring files are computed together."""

    def __init__(
        self,
        collection: Collection,
        encoder: WindowEncoder,
        entry: EncoderEntry | None,
        progress: Callable[[float], None],
    ) -> None:
        super().__init__(encoder.limit, _PART_FILES, progress)
        self.collection, self.encoder, self.entry = collection, encoder, entry
        self.embedded = self.windows = self.changed = self.labels_left = 0
        self._part: list[tuple[_Task, _Ready, WindowVectors]] = []  # waits to be written
        self._small = 0  # parts since the last merge
        self._there = 0 if entry is None else count_windows(collection, entry)
        self._measured = self._there  # windows that the statistics have

    def embed(self, tasks: Iterable[_Task]) -> None:
        try:
            super().embed(tasks)
        except KeyboardInterrupt:
            self.write()
            raise

    def finish(self) -> None:
        """Merge small parts, and measure the statistics if they have become old."""
        if self.entry is not None:
            merge_small(self.collection, self.entry)
            renew_statistics(self.collection, self.entry)

    def name(self, task: _Task) -> tuple[Path, Path]:
        return task.file, task.file

    def prepare(self, task: _Task) -> _Ready:
        facts = file_facts(task.file)
        origin = read_origin(task.file, task.name)
        recorded = read_recorded(task.file)
        is_long = facts["duration_s"] >= LONG_SECONDS
        ready = _Ready(origin, facts, recorded, None if is_long else self.encoder.prepare(task.file))
        check_unchanged(task.file, task.file, origin)
        return ready

    def size(self, ready: _Ready) -> int | None:
        return None if ready.sound is None else self.encoder.size_of(ready.sound)

    def keep(self, group: Sequence[tuple[_Task, _Ready]]) -> None:
        blocks = self.encoder.embed([ready.sound for _, ready in group])
        for (task, _), block in zip(group, blocks, strict=True):
            to_float16(block.embeddings, str(task.file))  # refuses what cannot be kept
        for (task, ready), block in zip(group, blocks, strict=True):
            self._part.append((task, replace(ready, sound=None), block))
            self.progress(1.0)
            seconds = sum(ready.facts["duration_s"] for _, ready, _ in self._part)
            rows = sum(len(block.start_s) for _, _, block in self._part)
            if seconds >= PART_SECONDS or rows >= MOST_ROWS or len(self._part) >= _PART_FILES:
                self.write()

    def embed_long(self, task: _Task, ready: _Ready) -> None:
        """Write a long file as a part of its own; its windows wait on the disk if they are many."""
        duration_s, done = max(ready.facts["duration_s"], 1e-9), 0.0
        with Waiting(self.encoder.note.size, part_folder(self.collection)) as waiting:
            (number,) = self._numbers([(task, ready)])
            try:
                for block in read_through(task.file, self._long_blocks(task, ready.origin)):
                    waiting.add(_rows([number], [block], task))
                    reached = min(float(block.end_s[-1]) / duration_s, 1.0)
                    self.progress(reached - done)
                    done = reached
            except AudioError:
                self.progress(-done)
                raise
            self._commit(waiting.rows(), [(task, ready, number, waiting.count)])
        self.progress(1.0 - done)

    def _long_blocks(self, task: _Task, origin: Origin) -> Iterator[WindowVectors]:
        yield from self.encoder.stream(task.file)
        check_unchanged(task.file, task.file, origin)

    def waiting(self) -> int:
        return len(self._part)

    def write(self) -> None:
        if not self._part:
            return
        part, self._part = self._part, []
        numbers = self._numbers([(task, ready) for task, ready, _ in part])
        blocks = [block for _, _, block in part]
        rows = _rows(numbers, blocks, part[0][0])
        entered = zip(part, numbers, strict=True)
        self._commit(rows, [(task, ready, number, len(block.start_s)) for (task, ready, block), number in entered])

    def _numbers(self, files: Sequence[tuple[_Task, _Ready]]) -> list[int]:
        """Give the recordings of files numbers: those they have or had, or those that the tables will give next."""
        latest = self.collection.tables.execute("SELECT seq FROM sqlite_sequence WHERE name = 'recordings'").fetchone()
        following = 1 + (latest["seq"] if latest else 0)
        numbers = []
        for task, ready in files:
            known = find_removed(self.collection, ready.origin) if task.recording is None else task.recording
            numbers.append(following if known is None else known)
            following += known is None
        return numbers

    def _commit(self, rows: Rows, entered: Sequence[tuple[_Task, _Ready, int, int]]) -> None:
        """Write a part, and enter its recordings: task, what is known of the file, number, and rows of each."""
        if self.entry is None:
            self.entry = _add_encoder(self.collection, self.encoder)
        entry, tables = self.entry, self.collection.tables

        def enter(part: int) -> None:
            first = 0
            for task, ready, number, count in entered:
                if task.recording is None:
                    recorded = ready.recorded
                    if task.earlier is not None:  # what a table said of it holds for its new content
                        recorded = recorded.over(known_of(self.collection, task.earlier))
                        self.labels_left += remove_recording(self.collection, task.earlier)
                    if not bring_back(self.collection, number, ready.origin):
                        add_recording(self.collection, number, ready.origin, ready.facts, recorded)
                tables.execute("INSERT INTO spans VALUES (?, ?, ?, ?, ?)", (number, entry.id, part, first, count))
                first += count

        add_part(self.collection, entry.id, rows, enter)
        self.embedded += len(entered)
        self.windows += len(rows)
        self.changed += sum(task.earlier is not None for task, _, _, _ in entered)
        self._small += 1
        if self._small >= _MOST_SMALL:
            merge_small(self.collection, entry)
            self._small = 0
        self._there += len(rows)
        if self._there >= 2 * self._measured:
            note_statistics(self.collection, entry, run_ends=False)
            self._measured = self._there


def _rows(numbers: Sequence[int], blocks: Sequence[WindowVectors], task: _Task) -> Rows:
    counts = [len(block.start_s) for block in blocks]
    return Rows(
        np.repeat(np.array(numbers, dtype=np.int64), counts),
        np.concatenate([block.start_s for block in blocks]),
        np.concatenate([block.end_s for block in blocks]),
        to_float16(np.concatenate([block.embeddings for block in blocks]), str(task.file)),
    )


def _add_encoder(collection: Collection, encoder: WindowEncoder) -> EncoderEntry:
    note, windows = encoder.note, encoder.windows
    with collection.transaction():
        collection.tables.execute(
            "INSERT INTO encoders (name, source, fingerprint, size, window_s, hop_s, options, added_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                note.name,
                note.source,
                note.fingerprint,
                note.size,
                windows.window_s,
                windows.hop_s,
                json.dumps(note.options),
                now(),
            ),
        )
    return collection.encoder(note.name)


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
