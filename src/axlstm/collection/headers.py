"""Read what recorders write into WAV files: when, where and by which device a sound was recorded.

Three notes are known. AudioMoth writes a comment, ``Recorded at 19:17:30 04/02/2020 (UTC) by AudioMoth ...``, into the
chunk LIST/INFO/ICMT (Open Acoustic Devices, AudioMoth-Firmware-Basic, ``setHeaderComment``). GUANO is a chunk ``guan``
of lines ``Key: value`` (guano-md.org, specification 1.0). Wildlife Acoustics writes a chunk ``wamd`` of numbered values
(their header file wa_meta.h, version 1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from axlstm.audio.riff import read_chunks
from axlstm.audio.source import Source

_MOST_TEXT = 1000  # characters of a value that is kept
_COMMENT = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d{1,6})? (\d\d)/(\d\d)/(\d{4}) \(UTC(?:([+-]\d{1,2})(?::(\d\d))?)?\)"
)
_DEVICE = re.compile(r"\bby (AudioMoth [0-9A-F]{16}|AudioMoth Live)\b")
_GAIN = re.compile(r"\bat (low|low-medium|medium|medium-high|high) gain\b")
_BATTERY = re.compile(r"battery (?:state )?was (?:less than |greater than )?(\d{1,2}\.\d)V")
_TEMPERATURE = re.compile(r"(-?\d{1,3}(?:\.\d{1,3})?) ?°?C\b")
_POSITION = re.compile(r"\(?\s*(-?\d{1,3}(?:\.\d+)?)[\s,]+(-?\d{1,3}(?:\.\d+)?)\s*\)?")
# Numbers of the values in a wamd chunk.
_MODEL, _SERIAL, _NAME, _START, _GPS, _NOTES, _LAST_POSITION, _INSIDE, _OUTSIDE = 1, 2, 4, 5, 6, 10, 20, 21, 22


@dataclass(frozen=True)
class Recorded:
    """When, where and by what a sound was recorded, as far as it is known.

    ``recorded_at`` is ISO 8601, with the offset from UTC where that is known; positions are in degrees (WGS84).
    """

    recorded_at: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    device: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: Recorded) -> Recorded:
        """Fill what is not known here from another note."""
        has_place = self.latitude is not None
        return Recorded(
            self.recorded_at or other.recorded_at,
            self.latitude if has_place else other.latitude,
            self.longitude if has_place else other.longitude,
            self.device or other.device,
            {**other.metadata, **self.metadata},
        )


NOTHING = Recorded()


def read_headers(file: Path) -> Recorded:
    """Read the notes in a WAV file; those that are not understood are passed over, and other files have none.

    Raises:
        OSError: the file cannot be read.
    """
    found = NOTHING
    readers: dict[bytes, Callable[[bytes], Recorded]] = {b"guan": _read_guano, b"wamd": _read_wamd, b"LIST": _read_list}
    with file.open("rb") as stream:
        chunks = list(read_chunks(Source(stream, str(file)), readers))
    for name, read in readers.items():  # GUANO knows the offset from UTC more often
        for content in (content for there, content in chunks if there == name):
            found = found.over(read(content))
    return found


def _read_guano(content: bytes) -> Recorded:
    fields: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(" \0"), value.strip(" \t\r\0")[:_MOST_TEXT])
    device = " ".join(filter(None, (fields.get(key, "") for key in ("Make", "Model", "Serial"))))
    position = _POSITION.fullmatch(fields.get("Loc Position", ""))
    kept = {"note": "Note", "temperature_c": "Temperature Ext", "elevation_m": "Loc Elevation"}
    metadata = {name: fields[key] for name, key in kept.items() if fields.get(key)}
    if "temperature_c" not in metadata and fields.get("Temperature Int"):
        metadata["temperature_c"] = fields["Temperature Int"]
    return Recorded(
        _iso(fields.get("Timestamp", "")), *_place(position and position.groups()), device or None, metadata
    )


def _read_wamd(content: bytes) -> Recorded:
    values: dict[int, str] = {}
    for number, value in _wamd_values(content):
        if number == 0 and int.from_bytes(value, "little") != 1:
            return NOTHING  # a version whose form is not known
        values.setdefault(number, value.decode("utf-8", "replace").strip(" \0\r\n")[:_MOST_TEXT])
    device = " ".join(filter(None, (values.get(_MODEL, ""), values.get(_SERIAL) or values.get(_NAME, ""))))
    metadata = {"note": values[_NOTES]} if values.get(_NOTES) else {}
    for number in (_OUTSIDE, _INSIDE):
        if degrees := _TEMPERATURE.fullmatch(values.get(number, "")):
            metadata.setdefault("temperature_c", degrees[1])
    place = _wamd_place(values.get(_GPS, ""))
    place = place if place[0] is not None else _wamd_place(values.get(_LAST_POSITION, ""))
    return Recorded(_iso(values.get(_START, "")), *place, device or None, metadata)


def _wamd_values(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 6 <= len(content):
        number = int.from_bytes(content[position : position + 2], "little")
        size = int.from_bytes(content[position + 2 : position + 6], "little")
        yield number, content[position + 6 : position + 6 + size]
        position += 6 + size


def _wamd_place(text: str) -> tuple[float | None, float | None]:
    """Read ``WGS84,nn.nnnnn,N,mmm.mmmmm,W[,alt]``, or the same with signs in place of the letters."""
    parts = [part.strip() for part in text.split(",")[1:]]
    if len(parts) >= 4 and parts[1] in ("N", "S") and parts[3] in ("E", "W"):
        signs = "-" * (parts[1] == "S"), "-" * (parts[3] == "W")
        return _place((signs[0] + parts[0], signs[1] + parts[2]))
    return _place((parts[0], parts[1]) if len(parts) >= 2 else None)


def _read_list(content: bytes) -> Recorded:
    """Read the comment of an AudioMoth in a chunk LIST/INFO."""
    if content[:4] != b"INFO":
        return NOTHING
    position = 4
    while position + 8 <= len(content):
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        if content[position : position + 4] == b"ICMT":
            return _read_comment(content[position + 8 : position + 8 + size].decode("latin-1").strip(" \0"))
        position += 8 + size + size % 2
    return NOTHING


def _read_comment(text: str) -> Recorded:
    if not (told := _COMMENT.match(text)):
        return NOTHING
    hour, minute, second, day, month, year = map(int, told.groups()[:6])
    hours = told[7] or "+0"
    offset = timedelta(hours=abs(int(hours)), minutes=int(told[8] or 0))
    try:
        zone = timezone(-offset if hours.startswith("-") else offset)
        recorded_at = datetime(year, month, day, hour, minute, second, tzinfo=zone).isoformat()
    except ValueError:
        return NOTHING
    device = _DEVICE.search(text)
    found = {"gain": _GAIN.search(text), "battery_v": _BATTERY.search(text)}
    found["temperature_c"] = re.search(r"temperature was (-?\d{1,3}\.\d)C", text)
    metadata = {name: match[1] for name, match in found.items() if match}
    return Recorded(recorded_at, None, None, device[1] if device else "AudioMoth", metadata)


def _iso(text: str) -> str | None:
    """Read a time with or without its offset from UTC."""
    try:
        return datetime.fromisoformat(text.strip()).isoformat() if len(text) >= len("2020-01-01T00:00") else None
    except ValueError:
        return None


def _place(numbers: tuple[str | None, ...] | None) -> tuple[float | None, float | None]:
    """Read degrees; 0 north 0 east is what recorders write that do not know."""
    try:
        latitude, longitude = (float(str(number)) for number in numbers or ())
    except ValueError:
        return None, None
    is_place = -90 <= latitude <= 90 and -180 <= longitude <= 180 and (latitude, longitude) != (0, 0)
    return (latitude, longitude) if is_place else (None, None)
