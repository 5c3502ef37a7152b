"""Write files that are either complete or absent, and hide what differs between operating systems."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from axlstm.errors import WriteError, remedy_of


@contextmanager
def writing(path: str | Path, kept: str = "") -> Iterator[None]:
    """Turn an error of the disk inside the block into one that names ``path`` and says how to go on.

    Errors about files of other folders pass.

    Args:
        kept: what is there and stays, without a full stop, for the end of the message.

    Raises:
        WriteError: what was written cannot be written.
    """
    try:
        yield
    except OSError as error:
        about = error.filename2 or error.filename
        if isinstance(about, (str, bytes)) and not _is_beside(Path(os.fsdecode(about)), Path(path)):
            raise
        reason = error.strerror or str(error)
        told = f"{path}: cannot be written ({reason}). {remedy_of(error)}"
        raise WriteError(f"{told}. {kept}" if kept else told) from error
    except WriteError as error:
        if not kept:
            raise
        raise WriteError(f"{error}. {kept}") from error


def _is_beside(file: Path, path: Path) -> bool:
    """Tell whether a file lies in the folder of a path, in the path, or in the folder that it is a link to."""
    return any(file.absolute().is_relative_to(of.parent) for of in (path.absolute(), path.resolve()))


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that takes the place of ``path`` when the block ends without an error.

    The content is flushed to the disk before the rename, so that a crash leaves the old file or the new one. Where
    ``path`` is a link, what it points to is replaced.

    Raises:
        WriteError: as `writing`.
    """
    with writing(path):
        part = Part(path)
        try:
            yield part.path
            part.publish()
        finally:
            part.discard()


class Part:
    """A file, or a folder, that is not finished: it stands beside its target under a name of its own.

    For as long as its writer lives, it holds a lock on it. The first part that a process makes in a folder removes
    those of dead writers there.

    Args:
        target: what `publish` replaces. Where it is a link, what it points to is replaced.
        folder: whether the part is a folder, for files that belong together; `publish` does not apply then.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, target: str | Path, folder: bool = False) -> None:
        self.target = Path(target).resolve()
        _clear_once(self.target.parent)
        make = _make_folder if folder else _make_file
        while (made := make(self.target)) is None:
            pass  # a cleaner took it for a dead writer's before it was locked
        self.path, self._descriptor = made

    def publish(self) -> None:
        """Flush the file to the disk and give it the name of the target.

        Raises:
            OSError: the disk is full or fails; the part is still there.
        """
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        self.path.chmod(0o666 & ~umask)
        if os.name == "nt":  # where an open file keeps its name
            self._close()
        self.path.replace(self.target)
        self._close()

    def discard(self) -> None:
        """Remove the part if it is still there. What cannot be removed, a later process removes."""
        if self._descriptor is not None or self.path.exists():
            if os.name == "nt":  # where an open file cannot be removed
                self._close()
            _remove(self.path)
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


_PART = ".axlstm.part"  # of nobody else's files: others that end with .part stay
_HERE = f".{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}{_PART}"  # of this machine
_OLD_SECONDS = 24 * 3600  # since a part of another machine was changed: on some network disks its lock is not seen here


def _prefix(target: Path) -> str:
    return f".{target.name[:40]}."  # a name may have 255 bytes, a character up to four of them


def _make_file(target: Path) -> tuple[Path, int | None] | None:
    handle, name = tempfile.mkstemp(prefix=_prefix(target), suffix=_HERE, dir=target.parent)
    if _lock(handle) is False or not os.fstat(handle).st_nlink:
        os.close(handle)
        return None
    return Path(name), handle


def _make_folder(target: Path) -> tuple[Path, int | None] | None:
    path = Path(tempfile.mkdtemp(prefix=_prefix(target), suffix=_HERE, dir=target.parent))
    if os.name == "nt":  # opens no folders
        return path, None
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    if _lock(handle) is False or not path.exists():
        os.close(handle)
        return None
    return path, handle


def _lock(handle: int) -> bool | None:
    """Lock an open file for as long as it is open: False if another process has it, None where there are no locks."""
    if os.name == "nt":
        return None  # an open file cannot be removed there
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


_cleared: set[Path] = set()  # folders


def _clear_once(folder: Path) -> None:
    if folder not in _cleared:
        _cleared.add(folder)
        with suppress(PermissionError):  # of a folder that can be written but not listed
            clear_dead_parts(folder)


def clear_dead_parts(folder: Path) -> None:
    """Remove the parts in a folder whose writers have ended; those of living ones stay.

    Those of other machines stay for a day, since their locks may not be seen from here.
    """
    with os.scandir(folder) as entries:
        parts = [Path(entry) for entry in entries if is_part(Path(entry))]
    for path in parts:
        with suppress(OSError):
            if not path.name.endswith(_HERE) and time.time() - path.stat().st_mtime < _OLD_SECONDS:
                continue
        try:
            handle = None if os.name == "nt" else os.open(path, os.O_RDONLY)
        except OSError:
            continue
        try:
            # Windows has no such locks. It keeps an open file, but not all of a living writer's folder.
            if (handle is None and path.is_file()) or (handle is not None and _lock(handle)):
                _remove(path)
        finally:
            if handle is not None:
                os.close(handle)


def is_part(path: Path) -> bool:
    """Tell by its name whether a path is a part."""
    return path.name.endswith(_PART) and path.name[0] == "."


def _remove(path: Path) -> None:
    """Remove a part; one that the disk does not let go stays until the next process."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it.

    Raises:
        WriteError: something in it cannot be removed; the message names the folder.
    """
    try:
        shutil.rmtree(folder)
    except OSError as error:  # names what it met by its last name alone
        reason = error.strerror or str(error)
        raise WriteError(f"{folder}: cannot be removed ({reason}). {remedy_of(error)}") from error


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


def is_file(path: Path) -> bool:
    """Tell whether a path leads to a file. One that cannot be followed, or that no file can have, does not."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_gone(path: Path) -> bool:
    """Tell whether there is surely nothing at a path; a disk that fails or refuses does not tell."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that no reader ever sees a part of it."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def readable_name(path: str | Path) -> str:
    """Return a name for tables and messages; bytes that are not UTF-8 are written as in Python, ``\\xe9``."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
