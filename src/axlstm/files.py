"""Write files that are either complete or absent, and hide what differs between operating systems."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that takes the place of ``path`` when the block ends without an error.

    The content is flushed to the disk before the rename, so that a crash leaves the old file or the new one. Where
    ``path`` is a link, what it points to is replaced.
    """
    temporary = temporary_beside(path)
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: str | Path) -> Path:
    """Make an empty file for `put_in_place`, on the disk of ``path``."""
    target = Path(path).resolve()
    # A name may have 255 bytes, a character up to four of them.
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:50]}.", suffix=".part", dir=target.parent)
    os.close(handle)
    return Path(name)


def put_in_place(temporary: Path, path: str | Path) -> None:
    """Flush a file to the disk and give it the name ``path``."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    temporary.replace(Path(path).resolve())


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk. Windows, which opens no folders, has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Read at most ``size`` bytes of an unbuffered file from ``offset`` on.

    Where processes can be forked, the file's own position, which they share, is neither used nor moved.
    """
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), size, offset)
    file.seek(offset)
    return file.read(size)


def is_pipe(path: Path) -> bool:
    """Tell whether a path is a pipe or a socket, which give their bytes only once."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that no reader ever sees a part of it."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def readable_name(path: str | Path) -> str:
    """Return a name for tables and messages; bytes that are not UTF-8 are written as in Python, ``\\xe9``."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
