"""Let one process at a time into a folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axlstm.errors import AxlstmError
from axlstm.files import writing

LOCK_FILES = ("lock", "lock.holder")


class InUseError(AxlstmError):
    """A folder that another process, or another call in this one, works in."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a folder for this call. The folder is made if needed; the lock ends with the process, however that ends.

    A forked child does not hold the lock, so one that outlives its parent does not keep the folder.

    Raises:
        InUseError: the folder is held already; the message names the process that holds it.
        WriteError: the folder or its lock cannot be written.
    """
    from filelock import FileLock, Timeout

    holder = directory / LOCK_FILES[1]  # not in the lock itself, which Windows lets nobody else read
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(directory / LOCK_FILES[0]).acquire(blocking=False)
        except Timeout as error:  # an OSError
            name = holder.read_text(encoding="utf-8").strip() if holder.is_file() else "another process"
            raise InUseError(f"{directory}: in use by {name}; wait for it to end, or use another folder") from error
    with lock:
        with writing(holder):
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
