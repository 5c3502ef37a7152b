"""Unpack the files that this recipe uses: sound, SoundFonts, the kits' descriptions, the licences."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from recipes.open_audio.failures import CorruptArchiveError

SOUND = {".wav", ".ogg", ".oga", ".opus", ".mp3", ".flac", ".aiff", ".aif", ".au", ".g722", ".gsm", ".wv"}
SOUNDFONTS = {".sf2", ".sf3"}
ZIPS = {".zip", ".pk3", ".wz"}
_ABOUT = ("copyright", "copying", "licen", "author", "credit", "readme")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The most that an archive may hold; a larger one is damaged or hostile."""

    files: int = 200_000
    file_bytes: int = 1 << 30
    total_bytes: int = 8 << 30


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpack a .deb or .tgz into a new folder, zips inside it into folders beside them named ``ZIP.d``.

    Other files are left out, and so are links and members whose names lead out of the folder.

    Raises:
        CorruptArchiveError: an archive that cannot be read, or is larger than the limits.
    """
    limits = limits or Limits()
    folder.mkdir(parents=True)
    if archive.suffix == ".deb":
        _unpack_deb(archive, folder)
    else:
        _unpack_tar(archive, folder, limits)
    _drop_useless(folder)
    for inner in sorted(path for path in folder.rglob("*") if is_zip(path.name) and path.is_file()):
        _unpack_zip(inner, inner.with_name(inner.name + ".d"), limits)
        inner.unlink()


def is_wanted(name: str) -> bool:
    """Return whether a file of this name is kept."""
    path = PurePosixPath(name.lower())
    return path.suffix in SOUND | SOUNDFONTS or path.name == "drumkit.xml" or path.name.startswith(_ABOUT)


def is_zip(name: str) -> bool:
    """Return whether a file of this name is an archive that is opened too."""
    return PurePosixPath(name.lower()).suffix in ZIPS


def _unpack_deb(archive: Path, folder: Path) -> None:
    done = subprocess.run(["dpkg", "-x", str(archive), str(folder)], capture_output=True, text=True, errors="replace")
    if done.returncode:
        if "No space left" in done.stderr:
            raise OSError(28, "No space left on device")
        raise CorruptArchiveError(f"{archive.name}: dpkg cannot unpack it: {done.stderr.strip() or 'no reason given'}")


def _unpack_tar(archive: Path, folder: Path, limits: Limits) -> None:
    try:
        with tarfile.open(archive) as tar:
            members = [member for member in tar if member.isfile() and _is_taken(member.name)]
            budget = _Budget(archive, limits, len(members))
            for member in members:
                source = tar.extractfile(member)
                assert source is not None  # regular files have a content
                with source:
                    budget.copy(source, folder / member.name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _corrupt_unless_disk(archive, error) from error


def _unpack_zip(archive: Path, folder: Path, limits: Limits) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if is_wanted(info.filename) and not _leads_out(info.filename)]
            budget = _Budget(archive, limits, len(members))
            for info in members:
                with opened.open(info) as source:
                    budget.copy(source, folder / info.filename)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise _corrupt_unless_disk(archive, error) from error
    except Exception as error:
        if type(error).__module__ == "zlib":
            raise CorruptArchiveError(f"{archive.name}: damaged ({error})") from error
        raise


def _corrupt_unless_disk(archive: Path, error: Exception) -> Exception:
    """Turn an error into one about the archive, unless it has the operating system's number and is about the disk."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    return CorruptArchiveError(f"{archive.name}: damaged ({error})")


def _is_taken(name: str) -> bool:
    """Return whether a member is unpacked: wanted files and archives that lie inside the folder."""
    return (is_wanted(name) or is_zip(name)) and not _leads_out(name)


def _leads_out(name: str) -> bool:
    """Return whether a member's name would place it outside of the folder that it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))
    return ".." in path.parts or path.is_absolute() or "\0" in name


class _Budget:
    """Copies members and counts what comes out, whatever the archive says about their sizes."""

    def __init__(self, archive: Path, limits: Limits, files: int) -> None:
        self._archive, self._limits, self._total = archive, limits, 0
        if files > limits.files:
            raise CorruptArchiveError(f"{archive.name}: holds {files} files, more than {limits.files}")

    def copy(self, source: IO[bytes], target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with target.open("wb") as out:
            while block := source.read(_BLOCK):
                size += len(block)
                self._total += len(block)
                if size > self._limits.file_bytes or self._total > self._limits.total_bytes:
                    raise CorruptArchiveError(
                        f"{self._archive.name}: unpacks to more than {self._limits.file_bytes >> 20} MiB a file or "
                        f"{self._limits.total_bytes >> 20} MiB in all"
                    )
                out.write(block)


def _drop_useless(folder: Path) -> None:
    for path in _bottom_up(folder):
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif not (path.is_file() and _is_taken(path.name)):
            path.unlink()


def _bottom_up(folder: Path) -> Iterable[Path]:
    return sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True)


def remove(folder: Path) -> None:
    """Remove a folder with all in it, if it exists."""
    if folder.exists():
        shutil.rmtree(folder)
