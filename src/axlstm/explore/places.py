"""Find the file of a recording of a collection, and refuse one that is not what was indexed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.recordings import current_place
from axlstm.errors import AxlstmError
from axlstm.files import is_file


class NoSuchError(AxlstmError):
    """Something that is asked for by its number or name, and is not there."""


class ChangedError(AxlstmError):
    """A recording whose file has gone, or holds something else than was indexed."""


@dataclass(frozen=True)
class Sound:
    """A recording that lies on the disk as it was indexed.

    Args:
        content: what tells what it holds from what others hold.
        state: of its file when it was compared.
    """

    id: int
    path: str
    place: Path
    duration_s: float
    sample_rate_hz: int
    content: str
    state: tuple[str, int, int, int]


class Places:
    """Finds recordings. What was compared with its digest is not read again until its size or time changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, tuple[str, int, int, int]] = {}  # path, size, times of change of content and of file

    def find(self, collection: CollectionFolder, recording: int, content: str | None = None) -> Sound:
        """Find a recording by its number.

        Args:
            content: what the page takes it to hold, as `Sound.content`.

        Raises:
            NoSuchError: there is none that is present.
            ChangedError: its file is not there, or has other content; or it is another one than the page takes it for.
        """
        row = collection.tables.execute(
            "SELECT path, duration_s, sample_rate_hz, digest FROM recordings WHERE id = ? AND removed_at IS NULL",
            (recording,),
        ).fetchone()
        if row is None:
            raise NoSuchError(f"no recording number {recording} in {collection.folder}")
        if content not in (None, row["digest"]):
            raise ChangedError(f"{row['path']} is another recording than the page shows; reload the page")
        place = collection.place_of(row["path"])
        state = self._check(collection, recording, row["path"], place)
        return Sound(recording, row["path"], place, row["duration_s"], row["sample_rate_hz"], row["digest"], state)

    def confirm(self, sound: Sound) -> None:
        """Refuse what was read of a recording whose file was changed meanwhile.

        Raises:
            ChangedError: it was, or has gone.
        """
        if not is_file(sound.place) or _state_of(sound.place) != sound.state:
            raise ChangedError(f"{sound.place}: changed while it was read; axlstm index embeds it again")

    def _check(self, collection: CollectionFolder, recording: int, path: str, place: Path) -> tuple[str, int, int, int]:
        """Compare a file with what was indexed, unless it is as it was then, and return its state."""
        if not is_file(place):
            raise ChangedError(
                f"{path} is not at {place} any more; connect its disk, or say where the recordings lie now: axlstm "
                f"collection relocate {collection.folder} FOLDER"
            )
        state = _state_of(place)
        with self._lock:
            if self._held.get(recording) == state:
                return state
        try:
            current_place(collection, recording)
        except AxlstmError as error:
            raise ChangedError(str(error)) from error
        with self._lock:
            self._held[recording] = state
        return state


def _state_of(place: Path) -> tuple[str, int, int, int]:
    facts = place.stat()
    return str(place), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
