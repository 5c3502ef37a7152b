"""Find sound files in folders, and account for everything else that is met there."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from axlstm.errors import AudioError
from axlstm.files import readable_name

_PLAIN = (".wav", ".wave", ".rf64", ".bwf", ".w64", ".aif", ".aiff", ".aifc", ".au", ".caf")
_PACKED = (".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2")
_FFMPEG = (".m4a", ".aac", ".mp4", ".3gp", ".webm", ".mka", ".wma", ".amr", ".gsm")  # with the extra `av`
EXTENSIONS = (*_PLAIN, *_PACKED, *_FFMPEG)
"""Suffixes of the files that a search through folders finds, those of the extra `av` too; others can be named."""

_SOUND_BEGINS = re.compile(
    rb"(RIFF|RF64|BW64)....WAVE|FORM....AIF[FC]|fLaC|ID3|caff|\.snd|riff\x2e\x91\xcf\x11|#!AMR|....ftypM4[AB] "
    rb"|OggS.{24}(\x01vorbis|OpusHead|\x7fFLAC)",
    re.DOTALL,
)  # other kinds of RIFF, FORM, Ogg and MP4 are pictures and films
_GIT = ".git"  # git-annex keeps the content of its links here: they would be found twice
_APPLE = "._"  # begins the names of files in which macOS keeps what other disks have no place for
_MOST_KINDS = 6  # of suffixes that a message names


@dataclass(frozen=True)
class Found:
    """Everything that a search met, each entry once: in one of ``files``, ``skipped`` and ``not_sound``.

    Folders that were searched are not entries, and neither are other ways to an entry, such as links to its folder.
    """

    files: tuple[Path, ...]  # to be read as sound
    skipped: tuple[tuple[Path, str], ...] = ()  # with the reason
    not_sound: Mapping[str, int] = field(default_factory=dict)  # entries by suffix; "" for those without one

    @property
    def asked(self) -> int:
        """Count the entries."""
        return len(self.files) + len(self.skipped) + sum(self.not_sound.values())


def find_audio(paths: Iterable[Path], without: Path | None = None) -> Found:
    """Find the files among ``paths``, and the sound files in and below the folders among them, sorted in each folder.

    Any file or pipe may be named. In a folder a file is sound if its suffix is one of `EXTENSIONS`, or if it begins as
    one of the sound formats that are known by their first bytes: decoders go by content, so a lost suffix loses no
    sound. Names that begin with ``._`` are no sound: macOS leaves such files on other disks. Links to folders are
    followed, and a folder is searched once. It skips, with a reason, links that lead nowhere or in a circle, folders
    that cannot be listed, pipes, sockets and devices in folders, and folders named like a sound (which are searched all
    the same). The insides of ``.git`` are left out, as one entry.

    Args:
        without: a folder that is not searched and is no entry, such as the one that is written to.

    Raises:
        AudioError: a path does not exist, a folder among ``paths`` cannot be listed, or nothing is sound or skipped.
    """
    search = _Search()
    if without is not None:
        search.pass_over(without)
    given = list(paths)
    if not given:
        raise AudioError("no files given: name sound files, or folders that hold some")
    for path in given:
        search.add_named(path)
    found = search.result()
    if not (found.files or found.skipped):
        met = f": {describe_not_sound(found.not_sound)}" if found.not_sound else ""
        where = ", ".join(map(str, given))
        raise AudioError(f"no sound files in {where}{met}; looked for {' '.join(EXTENSIONS)}")
    return found


def by_place(files: Iterable[Path]) -> dict[Path, Path]:
    """Give each file by its place, which all spellings of its path share; the first spelling is kept.

    Links to folders are resolved. A link to a file counts as a file of its own.
    """
    folders: dict[Path, Path] = {}
    unique: dict[Path, Path] = {}
    for file in files:
        if file.parent not in folders:
            folders[file.parent] = file.parent.resolve()
        unique.setdefault(folders[file.parent] / file.name, file)
    return unique


def describe_not_sound(not_sound: Mapping[str, int]) -> str:
    """Describe the entries that are not sound: ``7 not sound (4 .txt, 2 .jpg, 1 without a suffix)``."""
    ordered = sorted(not_sound.items(), key=lambda kind: (-kind[1], kind[0]))
    kinds = [f"{count} {suffix or 'without a suffix'}" for suffix, count in ordered[:_MOST_KINDS]]
    if rest := sum(count for _, count in ordered[_MOST_KINDS:]):
        kinds.append(f"{rest} others")
    return f"{sum(not_sound.values())} not sound ({', '.join(kinds)})"


@dataclass(frozen=True)
class _Entry:
    path: Path
    kind: Literal["sound", "skipped", "not sound"]
    reason: str = ""


class _Search:
    """Collects what is met. A folder that is reached again is passed over."""

    def __init__(self) -> None:
        self._met: list[_Entry] = []
        self._folders: set[tuple[int, int]] = set()

    def pass_over(self, folder: Path) -> None:
        """Take a folder, if it is there, for one that has been searched."""
        with suppress(OSError):
            facts = folder.stat()
            self._folders.add((facts.st_dev, facts.st_ino))

    def add_named(self, path: Path) -> None:
        """Take a file, or search a folder. A link that leads nowhere is skipped: ``*.wav`` names some too."""
        try:
            mode = path.stat().st_mode
        except OSError as error:
            if not _is_link(path):
                missing = isinstance(error, FileNotFoundError)
                raise AudioError(f"{path}: {'no such file or folder' if missing else _fault(path, error)}") from error
            self._met.append(_Entry(path, "skipped", _fault(path, error)))
            return
        if not stat.S_ISDIR(mode):
            self._met.append(_Entry(path, "sound"))
            return
        begin = len(self._met)
        self._search(path)
        self._met[begin:] = sorted(self._met[begin:], key=lambda entry: entry.path)

    def _search(self, top: Path) -> None:
        links = deque([top])  # followed last, so that real names come first
        while links:
            waiting = [links.popleft()]
            while waiting:
                folder = waiting.pop()
                for item in sorted(self._list(folder, is_named=folder == top), key=lambda item: item.name):
                    path = folder / item.name
                    try:
                        mode = item.stat().st_mode
                    except OSError as error:
                        names_other = re.fullmatch(r"\.[a-z]\w*", path.suffix.lower()) and not named_as_sound(path.name)
                        is_other = names_other and not item.is_dir(follow_symlinks=False)
                        fault = _Entry(path, "not sound") if is_other else _Entry(path, "skipped", _fault(path, error))
                        self._met.append(fault)
                        continue
                    if stat.S_ISDIR(mode) and item.name != _GIT:
                        (links if item.is_symlink() else waiting).append(path)
                        if named_as_sound(path.name):
                            reason = "a folder, not a sound file; the entries in it count by themselves"
                            self._met.append(_Entry(path, "skipped", reason))
                    else:
                        self._met.append(_judge(path, mode))

    def _list(self, folder: Path, is_named: bool) -> Iterator[os.DirEntry[str]]:
        try:
            facts = folder.stat()
            if (facts.st_dev, facts.st_ino) not in self._folders:
                self._folders.add((facts.st_dev, facts.st_ino))
                with os.scandir(folder) as items:
                    yield from items
        except OSError as error:
            reason = f"a folder that cannot be listed ({error.strerror}): check its permissions and its disk"
            if is_named:
                raise AudioError(f"{folder}: {reason}") from error
            self._met.append(_Entry(folder, "skipped", reason))

    def result(self) -> Found:
        """Give each entry once. A file that is named itself is not counted again in its folder."""
        files = by_place(entry.path for entry in self._met if entry.kind == "sound")
        rest = {entry.path: entry for entry in self._met if entry.kind != "sound"}
        once = [rest[path] for place, path in by_place(rest).items() if place not in files]
        skipped = tuple((entry.path, entry.reason) for entry in once if entry.kind == "skipped")
        others = (entry.path for entry in once if entry.kind == "not sound")
        kinds = Counter(kind_of(path.name) for path in others)
        return Found(tuple(files.values()), skipped, dict(kinds))


def named_as_sound(name: str) -> bool:
    """Tell whether a file in a folder is sound by its name."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS and not name.startswith(_APPLE)


