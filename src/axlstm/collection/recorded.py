"""Tell when and by which device a file was recorded, from the notes in it and from its name."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from axlstm.collection.headers import NOTHING, Recorded, read_headers
from axlstm.errors import AudioError

# AudioMoth: 20200204_191730.WAV, with T for a triggered one, or its number before it; older ones: 5E39C2AA.WAV.
_AUDIOMOTH = re.compile(r"(?:([0-9A-F]{16})_)?(\d{8})_(\d{6})T?")
_AUDIOMOTH_HEX = re.compile(r"(?=.*[A-F])[0-9A-F]{8}")
_AUDIOMOTH_YEARS = range(2016, 2036)
# Song Meter: S4A02641_20250220_170000.wav; $ for _ after a synchronisation by GPS; 0, 1 or 0+1 for the channels.
_SONG_METER = re.compile(r"([A-Z0-9][A-Z0-9-]{0,11})(?:_(?:0|1|0\+1))?_(\d{8})[_$](\d{6})(?:_\d{3,6})?")
_GENERIC = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)(\d\d)\2(\d\d)[T _-]?(\d\d)([-_.:]?)(\d\d)\6(\d\d)(?!\d)(Z?)", re.IGNORECASE
)


def read_recorded(file: Path, stem: str | None = None) -> Recorded:
    """Collect what the notes in a file say, and of what they leave out what its name says.

    Args:
        stem: the name without its suffix, if it is not that of the file, as of a copy.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        noted = read_headers(file)
    except AudioError:
        noted = NOTHING
    return noted.over(read_name(file.stem if stem is None else stem))


def read_name(stem: str) -> Recorded:
    """Read the name of a file without its suffix. What could be read in two ways is not read.

    Names have no offset from UTC: recorders write local time or UTC, as they were set up.
    """
    if match := _AUDIOMOTH.fullmatch(stem):
        return Recorded(_moment(match[2] + match[3]), device=f"AudioMoth {match[1]}" if match[1] else None)
    if _AUDIOMOTH_HEX.fullmatch(stem):
        moment = datetime.fromtimestamp(int(stem, 16), UTC)
        return Recorded(moment.isoformat(), device="AudioMoth") if moment.year in _AUDIOMOTH_YEARS else NOTHING
    if match := _SONG_METER.fullmatch(stem):
        recorded_at = _moment(match[2] + match[3])
        return Recorded(recorded_at, device=match[1]) if recorded_at else NOTHING
    found = {_moment("".join(match.group(1, 3, 4, 5, 7, 8)), match[9]) for match in _GENERIC.finditer(stem)}
    return Recorded(found.pop()) if len(found) == 1 else NOTHING


def _moment(digits: str, zone: str = "") -> str | None:
    """Read ``YYYYMMDDHHMMSS``; None for what is no moment."""
    try:
        moment = datetime.strptime(digits, "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return moment.isoformat() + ("+00:00" if zone else "") if moment.year >= 1970 else None
