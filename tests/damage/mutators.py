"""Random edits of a file: what disks, transfers, editors and hostile people do to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from axlstm.seals import OBJECT_KEY, seal_object

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NUMBERS = [b"-1", b"0", b"1", b"2", b"7", b"1e30", b"1e300", b"1e999", b"NaN", b"2147483648", b"18446744073709551616"]
_NUMBERS += [b"-9223372036854775809", b"0.5", b"1000000000", b"9" * 5000]
_VALUES: list[Any] = [
    None,
    True,
    [],
    {},
    "",
    "x",
    "../../etc",
    -1,
    0,
    1e300,
    2**70,
    0.5,
    [[]],
    "9" * 400,
    {"a": 1},
    10**9,
]


def flip_bits(content: bytearray, rng: Random) -> bytes:
    """One to eight bits."""
    for _ in range(rng.choice((1, 1, 1, 8))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def cut(content: bytearray, rng: Random) -> bytes:
    """The end is missing."""
    return bytes(content[: rng.choice((rng.randrange(len(content)), max(0, len(content) - rng.randint(1, 50))))])


def _block(content: bytearray, rng: Random) -> tuple[int, int]:
    size = rng.choice((1, 4, 64, 512, 4096))
    begin = rng.randrange(len(content))
    return begin, min(len(content), begin + size)


def zero(content: bytearray, rng: Random) -> bytes:
    """A block of zeros, as a disk gives for a page that was never written."""
    begin, end = _block(content, rng)
    return bytes(content[:begin]) + bytes(end - begin) + bytes(content[end:])


def randomise(content: bytearray, rng: Random) -> bytes:
    """A block of random bytes."""
    begin, end = _block(content, rng)
    return bytes(content[:begin]) + rng.randbytes(end - begin) + bytes(content[end:])


def repeat(content: bytearray, rng: Random) -> bytes:
    """A block that is there twice."""
    begin, end = _block(content, rng)
    return bytes(content[:end]) + bytes(content[begin:])


def drop(content: bytearray, rng: Random) -> bytes:
    """A block that is missing."""
    begin, end = _block(content, rng)
    return bytes(content[:begin]) + bytes(content[end:])


def swap(content: bytearray, rng: Random) -> bytes:
    """Two blocks that have changed places."""
    size = rng.choice((1, 16, 512))
    one, other = sorted(rng.randrange(len(content)) for _ in range(2))
    size = min(size, other - one, len(content) - other)
    content[one : one + size], content[other : other + size] = content[other : other + size], content[one : one + size]
    return bytes(content)


def edit_number(content: bytearray, rng: Random) -> bytes:
    """Another number, where the bytes hold digits."""
    found = list(_NUMBER.finditer(bytes(content[: 1 << 20])))
    if not found:
        return flip_bits(content, rng)
    match = rng.choice(found)
    return bytes(content[: match.start()]) + rng.choice(_NUMBERS) + bytes(content[match.end() :])


def append(content: bytearray, rng: Random) -> bytes:
    """Bytes behind the end."""
    return bytes(content) + rng.choice((b"\0" * 512, rng.randbytes(20), b"\n", bytes(content)))


def empty(content: bytearray, _: Random) -> bytes:
    """Nothing is left."""
    del content
    return b""


EDITS: list[Callable[[bytearray, Random], bytes]] = [
    *(flip_bits, flip_bits, flip_bits, cut, cut, zero, zero, randomise, repeat, drop, swap),
    *(edit_number, edit_number, append, empty),
]


def edit_json(content: bytes, rng: Random) -> bytes | None:
    """Another value somewhere in a JSON file or line, with a checksum that fits; None if the bytes are no JSON.

    Damage does not do that, but people can.
    """
    lines = content.splitlines(keepends=True)
    try:
        whole = json.loads(content)
        number = None
    except ValueError:
        number = rng.randrange(len(lines)) if lines else 0
        try:
            whole = json.loads(lines[number]) if lines else None
        except ValueError:
            return None
    if not isinstance(whole, (dict, list)) or not whole:
        return None
    place: Any = whole
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = rng.choice(keys)
        inner = place[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.8:
            place = inner
            continue
        break
    if rng.random() < 0.2:
        del place[key]
    else:
        place[key] = rng.choice(_VALUES)
    if isinstance(whole, dict) and OBJECT_KEY in whole:
        whole = seal_object({key: value for key, value in whole.items() if key != OBJECT_KEY})
    text = json.dumps(whole).encode()
    return text if number is None else b"".join([*lines[:number], text + b"\n", *lines[number + 1 :]])


def damage(file: Path, others: list[Path], rng: Random) -> tuple[str, bool]:
    """Edit a file in place; returns the name of the edit, and whether it is one that a checksum cannot tell."""
    content = file.read_bytes()
    chance = rng.random()
    if chance < 0.02:
        file.unlink()
        return "delete", False
    if chance < 0.04 and others:
        file.write_bytes(rng.choice(others).read_bytes())
        return "replace", False
    if chance < 0.35 and (edited := edit_json(content, rng)) is not None:
        file.write_bytes(edited)
        return "edit_json", True
    edit = rng.choice(EDITS)
    file.write_bytes(edit(bytearray(content), rng) if content else b"x")
    return edit.__name__, False