def kind_of(name: str) -> str:
    """Name the kind of a file that is not sound, for `describe_not_sound`: its suffix, mostly."""
    if name == _GIT:
        return _GIT
    return f"{_APPLE}*" if name.startswith(_APPLE) else readable_name(PurePosixPath(name).suffix.lower())


def _judge(path: Path, mode: int) -> _Entry:
    """Judge an entry of a folder that is not searched itself."""
    if stat.S_ISREG(mode):
        try:
            if path.name.startswith(_APPLE):
                return _Entry(path, "not sound")
            return _Entry(path, "sound" if named_as_sound(path.name) or _begins_as_sound(path) else "not sound")
        except OSError as error:
            return _Entry(path, "skipped", _fault(path, error))
    if not named_as_sound(path.name):
        return _Entry(path, "not sound")
    if stat.S_ISFIFO(mode):
        return _Entry(path, "skipped", "a pipe, not a file; name it itself to have it read")
    return _Entry(path, "skipped", f"a {'socket' if stat.S_ISSOCK(mode) else 'device'}, not a file")


def _fault(path: Path, error: OSError) -> str:
    """Say why a path cannot be followed."""
    if error.errno == errno.ELOOP:
        return "a link that leads back to itself"
    if isinstance(error, FileNotFoundError) and _is_link(path):
        return (
            f"a link to {readable_name(path.readlink())}, which is not there; files that git-annex or Dropbox have not "
            "fetched look like this: fetch it (git annex get) and run again"
        )
    return f"cannot be read ({error.strerror})"


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:
        return False


def _begins_as_sound(path: Path) -> bool:
    with path.open("rb", buffering=0) as file:
        return _SOUND_BEGINS.match(file.read(64)) is not None
