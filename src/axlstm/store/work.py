"""Embed many files: read ahead, computed in groups, and those that fail skipped with a reason."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Generic, TypeVar

from axlstm.errors import AudioError
from axlstm.files import readable_name
from axlstm.store.origin import Origin, has_changed
from axlstm.threads import ahead

LONG_SECONDS = 600.0
"""Length from which on a file is not held in memory as a whole."""

PART_SECONDS = 1800.0
"""Sound of a part: what an interruption can lose."""

Task = TypeVar("Task")
Ready = TypeVar("Ready")
Piece = TypeVar("Piece")


class FileWork(ABC, Generic[Task, Ready]):
    """Embeds files in order. A task says which file, and what is ready of it waits for the encoder.

    Args:
        limit: size of what is computed together; the next files are read while it is.
        most_files: the most that are kept and not written, and so lost by an interruption.
        progress: called with 1.0 for each file that is done or skipped.
    """

    def __init__(self, limit: int, most_files: int, progress: Callable[[float], None]) -> None:
        self.progress = progress
        self.skipped: list[tuple[str, str]] = []
        self.failed = 0  # of the tasks; others are skipped before
        self._limit, self._most_files = limit, most_files
        self._group: list[tuple[Task, Ready]] = []
        self._group_size = 0

    @abstractmethod
    def prepare(self, task: Task) -> Ready:
        """Read a file; called from several threads.

        Raises:
            AudioError, OSError: it cannot be read.
        """

    @abstractmethod
    def size(self, ready: Ready) -> int | None:
        """Return the size of what is ready, in the unit of the limit. None means a long file, of which nothing is."""

    def held(self, ready: Ready) -> int:
        """Return the size of what waits with what is ready, in the unit of the limit; none of a long file by itself."""
        return self.size(ready) or 0

    @abstractmethod
    def keep(self, group: Sequence[tuple[Task, Ready]]) -> None:
        """Compute the embeddings of some files, all of them or none.

        Raises:
            AudioError: one of them has none.
        """

    @abstractmethod
    def embed_long(self, task: Task, ready: Ready) -> None:
        """Write a long file while it is computed.

        Raises:
            AudioError: it cannot be.
        """

    @abstractmethod
    def waiting(self) -> int:
        """Count the files that have been kept and not written."""

    @abstractmethod
    def write(self) -> None:
        """Write what has been kept."""

    @abstractmethod
    def name(self, task: Task) -> tuple[Path | str, Path]:
        """Return the file as it was named, and the one that is read."""

    def embed(self, tasks: Iterable[Task]) -> None:
        """Embed all files."""
        # Closed at once after an error: the threads have ended before what is finished is written.
        with closing(ahead(self.prepare, tasks, self.held, self._limit)) as results:
            for task, result in results:
                try:
                    ready = result.result()
                except (AudioError, OSError) as error:
                    self._fail(task, error)
                    continue
                size = self.size(ready)
                if size is None:
                    self._compute()
                    self.write()
                    try:
                        self.embed_long(task, ready)
                    except AudioError as error:
                        self._fail(task, error)
                    continue
                self._group.append((task, ready))
                self._group_size += size
                if self._group_size >= self._limit or len(self._group) + self.waiting() >= self._most_files:
                    self._compute()
        self._compute()
        self.write()

    def skip(self, file: Path | str, reason: str) -> None:
        """Note why a file is left out."""
        self.skipped.append((readable_name(file), readable_name(reason)))
        self.progress(1.0)

    def _fail(self, task: Task, error: Exception) -> None:
        file, content = self.name(task)
        self.failed += 1
        self.skip(file, str(error).replace(str(content), str(file)))

    def _compute(self) -> None:
        group, self._group, self._group_size = self._group, [], 0
        if not group:
            return
        try:
            self.keep(group)
        except AudioError:  # one of them has no embedding: alone, the others are computed
            for one in group:
                try:
                    self.keep([one])
                except AudioError as error:
                    self._fail(one[0], error)


def check_unchanged(file: Path | str, content: Path, origin: Origin) -> None:
    """Refuse a file whose digest and sound may be of different contents.

    Raises:
        AudioError: it was changed after its origin was read.
    """
    if has_changed(content, origin):
        raise AudioError(f"{file}: changed while it was read; run the same command again when it is complete")


def read_through(file: Path | str, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Give what is computed of a file; an error of its disk becomes one of the sound, apart from those of writing.

    Raises:
        AudioError: it cannot be read any more.
    """
    try:
        yield from pieces
    except OSError as error:
        raise AudioError(f"{file}: cannot be read any more ({error})") from error
