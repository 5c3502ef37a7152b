"""Bring the content of a recording to this machine, wherever it lies."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from axlstm.errors import AudioError, StoreError, first_line
from axlstm.files import writing
from axlstm.parts.corpora import Corpus, make_corpus
from axlstm.parts.entries import Entry
from axlstm.remote import Store, is_url, skip_reason

_BUFFER_BYTES = 1 << 16


def is_copied(entry: Entry) -> bool:
    """Tell whether the content of a recording has to be copied to be read."""
    return bool(entry.container) or is_url(entry.path)


def fetch(entry: Entry, base: str, copies: Path) -> Path:
    """Return a file with the content of a recording: its own, or a copy among ``copies``, which the caller removes.

    Args:
        base: the folder that relative paths begin at.

    Raises:
        AudioError: it is not there any more, may not be read, is damaged, or has changed since it was planned.
        StoreError: the store fails.
        WriteError: the copy cannot be written.
    """
    if not is_copied(entry):
        return Path(base, entry.path)
    with writing(copies), NamedTemporaryFile(dir=copies, delete=False) as copy:
        try:
            fault = _fault(entry, base, copy.write)
        except BaseException:
            Path(copy.name).unlink()
            raise
    if fault is None:
        return Path(copy.name)
    Path(copy.name).unlink()
    raise fault


def _fault(entry: Entry, base: str, write: Callable[[bytes], Any]) -> AudioError | None:
    """Write the content of a recording, and return what is wrong with it, if anything is."""
    damage: Exception | None = None
    blocks = _blocks(entry, base)
    while True:
        try:
            block = next(blocks, None)
        except (FileNotFoundError, PermissionError) as error:
            return skip_reason(entry.path, error)
        except Exception as error:  # libraries of archives raise nearly anything at damaged ones
            damage = error
            break
        if block is None:
            break
        write(block)
    try:  # asked behind the last block: what was read is what was planned
        has_changed = entry.stamp not in ("", stamp_of(entry.container or entry.path, base)[1])
    except (FileNotFoundError, PermissionError) as error:
        return skip_reason(entry.path, error)
    if has_changed:
        return AudioError(f"{entry.path}: changed since it was planned; embed it into another OUT")
    if isinstance(damage, StoreError):
        raise damage
    return None if damage is None else AudioError(f"{entry.path}: cannot be read ({first_line(damage)})")


def _blocks(entry: Entry, base: str) -> Iterator[bytes]:
    if entry.container:
        yield from open_corpus(entry.container, base, entry.stamp).blocks(entry)
        return
    store = Store(entry.path)
    size = entry.size_bytes if entry.size_bytes >= 0 else store.info(entry.path)["size"]
    if size is None:
        raise ValueError("the server does not say how long it is")
    yield from store.ranges(entry.path, int(size))


def stamp_of(name: str, base: str) -> tuple[int, str]:
    """Return the size of a file, and what changes with its content.

    Raises:
        OSError: it is not there, or does not say.
        StoreError: the store fails.
    """
    if is_url(name):
        info = Store(name).info(name)
        return int(info["size"]), info["stamp"]
    facts = Path(base, name).stat()
    return facts.st_size, str(facts.st_mtime_ns)


@lru_cache(maxsize=2)  # neighbours lie in one file, or in two
def open_corpus(name: str, base: str, stamp: str) -> Corpus:
    """Open a file with recordings in it; it is kept, with what is known of it.

    Args:
        stamp: of the file as it is to be read; for messages and for what is kept.

    Raises:
        OSError: it is not there.
        StoreError: the store fails.
    """
    return make_corpus(io.BufferedReader(_RangedFile(name, base), _BUFFER_BYTES), name, stamp)


class _RangedFile(io.RawIOBase):
    """A file that is read in ranges, and not open between them."""

    def __init__(self, name: str, base: str) -> None:
        self._name = name if is_url(name) else str(Path(base, name))
        self._store = Store(name) if is_url(name) else None
        self._size, _ = stamp_of(name, base)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence])
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        if self._store is None:
            with Path(self._name).open("rb", buffering=0) as file:
                file.seek(self._position)
                content = file.read(end - self._position)
        else:
            content = self._store.read(self._name, self._position, end)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)
