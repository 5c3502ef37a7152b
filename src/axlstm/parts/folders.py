"""Keep an output in a folder: files in it are whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from axlstm.files import atomic_path, clear_dead_parts, write_atomically, writing
from axlstm.locks import locked

DIGEST_BYTES = 16
_READ_BYTES = 1 << 20
PLAN = "_plan/plan.json"
"""The file that makes a folder an output of parts."""

EVENTS = "_events.jsonl"
"""The file with a line for each part that was done or failed."""

WORKING = "_work"
"""The folder in an output that a driver holds while it runs."""


class Folder(Protocol):
    """A place for the files of an output. Names in it are relative, with ``/`` between folders."""

    name: str  # for messages and for other processes, which open it by `axlstm.parts.opening.open_folder`

    def read(self, name: str, begin: int = 0, end: int | None = None) -> bytes:
        """Read the bytes of a file from ``begin`` to ``end``.

        Raises:
            FileNotFoundError: it is not there.
        """

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all.

        Raises:
            WriteError: it cannot be written.
        """

    def publish(self, name: str) -> AbstractContextManager[Path]:
        """Yield a path on this machine to write to, whose content becomes the file when the block ends.

        Raises:
            WriteError: as `write`.
        """

    def append(self, name: str, line: bytes) -> None:
        """Add a line to a file that `lines` reads. Several processes may do so at once."""

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines that `append` wrote; none if there are none."""

    def names(self, folder: str) -> list[str]:
        """List the files of a folder, sorted; none if it is not there."""

    def remove(self, name: str) -> None:
        """Remove a file that may be gone already."""

    def clear(self) -> None:
        """Remove what writers that have ended left unfinished, if the place has such."""

    def at_hand(self, names: Sequence[str]) -> AbstractContextManager[Path]:
        """Yield a folder of this machine with some of the files, for as long as the block runs.

        Raises:
            FileNotFoundError: one is not there.
            WriteError: they cannot be brought here.
        """

    def erase(self) -> None:
        """Remove the output: the plan first, so that what is left is none if this ends in its middle.

        Raises:
            StoreError: the place does not do it.
        """

    def digest(self, name: str) -> tuple[int, str]:
        """Return the size and the digest of a file, as `digest_of` does.

        Raises:
            FileNotFoundError: it is not there.
        """

    def held(self) -> AbstractContextManager[None]:
        """Hold the output for this process alone, where the place can do that.

        Raises:
            InUseError: another process holds it.
        """


class LocalFolder:
    """A folder of this machine, or of a disk that several machines share. See `Folder`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def read(self, name: str, begin: int = 0, end: int | None = None) -> bytes:
        with (self.path / name).open("rb") as file:
            file.seek(begin)
            return file.read() if end is None else file.read(end - begin)

    def write(self, name: str, content: bytes) -> None:
        write_atomically(self._made(name), content)

    @contextmanager
    def publish(self, name: str) -> Iterator[Path]:
        with atomic_path(self._made(name)) as temporary:
            yield temporary

    def append(self, name: str, line: bytes) -> None:
        path = self._made(name)
        with writing(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                if os.write(descriptor, line) != len(line):  # one call: lines of several processes do not mix
                    raise OSError(errno.EIO, "a line was written in part", str(path))
            finally:
                os.close(descriptor)

    def lines(self, name: str) -> Iterator[bytes]:
        try:
            with (self.path / name).open("rb") as file:
                yield from file
        except FileNotFoundError:
            return

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self.path / folder))
        except FileNotFoundError:
            return []

    def clear(self) -> None:
        for folder in (self.path, self.path / "_parts"):
            with suppress(OSError):  # a later run tries again
                clear_dead_parts(folder)

    def remove(self, name: str) -> None:
        with writing(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def at_hand(self, names: Sequence[str]) -> Iterator[Path]:
        for name in names:
            (self.path / name).stat()
        yield self.path

    def erase(self) -> None:
        self.remove(PLAN)
        shutil.rmtree(self.path, ignore_errors=True)

    def digest(self, name: str) -> tuple[int, str]:
        with (self.path / name).open("rb", buffering=0) as file:
            return digest_of(file)

    @contextmanager
    def held(self) -> Iterator[None]:
        try:
            with locked(self.path / WORKING):
                yield
        finally:
            if not (self.path / PLAN).exists():  # nothing came of it, or its parts are erased
                shutil.rmtree(self.path / WORKING, ignore_errors=True)
                for folder in ((self.path / PLAN).parent, self.path):
                    with suppress(OSError):  # it is not empty, or not there
                        folder.rmdir()

    def _made(self, name: str) -> Path:
        path = self.path / name
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path


def digest_of(file: BinaryIO) -> tuple[int, str]:
    """Return the size in bytes and the digest of what is left of a file: BLAKE2b, 32 hex digits."""
    digest, size = hashlib.blake2b(digest_size=DIGEST_BYTES), 0
    while block := file.read(_READ_BYTES):
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()
