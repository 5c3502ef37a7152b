"""Define errors about packages, beside those of axlstm."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axlstm.errors import AxlstmError

RESERVE_BYTES = 1 << 30
"""Left free on the disk, whatever is fetched."""


class GoneError(AxlstmError):
    """The registry does not give a package."""


class CorruptArchiveError(AxlstmError):
    """An archive cannot be unpacked, or must not be."""


class FullDiskError(AxlstmError):
    """The disk has too little space left to go on."""


def require_space(folder: Path, wanted: int, purpose: str) -> None:
    """Check that ``wanted`` bytes fit on the disk of ``folder``, with a reserve left free.

    Raises:
        FullDiskError: they do not.
    """
    free = shutil.disk_usage(folder).free
    if free < wanted + RESERVE_BYTES:
        raise FullDiskError(
            f"{folder}: {purpose} takes about {wanted / 1e9:.1f} GB and 1 GB is to stay free, but {free / 1e9:.1f} GB "
            "are free: free some space, or use another folder, and run the same command again to go on"
        )


@contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """Turn the operating system's errors about a full disk into `FullDiskError`.

    Raises:
        FullDiskError: the block met a full disk or an exhausted quota.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FullDiskError(
            f"{folder}: no space left on the disk; what is complete stays: free some space and run the same command "
            "again to go on"
        ) from error
