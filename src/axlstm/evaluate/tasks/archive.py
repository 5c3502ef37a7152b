"""Unpack released task archives without trusting them."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from axlstm.bounds import StrictTarHeader, TarHeader
from axlstm.errors import WriteError
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.files import Part, writing

MOST_BYTES = 200 * 2**30
MOST_FILES = 2_000_000
_BLOCK_BYTES = 2**20
_MALFORMED = (ValueError, LookupError, OverflowError, RecursionError)  # from damaged records of names and sizes


def extract_archive(archive: str | Path, out: str | Path, most_bytes: int = MOST_BYTES) -> int:
    """Unpack a tar of tasks; returns the number of files.

    Everything is checked before anything is written: the archive to its last byte, checksums included, and every
    member: only plain files and folders, whose paths stay inside `out`, and not more than `most_bytes` or two
    million files in all. A file gets its name when it is whole.

    Raises:
        WriteError: the disk is full or fails, or `out` may not be written.
        TaskError: naming the archive and the member that broke a rule, or that it is damaged or no tar.
    """
    archive, out = Path(archive), Path(out)
    try:
        with tarfile.open(archive, tarinfo=StrictTarHeader) as tar:
            members = _check(archive, tar, most_bytes)
            assert tar.fileobj is not None  # the archive is open
            while tar.fileobj.read(_BLOCK_BYTES):  # to the checksums of a compressed one, behind the last member
                pass
        # Opened again: a compressed archive cannot be rewound cheaply, and the check read it to its end.
        with tarfile.open(archive, tarinfo=TarHeader) as tar, writing(out):
            _unpack(tar, members, out)
    except (TaskError, WriteError):
        raise
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, *_MALFORMED) as error:
        raise TaskError(
            f"{archive} cannot be unpacked (damaged or no tar: {str(error)[:200]}): download it again"
        ) from error
    except OSError as error:
        raise TaskError(f"{archive} cannot be unpacked: {error}") from error
    return len(members)


def _unpack(tar: tarfile.TarFile, members: set[str], out: Path) -> None:
    """Unpack beside the files' places, and then give them their names."""
    out.mkdir(parents=True, exist_ok=True)
    part = Part(out / "unpacked", folder=True)
    try:
        tar.extractall(part.path, members=(m for m in tar if m.name in members), filter="data")
        for path in sorted(part.path.rglob("*")):
            target = out / path.relative_to(part.path)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            else:
                path.replace(target)
    finally:
        part.discard()


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
