"""Read the recordings of a part, wherever they lie: what all work on planned recordings has in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from axlstm.audio.read import file_facts
from axlstm.errors import AudioError
from axlstm.parts.contents import fetch, is_copied
from axlstm.parts.entries import Entry
from axlstm.parts.run import Tally
from axlstm.store.origin import UNKNOWN, Origin, hash_place, read_origin
from axlstm.store.work import LONG_SECONDS, FileWork, check_unchanged, read_through

_MOST_FILES = 256  # that are computed together

Piece = TypeVar("Piece")


@dataclass(frozen=True)
class PlannedFile:
    """A recording that was read and is not computed yet.

    Args:
        facts: see `axlstm.audio.read.file_facts`.
        sound: what waits for the encoder; None if the recording is too long to be held in memory.
        content: the file, or a copy of it, which is there until a long recording is done.
        about: what else the work notes of it.
    """

    origin: Origin
    facts: Mapping[str, Any]
    sound: Any
    content: Path
    about: Any = None


class PlannedWork(FileWork[Entry, PlannedFile]):
    """Does the recordings of one part; windows of neighbours are computed together.

    Args:
        limit: size of what is computed together.
        base: the folder that relative paths begin at.
        copies: folder for what is fetched.
    """

    def __init__(self, limit: int, base: str, copies: Path) -> None:
        super().__init__(limit, _MOST_FILES, lambda _: None)
        self.base, self.copies = base, copies
        self.tally = Tally(skipped=self.skipped)
        self._contents: dict[Entry, Path] = {}  # of entries that are or were read

    @abstractmethod
    def read(self, content: Path) -> Any:
        """Read a sound that fits in memory; errors as `FileWork.prepare`."""

    def describe(self, task: Entry, content: Path) -> Any:
        """Note more of a recording, before it is read; errors as `FileWork.prepare`."""

    def count(self, duration_s: float, rows: int) -> None:
        """Count a recording that is done."""
        self.tally.embedded += 1
        self.tally.rows += rows
        self.tally.audio_s += duration_s

    def read_long(self, task: Entry, ready: PlannedFile, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Give what is computed of a long recording. Behind the last piece, its copy is removed if it has one.

        Raises:
            AudioError: it cannot be read any more, or changed meanwhile.
        """

        def checked() -> Iterator[Piece]:
            yield from pieces
            if not is_copied(task):
                check_unchanged(task.path, ready.content, ready.origin)

        yield from read_through(task.path, checked())
        if is_copied(task):
            ready.content.unlink()

    def name(self, task: Entry) -> tuple[Path | str, Path]:
        return task.path, self._contents.get(task, Path(task.path))

    def prepare(self, task: Entry) -> PlannedFile:
        content = self._contents[task] = fetch(task, self.base, self.copies)
        is_kept = False
        try:
            facts = file_facts(content)
            is_long = facts["duration_s"] >= LONG_SECONDS
            origin, about = self._origin(task, content), self.describe(task, content)
            sound = None if is_long else self.read(content)
            if not is_copied(task):
                check_unchanged(task.path, content, origin)
            is_kept = is_long
        finally:
            if is_copied(task) and not is_kept:
                content.unlink()
        return PlannedFile(origin, facts, sound, content, about)

    def _origin(self, task: Entry, content: Path) -> Origin:
        """Note where a recording comes from, and refuse one that is not as it was planned."""
        if is_copied(task):  # compared when it was fetched
            place = hash_place(Path(task.path))
            return replace(read_origin(content, place), modified=UNKNOWN.modified, quick_digest=UNKNOWN.quick_digest)
        origin = read_origin(content, hash_place(content.parent.resolve() / content.name))
        if task.stamp and (task.size_bytes, task.stamp) != (origin.size_bytes, str(origin.modified)):
            raise AudioError(f"{task.path}: changed since it was planned; embed it into another OUT")
        return origin

    def held(self, ready: PlannedFile) -> int:
        """Count the copy of a long recording as a full group, so that few of them lie on the disk."""
        is_copy = ready.content.parent == self.copies
        return self._limit if ready.sound is None and is_copy else super().held(ready)

    def waiting(self) -> int:
        return 0

    def write(self) -> None:
        """Leave it to whoever writes the part, who has everything already."""
