"""Unpacking released task archives without trusting them."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath

from axlstm.evaluate.metadata import TaskError

MOST_BYTES = 200 * 2**30
MOST_FILES = 2_000_000


def extract_archive(archive: str | Path, out: str | Path, most_bytes: int = MOST_BYTES) -> int:
    """Unpack a tar of tasks; returns the number of files.

    Every member is checked before anything is written: only plain files and folders, whose paths stay inside
    `out`, and not more than `most_bytes` or two million files in all.

    Raises:
        TaskError: naming the archive and the member that broke a rule, or that it is no tar.
    """
    archive, out = Path(archive), Path(out)
    try:
        with tarfile.open(archive) as tar:
            members = _check(archive, tar, most_bytes)
        out.mkdir(parents=True, exist_ok=True)
        # Opened again: a compressed archive cannot be rewound cheaply, and the check read it to its end.
        with tarfile.open(archive) as tar:
            tar.extractall(out, members=(m for m in tar if m.name in members), filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise TaskError(f"{archive} cannot be unpacked: {error}") from error
    return len(members)


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
