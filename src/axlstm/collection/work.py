"""Embed files into the parts of a collection, and enter their recordings with them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.audio.read import file_facts
from axlstm.collection.changes import MOST_ROWS, add_part, merge_small, part_folder
from axlstm.collection.encoders import WindowEncoder, WindowVectors
from axlstm.collection.folder import CollectionFolder, EncoderEntry, now
from axlstm.collection.headers import Recorded
from axlstm.collection.interrupts import Interrupts
from axlstm.collection.parts import Rows, Waiting, join_rows, to_float16
from axlstm.collection.recorded import read_recorded
from axlstm.collection.recordings import add_recording, bring_back, find_removed, known_of, remove_recording
from axlstm.collection.statistics import count_windows, note_statistics, renew_statistics
from axlstm.errors import AudioError
from axlstm.store.origin import Origin, read_origin
from axlstm.store.work import LONG_SECONDS, PART_SECONDS, FileWork, check_unchanged, read_through

_PART_FILES = 4096  # the most of a part
_MOST_SMALL = 64  # parts of a run before they are merged
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexTask:
    """A file to embed."""

    file: Path
    name: str  # in the collection
    recording: int | None  # the number it has there with this content
    earlier: int | None  # the number it has there with other content


@dataclass(frozen=True)
class _Ready:
    """A file that was read and is not embedded yet; its sound is None if it is too long to be held in memory."""

    origin: Origin
    facts: Mapping[str, Any]
    recorded: Recorded
    sound: Any


class IndexWork(FileWork[IndexTask, _Ready]):
    """Embeds files into parts; windows of neighbouring files are computed together."""

    def __init__(
        self,
        collection: CollectionFolder,
        encoder: WindowEncoder,
        entry: EncoderEntry | None,
        progress: Callable[[float], None],
        interrupts: Interrupts,
    ) -> None:
        super().__init__(encoder.limit, _PART_FILES, progress)
        self._interrupts = interrupts
        self.collection, self.encoder, self.entry = collection, encoder, entry
        self.embedded = self.windows = self.changed = self.labels_left = 0
        self._part: list[tuple[IndexTask, _Ready, Rows]] = []  # waits to be written, with rows that have no numbers yet
        self._part_seconds, self._part_rows = 0.0, 0
        self._small = 0  # parts since the last merge
        self._there = 0 if entry is None else count_windows(collection, entry)
        self._measured = self._there  # windows that the statistics have

    def embed(self, tasks: Iterable[IndexTask]) -> None:
        """Embed all files.

        Raises:
            KeyboardInterrupt: it came, and what was finished is written; the message says how much is kept.
        """
        try:
            super().embed(tasks)
        except KeyboardInterrupt:
            if self._part:
                _log.warning("interrupted: writing the windows of %d recordings that are finished", len(self._part))
            self.write()
            raise KeyboardInterrupt(f"{self.embedded} recordings of this run are kept") from None

    def finish(self) -> None:
        """Merge small parts, and measure the statistics if they have become old."""
        if self.entry is not None:
            merge_small(self.collection, self.entry)
            renew_statistics(self.collection, self.entry)

    def name(self, task: IndexTask) -> tuple[Path, Path]:
        return task.file, task.file

    def prepare(self, task: IndexTask) -> _Ready:
        origin = read_origin(task.file, task.name)  # first, so that what is read is of this content or refused
        facts = file_facts(task.file)
        recorded = read_recorded(task.file)
        is_long = facts["duration_s"] >= LONG_SECONDS
        ready = _Ready(origin, facts, recorded, None if is_long else self.encoder.prepare(task.file))
        check_unchanged(task.file, task.file, origin)
        return ready

    def size(self, ready: _Ready) -> int | None:
        return None if ready.sound is None else self.encoder.size_of(ready.sound)

    def keep(self, group: Sequence[tuple[IndexTask, _Ready]]) -> None:
        if self._interrupts.asked:  # where something swallowed the exception
            raise KeyboardInterrupt
        blocks = self.encoder.embed([ready.sound for _, ready in group])
        rows = [_make_rows(block, task) for (task, _), block in zip(group, blocks, strict=True)]
        for (task, ready), own in zip(group, rows, strict=True):
            self._part.append((task, replace(ready, sound=None), own))
            self._part_seconds += ready.facts["duration_s"]
            self._part_rows += len(own)
            self.progress(1.0)
            is_full = self._part_seconds >= PART_SECONDS or self._part_rows >= MOST_ROWS
            if is_full or len(self._part) >= _PART_FILES:
                self.write()

    def embed_long(self, task: IndexTask, ready: _Ready) -> None:
        """Write a long file as a part of its own; its windows wait on the disk if they are many."""
        duration_s, done = max(ready.facts["duration_s"], 1e-9), 0.0
        with Waiting(self.encoder.note.size, part_folder(self.collection)) as waiting:
            (number,) = self._numbers([(task, ready)])
            try:
                for block in read_through(task.file, self._long_blocks(task, ready.origin)):
                    waiting.add(_with_number(_make_rows(block, task), number))
                    reached = min(float(block.end_s[-1]) / duration_s, 1.0)
                    self.progress(reached - done)
                    done = reached
            except AudioError:
                self.progress(-done)
                raise
            with self._interrupts.held():
                self._commit(waiting.rows(), [(task, ready, number, waiting.count)])
        self.progress(1.0 - done)

    def _long_blocks(self, task: IndexTask, origin: Origin) -> Iterator[WindowVectors]:
        yield from self.encoder.stream(task.file)
        check_unchanged(task.file, task.file, origin)

    def waiting(self) -> int:
        return len(self._part)

    def write(self) -> None:
        if not self._part:
            return
        with self._interrupts.held():
            part, self._part, self._part_seconds, self._part_rows = self._part, [], 0.0, 0
            numbers = self._numbers([(task, ready) for task, ready, _ in part])
            pairs = list(zip(part, numbers, strict=True))
            rows = join_rows(_with_number(own, number) for (_, _, own), number in pairs)
            self._commit(rows, [(task, ready, number, len(own)) for (task, ready, own), number in pairs])

    def _numbers(self, files: Sequence[tuple[IndexTask, _Ready]]) -> list[int]:
        """Give the recordings of files numbers: those they have or had, or those that the tables will give next."""
        latest = self.collection.tables.execute("SELECT seq FROM sqlite_sequence WHERE name = 'recordings'").fetchone()
        following = 1 + (latest["seq"] if latest else 0)
        numbers = []
        for task, ready in files:
            known = find_removed(self.collection, ready.origin) if task.recording is None else task.recording
            numbers.append(following if known is None else known)
            following += known is None
        return numbers

    def _commit(self, rows: Rows, entered: Sequence[tuple[IndexTask, _Ready, int, int]]) -> None:
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
        if self._there >= 4 * self._measured:
            note_statistics(self.collection, entry, run_ends=False)
            self._measured = self._there


def _make_rows(block: WindowVectors, task: IndexTask) -> Rows:
    """Round vectors, and refuse those that cannot be kept."""
    vectors = to_float16(block.embeddings, str(task.file))
    return Rows(np.zeros(len(vectors), dtype=np.int64), block.start_s, block.end_s, vectors)


def _with_number(rows: Rows, recording: int) -> Rows:
    return replace(rows, recording=np.full(len(rows), recording, dtype=np.int64))


def _add_encoder(collection: CollectionFolder, encoder: WindowEncoder) -> EncoderEntry:
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
