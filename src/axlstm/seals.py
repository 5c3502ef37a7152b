"""Checksums inside our own files: CRC-32, as zlib computes it, tells damage from what was written.

They protect against disks and transfers, not against people, who can compute a checksum too.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

OBJECT_KEY = "crc32"
"""The key of the checksum in a JSON object; objects of earlier versions have none."""

SEAL_BYTES = 12
_MARK = b"axlcrc32"
_READ_BYTES = 1 << 20


def seal_object(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its checksum under `OBJECT_KEY`; the order of keys does not matter."""
    return {**values, OBJECT_KEY: _object_crc(values)}


def object_is_whole(values: Mapping[str, Any]) -> bool:
    """Tell whether a JSON object is as `seal_object` made it. One without a checksum is taken as it is."""
    return OBJECT_KEY not in values or values[OBJECT_KEY] == _object_crc(values)


def _object_crc(values: Mapping[str, Any]) -> str:
    content = json.loads(json.dumps({key: value for key, value in values.items() if key != OBJECT_KEY}))
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def seal_of(crc: int) -> bytes:
    """Return the `SEAL_BYTES` bytes that say a CRC-32, to be written behind what they seal."""
    return _MARK + crc.to_bytes(4, "little")


def is_seal(content: bytes) -> bool:
    """Tell whether bytes are a `seal_of` some content."""
    return len(content) == SEAL_BYTES and content.startswith(_MARK)


def crc_of_file(file: BinaryIO, begin: int = 0, end: int | None = None, crc: int = 0) -> int:
    """Compute the CRC-32 of the bytes of a file from ``begin`` to ``end``, going on from ``crc``."""
    file.seek(begin)
    left = -1 if end is None else end - begin
    while left and (block := file.read(_READ_BYTES if left < 0 else min(left, _READ_BYTES))):
        crc = zlib.crc32(block, crc)
        left -= len(block) if left > 0 else 0
    return crc


def crc_of_path(path: Path) -> str:
    """Compute the CRC-32 of a file, as eight hexadecimal digits."""
    with path.open("rb", buffering=0) as file:
        return f"{crc_of_file(file):08x}"
