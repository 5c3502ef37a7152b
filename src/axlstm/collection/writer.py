"""Enter recordings with their windows into a collection, as parts of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.collection.changes import MOST_ROWS, add_part, merge_small, part_folder
from axlstm.collection.encoders import NotedEncoder, WindowVectors
from axlstm.collection.folder import CollectionFolder, EncoderEntry, now
from axlstm.collection.headers import Recorded
from axlstm.collection.interrupts import Interrupts
from axlstm.collection.parts import Rows, Waiting, join_rows, to_float16
from axlstm.collection.recordings import add_recording, bring_back, find_removed, known_of, remove_recording
from axlstm.collection.statistics import count_windows, note_statistics, renew_statistics
from axlstm.errors import AudioError
from axlstm.store.origin import Origin
from axlstm.store.work import PART_SECONDS

PART_FILES = 4096
"""The most recordings of a part."""

_MOST_SMALL = 64  # parts of a run before they are merged


@dataclass(frozen=True)
class IndexTask:
    """A file to embed."""

    file: Path
    name: str  # in the collection
    recording: int | None  # the number it has there with this content
    earlier: int | None  # the number it has there with other content


@dataclass(frozen=True)
class FileNotes:
    """The notes of a file that are entered beside its windows; its name in the collection is its place."""

    origin: Origin
    facts: Mapping[str, Any]
    recorded: Recorded


class CollectionWriter:
    """Collects the windows of recordings, and writes them as parts of a collection when they are many.

    Args:
        entry: of the encoder in the collection; None if it is new there.
        progress: called with the part of a file that is entered, 1.0 in all for each.
    """

    def __init__(
        self,
        collection: CollectionFolder,
        encoder: NotedEncoder,
        entry: EncoderEntry | None,
        progress: Callable[[float], None],
        interrupts: Interrupts,
    ) -> None:
        self.collection, self.encoder, self.entry = collection, encoder, entry
        self.progress, self.interrupts = progress, interrupts
        self.embedded = self.windows = self.changed = self.labels_left = 0
        self._part: list[tuple[IndexTask, FileNotes, Rows]] = []  # waits to be written, without numbers yet
        self._part_seconds, self._part_rows = 0.0, 0
        self._small = 0  # parts since the last merge
        self._there = 0 if entry is None else count_windows(collection, entry)
        self._measured = self._there  # windows that the statistics have

    @property
    def waiting(self) -> int:
        """Count the recordings that wait to be written."""
        return len(self._part)

    def finish(self) -> None:
        """Merge small parts, and measure the statistics if they have become old."""
        if self.entry is not None:
            merge_small(self.collection, self.entry)
            renew_statistics(self.collection, self.entry)

    def add(self, task: IndexTask, notes: FileNotes, rows: Rows) -> None:
        """Enter a recording; its rows have no numbers yet."""
        self._part.append((task, notes, rows))
        self._part_seconds += notes.facts["duration_s"]
        self._part_rows += len(rows)
        self.progress(1.0)
        is_full = self._part_seconds >= PART_SECONDS or self._part_rows >= MOST_ROWS
        if is_full or len(self._part) >= PART_FILES:
            self.write()

    def add_long(self, task: IndexTask, notes: FileNotes, blocks: Iterator[Rows]) -> None:
        """Enter a long recording as a part of its own; its windows wait on the disk if they are many.

        Raises:
            AudioError: of the blocks; nothing is entered.
        """
        duration_s, done = max(notes.facts["duration_s"], 1e-9), 0.0
        with Waiting(self.encoder.note.size, part_folder(self.collection)) as waiting:
            (number,) = self._numbers([(task, notes)])
            try:
                for rows in blocks:
                    waiting.add(_with_number(rows, number))
                    reached = min(float(rows.end_s[-1]) / duration_s, 1.0)
                    self.progress(reached - done)
                    done = reached
            except AudioError:
                self.progress(-done)
                raise
            with self.interrupts.held():
                self._commit(waiting.rows(), [(task, notes, number, waiting.count)])
        self.progress(1.0 - done)

    def write(self) -> None:
        """Write what waits."""
        if not self._part:
            return
        with self.interrupts.held():
            part, self._part, self._part_seconds, self._part_rows = self._part, [], 0.0, 0
            numbers = self._numbers([(task, notes) for task, notes, _ in part])
            pairs = list(zip(part, numbers, strict=True))
            rows = join_rows(_with_number(own, number) for (_, _, own), number in pairs)
            self._commit(rows, [(task, notes, number, len(own)) for (task, notes, own), number in pairs])

    def _numbers(self, files: Sequence[tuple[IndexTask, FileNotes]]) -> list[int]:
        """Give the recordings of files numbers: those they have or had, or those that the tables will give next."""
        latest = self.collection.tables.execute("SELECT seq FROM sqlite_sequence WHERE name = 'recordings'").fetchone()
        following = 1 + (latest["seq"] if latest else 0)
        numbers = []
        for task, notes in files:
            known = find_removed(self.collection, notes.origin) if task.recording is None else task.recording
            numbers.append(following if known is None else known)
            following += known is None
        return numbers

    def _commit(self, rows: Rows, entered: Sequence[tuple[IndexTask, FileNotes, int, int]]) -> None:
        """Write a part, and enter its recordings: task, what is known of the file, number, and rows of each."""
        if self.entry is None:
            self.entry = _add_encoder(self.collection, self.encoder)
        entry, tables = self.entry, self.collection.tables

        def enter(part: int) -> None:
            first = 0
            for task, notes, number, count in entered:
                if task.recording is None:
                    recorded = notes.recorded
                    if task.earlier is not None:  # what a table said of it holds for its new content
                        recorded = recorded.over(known_of(self.collection, task.earlier))
                        self.labels_left += remove_recording(self.collection, task.earlier)
                    if not bring_back(self.collection, number, notes.origin):
                        add_recording(self.collection, number, notes.origin, notes.facts, recorded)
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
        if self._there >= 4 * self._measured:
            note_statistics(self.collection, entry, run_ends=False)
            self._measured = self._there


def make_rows(block: WindowVectors, name: str) -> Rows:
    """Round vectors, and refuse those that cannot be kept.

    Args:
        name: of the file, for messages.

    Raises:
        AudioError: some are not finite.
    """
    vectors = to_float16(block.embeddings, name)
    return Rows(np.zeros(len(vectors), dtype=np.int64), block.start_s, block.end_s, vectors)


def _with_number(rows: Rows, recording: int) -> Rows:
    return replace(rows, recording=np.full(len(rows), recording, dtype=np.int64))


def _add_encoder(collection: CollectionFolder, encoder: NotedEncoder) -> EncoderEntry:
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
