"""Read the wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding)."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number in groups of seven bits, lowest first; returns it and the position of the next byte.

    Raises:
        ValueError: the data end inside the number, or it has more than 64 bits.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"no varint ends at byte {at}")


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Read the fields of a message in their order: field number, and a whole number or bytes.

    Raises:
        ValueError: the message is cut short, or has groups, which no file read here has.
    """
    at = 0
    while at < len(message):
        key, at = read_varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = read_varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = read_varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {at} is not one that can be read")
        if at + length > len(message):
            raise ValueError(f"{length} bytes from byte {at} on, of {len(message)}")
        part = message[at : at + length]
        at += length
        yield key >> 3, part if kind == _BYTES else int.from_bytes(part, "little")


def nested(message: bytes, number: int) -> list[bytes]:
    """Read all values of one field that holds bytes, a string or a message."""
    return [value for found, value in fields(message) if found == number and isinstance(value, bytes)]


def numbers(message: bytes, number: int) -> list[int]:
    """Read all values of one field that holds whole numbers, packed or one by one."""
    found: list[int] = []
    for field, value in fields(message):
        if field != number:
            continue
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            one, at = read_varint(value, at)
            found.append(one)
    return found
