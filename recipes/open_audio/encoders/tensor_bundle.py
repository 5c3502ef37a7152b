"""Read TensorFlow's checkpoints (``NAME.index`` and ``NAME.data-...``) without TensorFlow.

The index is a table of sorted strings as in LevelDB: blocks of entries whose keys share prefixes, a block that lists
the blocks, and a footer of 48 bytes (https://github.com/google/leveldb/blob/main/doc/table_format.md). Its values are
``BundleEntryProto`` messages, each naming a type, a shape and an extent of the data file, which is raw
(tensorflow/core/protobuf/tensor_bundle.proto). Checkpoints in several data files, sliced variables and compressed
blocks are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from protobuf_wire import nested, numbers, read_varint

from axlstm.errors import CheckpointError

_FOOTER_BYTES = 48
_MAGIC = 0xDB4775248B80FB57
_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
}  # of DataType


def read_checkpoint(prefix: str | Path) -> dict[str, NDArray]:
    """Read the variables of a checkpoint by name; those of strings and other types without numbers are left out.

    Args:
        prefix: the path without ``.index``.

    Raises:
        CheckpointError: a file is missing, or not in this format.
    """
    index, data = Path(f"{prefix}.index"), Path(f"{prefix}.data-00000-of-00001")
    for path in (index, data):
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: expected a checkpoint of TensorFlow, fetched by fetch.py")
    content = data.read_bytes()
    try:
        entries = dict(_table_entries(index.read_bytes()))
        header = entries.pop(b"", b"")
        if numbers(header, 1) not in ([], [1]):
            raise ValueError("its data are in several files")
        read = {key.decode(): _variable(key.decode(), entry, content) for key, entry in entries.items()}
    except ValueError as error:  # a broken string is one as well
        raise CheckpointError(f"{index}: not a TensorFlow checkpoint that can be read: {error}") from error
    return {name: variable for name, variable in read.items() if variable is not None}


def _variable(name: str, entry: bytes, content: bytes) -> NDArray | None:
    dtype = _TYPES.get((numbers(entry, 1) or [0])[0])
    if nested(entry, 7):
        raise ValueError(f"{name} is sliced")
    if dtype is None:
        return None
    shape = [(numbers(extent, 1) or [0])[0] for part in nested(entry, 2) for extent in nested(part, 2)]
    offset, size = ((numbers(entry, field) or [0])[0] for field in (4, 5))
    if size != math.prod(shape) * dtype.itemsize or offset + size > len(content):
        raise ValueError(f"{name} of shape {shape} in {size} bytes from byte {offset} on, of {len(content)}")
    return np.frombuffer(content, dtype, math.prod(shape), offset).reshape(shape)


def _table_entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Read the keys and values of a whole table, in the keys' order."""
    footer = table[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != _MAGIC:
        raise ValueError("it does not end as a table does")
    at = 0
    for _ in range(2):  # over the handle of the meta index, which holds nothing
        _, at = read_varint(footer, at)
    for _, handle in _block_entries(table, footer[at:]):
        yield from _block_entries(table, handle)


def _block_entries(table: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Read the keys and values of the block that a handle (offset and size) points to."""
    offset, at = read_varint(handle, 0)
    size, _ = read_varint(handle, at)
    block = table[offset : offset + size]
    if len(block) < size or size < 4 or table[offset + size : offset + size + 1] != b"\0":
        raise ValueError(f"a block of {size} bytes at byte {offset} is cut short or compressed")
    restarts = int.from_bytes(block[-4:], "little")
    end = size - 4 - 4 * restarts
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        unshared, at = read_varint(block, at)
        length, at = read_varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length
