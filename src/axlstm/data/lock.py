"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axlstm.errors import AxlstmError


class InUseError(AxlstmError):
    """Another process works in the folder."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the folder for this process; the lock falls with the process, however that ends.

    A POSIX record lock: unlike flock it is not inherited by forked children that outlive their parent.

    Raises:
        InUseError: another process holds it; it is named.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "lock"
    with path.open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(file.fileno()).st_nlink:
                raise FileNotFoundError(f"{path}: its holder has just ended and removed it")
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise InUseError(f"{directory}: in use by {holder}; wait for it to end, or use another folder") from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
