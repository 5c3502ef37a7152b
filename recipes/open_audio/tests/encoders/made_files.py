"""What the tests of the encoders share: files as the encoders' packages have them, made here."""

import importlib
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

ENCODERS = Path(__file__).parents[2] / "encoders"
POOL = "model/GLOBAL_AVG_POOL/Mean"  # where BirdNET is cut


def recipe_module(name: str) -> ModuleType:
    """A module of the folder of encoders, which is no package: its files find each other as a script's do."""
    sys.path.insert(0, str(ENCODERS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ENCODERS))


def varint(value: int) -> bytes:
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def write_checkpoint(
    prefix: Path, variables: dict[str, np.ndarray], per_block: int = 16, compression: bytes = b"\0"
) -> None:
    """A checkpoint as TensorFlow writes it: keys sorted, sharing prefixes, in blocks."""
    types = {"float32": 1, "float64": 2, "int32": 3, "int64": 9}
    data = b""
    entries = [(b"", field(1, 1))]
    for name, value in sorted(variables.items()):
        shape = b"".join(field(2, field(1, size)) for size in value.shape)
        extent = field(4, len(data)) + field(5, value.nbytes)
        entries.append((name.encode(), field(1, types[value.dtype.name]) + field(2, shape) + extent))
        data += value.tobytes()
    table = b""
    handles = []
    for first in range(0, len(entries), per_block):
        part = entries[first : first + per_block]
        handles.append((part[-1][0], varint(len(table)) + varint(len(_block(part)))))
        table += _block(part) + compression + b"crc!"
    meta = varint(len(table)) + varint(len(_block([])))
    table += _block([]) + b"\0crc!"
    index = varint(len(table)) + varint(len(_block(handles)))
    table += _block(handles) + b"\0crc!"
    footer = (meta + index).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table + footer)
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)


def _block(entries: list[tuple[bytes, bytes]]) -> bytes:
    content, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return content + struct.pack("<II", 0, 1)  # one restart, at 0


def tiny_tflite() -> bytes:
    """input -> (MEL_SPEC, kernel) conv -> POOL -> (classes) output, as a FlatBuffer."""
    out = bytearray(struct.pack("<I4s", 0, b"TFL3"))

    def vector(items: list[int], code: str = "i") -> int:
        out.extend(b"\0" * (-len(out) % 4))
        at = len(out)
        out.extend(struct.pack(f"<I{len(items)}{code}", len(items), *items))
        return at

    def table(slots: dict[int, int], scalars: dict[int, int] | None = None) -> int:
        """Fields by order: positions of what they point to, and 32-bit numbers."""
        out.extend(b"\0" * (-len(out) % 4))
        values = {**slots, **(scalars or {})}
        last = max(values, default=-1)
        places = {index: 4 + 4 * i for i, index in enumerate(sorted(values))}
        vtable = len(out)
        offsets = [places.get(index, 0) for index in range(last + 1)]
        out.extend(struct.pack(f"<HH{last + 1}H", 4 + 2 * (last + 1), 4 + 4 * len(values), *offsets))
        out.extend(b"\0" * (-len(out) % 4))
        at = len(out)
        out.extend(struct.pack("<i", at - vtable) + b"\0" * 4 * len(values))
        for index, value in values.items():
            place = at + places[index]
            struct.pack_into("<i", out, place, value - place if index in slots else value)
        return at

    def tables(positions: list[int]) -> int:
        at = vector(positions)
        for i, position in enumerate(positions):
            struct.pack_into("<i", out, at + 4 + 4 * i, position - (at + 4 + 4 * i))
        return at

    empty, full = table({}), table({0: vector([1, 2, 3, 4], "B")})
    buffers = tables([empty, full])
    described = [("input", [4], 0), ("model/MEL_SPEC", [4, 4], 1), ("kernel", [2, 3], 1), ("conv", [3], 0)]
    described += [(POOL, [1], 0), ("output", [9], 0), ("classes", [1, 9], 1)]
    tensors = tables(
        [
            table({0: vector(shape), 3: vector(list(name.encode()), "B")}, {2: buffer})
            for name, shape, buffer in described
        ]
    )
    steps = [([0, 1, 2, -1], [3]), ([3], [4]), ([4, 6], [5])]
    operators = tables([table({1: vector(inputs), 2: vector(outputs)}) for inputs, outputs in steps])
    graph = table({0: tensors, 1: vector([0]), 2: vector([5]), 3: operators})
    model = table({2: tables([graph]), 4: buffers})
    struct.pack_into("<I", out, 0, model)
    return bytes(out)
