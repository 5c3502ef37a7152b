"""Finding sound files in folders."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from axlstm.errors import AudioError

_PLAIN = (".wav", ".wave", ".rf64", ".bwf", ".w64", ".aif", ".aiff", ".aifc", ".au", ".caf")
_PACKED = (".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2")
_FFMPEG = (".m4a", ".aac", ".mp4", ".3gp", ".webm", ".mka", ".wma", ".amr", ".gsm")  # with the extra `av`
EXTENSIONS = (*_PLAIN, *_PACKED, *_FFMPEG)
"""Suffixes of the files that a search through folders finds, those of the extra `av` too; others can be named."""


def find_audio(paths: list[Path]) -> list[Path]:
    """List the files among ``paths``, and the sound files in and below the folders among them, sorted in each folder.

    Links to folders are followed. A file that is reached in several ways is listed once, see `unique_files`.

    Raises:
        AudioError: a path does not exist, or there is no sound file at all.
    """
    if not paths:
        raise AudioError("no files given: name sound files, or folders that hold some")
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = (p for p in _files_below(path) if p.suffix.lower() in EXTENSIONS and p.is_file())
            found.extend(sorted(below))
        elif path.exists():
            found.append(path)
        else:
            raise AudioError(f"{path}: no such file or folder")
    if not found:
        kinds = " ".join(EXTENSIONS)
        raise AudioError(f"no sound files in {', '.join(map(str, paths))}; looked for {kinds}")
    return unique_files(found)


def unique_files(files: Iterable[Path]) -> list[Path]:
    """Remove repetitions; the first of several spellings of one path is kept.

    Links to folders are resolved. A link to a file counts as a file of its own.
    """
    folders: dict[Path, Path] = {}
    unique: dict[Path, Path] = {}
    for file in files:
        if file.parent not in folders:
            folders[file.parent] = file.parent.resolve()
        unique.setdefault(folders[file.parent] / file.name, file)
    return list(unique.values())


def _files_below(folder: Path) -> Iterator[Path]:
    """List all files below a folder. Links to folders are followed last, so that real names come first."""
    seen: set[tuple[int, int]] = set()
    waiting = deque([folder])
    while waiting:
        for where, folders, files in os.walk(waiting.popleft()):
            facts = Path(where).stat()
            if (facts.st_dev, facts.st_ino) in seen:
                folders.clear()
                continue
            seen.add((facts.st_dev, facts.st_ino))
            yield from (Path(where, name) for name in files)
            waiting.extend(link for name in sorted(folders) if (link := Path(where, name)).is_symlink())
