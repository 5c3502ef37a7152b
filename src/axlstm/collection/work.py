"""Embed files for a collection: read ahead, computed in groups, and entered with their recordings."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axlstm.audio.read import file_facts
from axlstm.collection.encoders import WindowEncoder
from axlstm.collection.parts import Rows
from axlstm.collection.recorded import read_recorded
from axlstm.collection.writer import PART_FILES, CollectionWriter, FileNotes, IndexTask, make_rows
from axlstm.store.origin import Origin, read_origin
from axlstm.store.work import LONG_SECONDS, FileWork, check_unchanged, read_through

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Ready:
    """A file that was read and is not embedded yet; its sound is None if it is too long to be held in memory."""

    notes: FileNotes
    sound: Any


class IndexWork(FileWork[IndexTask, _Ready]):
    """Embeds files into a collection; windows of neighbouring files are computed together."""

    def __init__(self, encoder: WindowEncoder, writer: CollectionWriter) -> None:
        super().__init__(encoder.limit, PART_FILES, writer.progress)
        self.encoder, self.writer = encoder, writer

    def embed(self, tasks: Iterable[IndexTask]) -> None:
        """Embed all files.

        Raises:
            KeyboardInterrupt: it came, and what was finished is written; the message says how much is kept.
        """
        try:
            super().embed(tasks)
        except KeyboardInterrupt:
            if waiting := self.writer.waiting:
                _log.warning("interrupted: writing the windows of %d recordings that are finished", waiting)
            self.write()
            raise KeyboardInterrupt(f"{self.writer.embedded} recordings of this run are kept") from None

    def name(self, task: IndexTask) -> tuple[Path, Path]:
        return task.file, task.file

    def prepare(self, task: IndexTask) -> _Ready:
        origin = read_origin(task.file, task.name)  # first, so that what is read is of this content or refused
        facts = file_facts(task.file)
        notes = FileNotes(origin, facts, read_recorded(task.file))
        is_long = facts["duration_s"] >= LONG_SECONDS
        ready = _Ready(notes, None if is_long else self.encoder.prepare(task.file))
        check_unchanged(task.file, task.file, origin)
        return ready

    def size(self, ready: _Ready) -> int | None:
        return None if ready.sound is None else self.encoder.size_of(ready.sound)

    def keep(self, group: Sequence[tuple[IndexTask, _Ready]]) -> None:
        if self.writer.interrupts.asked:  # where something swallowed the exception
            raise KeyboardInterrupt
        blocks = self.encoder.embed([ready.sound for _, ready in group])
        rows = [make_rows(block, str(task.file)) for (task, _), block in zip(group, blocks, strict=True)]
        for (task, ready), own in zip(group, rows, strict=True):
            self.writer.add(task, ready.notes, own)

    def embed_long(self, task: IndexTask, ready: _Ready) -> None:
        blocks = read_through(task.file, self._long_blocks(task, ready.notes.origin))
        self.writer.add_long(task, ready.notes, blocks)

    def _long_blocks(self, task: IndexTask, origin: Origin) -> Iterator[Rows]:
        for block in self.encoder.stream(task.file):
            yield make_rows(block, str(task.file))
        check_unchanged(task.file, task.file, origin)

    def waiting(self) -> int:
        return self.writer.waiting

    def write(self) -> None:
        self.writer.write()
