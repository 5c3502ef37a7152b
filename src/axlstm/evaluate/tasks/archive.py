"""Unpack released task archives without trusting them."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Self

from axlstm.evaluate.tasks.metadata import TaskError

MOST_BYTES = 200 * 2**30
MOST_FILES = 2_000_000
_BLOCK_BYTES = 2**20


def extract_archive(archive: str | Path, out: str | Path, most_bytes: int = MOST_BYTES) -> int:
    """Unpack a tar of tasks; returns the number of files.

    Everything is checked before anything is written: the archive to its last byte, checksums included, and every
    member: only plain files and folders, whose paths stay inside `out`, and not more than `most_bytes` or two
    million files in all.

    Raises:
        TaskError: naming the archive and the member that broke a rule, or that it is damaged or no tar.
    """
    archive, out = Path(archive), Path(out)
    try:
        with tarfile.open(archive, tarinfo=_StrictInfo) as tar:
            members = _check(archive, tar, most_bytes)
            assert tar.fileobj is not None  # the archive is open
            while tar.fileobj.read(_BLOCK_BYTES):  # to the checksums of a compressed one, behind the last member
                pass
        out.mkdir(parents=True, exist_ok=True)
        # Opened again: a compressed archive cannot be rewound cheaply, and the check read it to its end.
        with tarfile.open(archive) as tar:
            tar.extractall(out, members=(m for m in tar if m.name in members), filter="data")
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise TaskError(f"{archive} cannot be unpacked (damaged or no tar: {error}): download it again") from error
    except OSError as error:
        raise TaskError(f"{archive} cannot be unpacked: {error}") from error
    return len(members)


class _StrictInfo(tarfile.TarInfo):
    """A header that ends the archive only if it is a zero block; tarfile takes a damaged one for the end, too."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf.count(0) == tarfile.BLOCKSIZE:
                raise
            raise tarfile.ReadError(str(error)) from error


def _check(archive: Path, tar: tarfile.TarFile, most_bytes: int) -> set[str]:
    total = 0
    names: set[str] = set()
    for member in tar:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name:
            raise TaskError(f"{archive}: {member.name!r} would be written outside the folder; nothing was unpacked")
        if not (member.isreg() or member.isdir()):
            raise TaskError(f"{archive}: {member.name!r} is a link or device, not a plain file; nothing was unpacked")
        total += member.size
        if total > most_bytes or len(names) >= MOST_FILES:
            raise TaskError(f"{archive} holds more than {most_bytes} bytes or {MOST_FILES} files; nothing was unpacked")
        if member.isreg():
            names.add(member.name)
    return names
