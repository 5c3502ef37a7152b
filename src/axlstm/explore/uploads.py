"""Keep the sounds that a page sends, for searches, until the server ends."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from axlstm.audio.read import file_facts
from axlstm.errors import AudioError, WriteError
from axlstm.explore.places import NoSuchError
from axlstm.files import writing

MOST_SECONDS = 3600.0
_MOST_KEPT = 20


@dataclass(frozen=True)
class Upload:
    """A sound that was sent."""

    id: str
    name: str
    path: Path
    duration_s: float
    sample_rate_hz: int


class Uploads:
    """The latest sounds, in a folder that is removed when the server ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._kept: dict[str, Upload] = {}

    def add(self, name: str, content: bytes) -> Upload:
        """Keep a sound; beyond twenty, the oldest is forgotten.

        Args:
            name: of the file, to be shown. It names nothing on the disk.

        Raises:
            AudioError: it is no sound that can be read, or longer than an hour.
            WriteError: the disk is full or fails.
        """
        if not content:
            raise AudioError(f"{name or 'the upload'}: an empty file; expected a sound")
        number = secrets.token_urlsafe(12)
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="axlstm-explore-"))
            path = self._folder / f"{number}{_suffix(name)}"
        try:
            with writing(path):
                path.write_bytes(content)
            facts = file_facts(path)
            if facts["duration_s"] > MOST_SECONDS:
                raise AudioError(f"{facts['duration_s']:.0f} s of sound, expected at most {MOST_SECONDS:.0f}")
        except WriteError:
            path.unlink(missing_ok=True)
            raise
        except AudioError as error:
            path.unlink()
            told = str(error).removeprefix(f"{path}: ")
            raise AudioError(f"{name or 'the upload'}: {told}") from error
        upload = Upload(number, name, path, facts["duration_s"], facts["sample_rate_hz"])
        with self._lock:
            self._kept[number] = upload
            while len(self._kept) > _MOST_KEPT:
                self._kept.pop(next(iter(self._kept))).path.unlink(missing_ok=True)
        return upload

    def find(self, number: str) -> Upload:
        """Find a sound by the name that `add` gave it.

        Raises:
            NoSuchError: it was forgotten, or there never was one.
        """
        with self._lock:
            found = self._kept.get(number)
        if found is None:
            raise NoSuchError("no such upload; the server keeps the latest ones until it ends: send the sound again")
        return found

    def close(self) -> None:
        """Remove all of them."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _suffix(name: str) -> str:
    """Return the ending of a name, if it is a plain one."""
    found = re.search(r"\.[A-Za-z0-9]{1,5}$", name)
    return found[0] if found else ""
