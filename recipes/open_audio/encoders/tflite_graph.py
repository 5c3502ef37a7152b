"""What a TensorFlow Lite model computes before its output, made its output.

An interpreter shows its outputs only, unless it is asked to keep every tensor, which takes nearly twice the time. A
model is a FlatBuffer (https://flatbuffers.dev/internals): tables that find their fields by a table of offsets. Of the
schema (tensorflow/compiler/mlir/lite/schema/schema.fbs) a handful of fields is needed here, named below by their order.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from axlstm.errors import CheckpointError

_MODEL_SUBGRAPHS, _MODEL_BUFFERS = 2, 4
_GRAPH_TENSORS, _GRAPH_OUTPUTS, _GRAPH_OPERATORS = 0, 2, 3
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER, _TENSOR_NAME = 0, 1, 2, 3
_OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 1, 2
_BUFFER_DATA = 0


@dataclass(frozen=True)
class CutModel:
    """A model that ends earlier."""

    content: bytes
    weights: int  # constant float32 numbers that its output depends on


def cut_before(content: bytes, tensor_name: str, front_end: str, source: str) -> CutModel:
    """The model whose output is the first input of the operator that makes the tensor of this name.

    Args:
        content: the file.
        tensor_name: its name in the file.
        front_end: constants with this in their name are fixed filters and do not count as weights.
        source: where the file came from, for errors.

    Raises:
        CheckpointError: not a model, more than one output, or no such tensor.
    """
    if content[4:8] != b"TFL3":
        raise CheckpointError(f"{source} is not a TensorFlow Lite model")
    try:
        return _cut(_Buffer(content), tensor_name, front_end)
    except (struct.error, ValueError, IndexError) as error:
        raise CheckpointError(f"{source} cannot be cut before {tensor_name}: {error}") from error


def _cut(buffer: _Buffer, tensor_name: str, front_end: str) -> CutModel:
    model = buffer.int32(0)
    (graph,) = buffer.tables(model, _MODEL_SUBGRAPHS)
    tensors = buffer.tables(graph, _GRAPH_TENSORS)
    names = [buffer.string(tensor, _TENSOR_NAME) for tensor in tensors]
    target = names.index(tensor_name)
    used: set[int] = set()
    for operator in buffer.tables(graph, _GRAPH_OPERATORS):  # in the order of computation
        inputs = buffer.int32s(operator, _OPERATOR_INPUTS)
        if target in buffer.int32s(operator, _OPERATOR_OUTPUTS):
            output = inputs[0]
            break
        used.update(inputs)
    else:
        raise ValueError("no operator makes it")
    buffers = buffer.tables(model, _MODEL_BUFFERS)
    weights = 0
    for index in used - {-1}:  # -1 is an input left out
        tensor = tensors[index]
        is_float32 = buffer.byte(tensor, _TENSOR_TYPE) == 0
        is_constant = buffer.vector(buffers[buffer.uint32(tensor, _TENSOR_BUFFER)], _BUFFER_DATA)[1] > 0
        if is_float32 and is_constant and front_end not in names[index]:
            weights += math.prod(buffer.int32s(tensor, _TENSOR_SHAPE))
    at, count = buffer.vector(graph, _GRAPH_OUTPUTS)
    if count != 1:
        raise ValueError(f"it has {count} outputs, expected one")
    content = bytearray(buffer.content)
    struct.pack_into("<i", content, at, output)
    return CutModel(bytes(content), weights)


class _Buffer:
    """Fields of tables; a table is the position where it starts."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def int32(self, at: int) -> int:
        return struct.unpack_from("<i", self.content, at)[0]

    def _field(self, table: int, index: int) -> int | None:
        """Where a field lies; None if it has its default value."""
        offsets = table - self.int32(table)
        (length,) = struct.unpack_from("<H", self.content, offsets)
        slot = 4 + 2 * index
        if slot >= length:
            return None
        (offset,) = struct.unpack_from("<H", self.content, offsets + slot)
        return table + offset if offset else None

    def byte(self, table: int, index: int) -> int:
        at = self._field(table, index)
        return 0 if at is None else self.content[at]

    def uint32(self, table: int, index: int) -> int:
        at = self._field(table, index)
        return 0 if at is None else struct.unpack_from("<I", self.content, at)[0]

    def vector(self, table: int, index: int) -> tuple[int, int]:
        """Where a vector's first element lies, and how many there are."""
        at = self._field(table, index)
        if at is None:
            return 0, 0
        start = at + self.int32(at)
        return start + 4, self.int32(start)

    def int32s(self, table: int, index: int) -> list[int]:
        at, count = self.vector(table, index)
        return list(struct.unpack_from(f"<{count}i", self.content, at))

    def tables(self, table: int, index: int) -> list[int]:
        at, count = self.vector(table, index)
        return [at + 4 * i + self.int32(at + 4 * i) for i in range(count)]

    def string(self, table: int, index: int) -> str:
        at, count = self.vector(table, index)
        return self.content[at : at + count].decode()
