"""End a TensorFlow Lite model early, so that an inner tensor becomes its output.

An interpreter returns outputs only, unless it keeps every tensor, which takes nearly twice the time.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from axlstm.errors import CheckpointError


@dataclass(frozen=True)
class CutModel:
    """A model that ends earlier."""

    content: bytes
    weights: int  # constant float32 numbers that its output depends on


def cut_before(content: bytes, tensor_name: str, front_end: str, source: str) -> CutModel:
    """End a model at the first input of the operator that makes the tensor of this name.

    Args:
        content: the file.
        tensor_name: its name in the file.
        front_end: constants with this in their name are fixed filters and do not count as weights.
        source: where the file came from, for errors.

    Raises:
        CheckpointError: the file is no model, has several outputs, or has no such tensor.
    """
    if not schema.Model.ModelBufferHasIdentifier(content, 0):
        raise CheckpointError(f"{source} is not a TensorFlow Lite model")
    try:
        return _cut(bytearray(content), tensor_name, front_end)
    except (struct.error, ValueError, IndexError, TypeError, AttributeError) as error:  # as damaged offsets raise
        raise CheckpointError(f"{source} cannot be cut before {tensor_name}: {error}") from error


def _cut(content: bytearray, tensor_name: str, front_end: str) -> CutModel:
    model = schema.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    names = [tensor.Name().decode() for tensor in tensors]
    target = names.index(tensor_name)
    used: set[int] = set()
    for operator in map(graph.Operators, range(graph.OperatorsLength())):  # in the order of computation
        inputs = [operator.Inputs(i) for i in range(operator.InputsLength())]
        if target in [operator.Outputs(i) for i in range(operator.OutputsLength())]:
            output = inputs[0]
            break
        used.update(inputs)
    else:
        raise ValueError("no operator makes it")
    if graph.OutputsLength() != 1:
        raise ValueError(f"it has {graph.OutputsLength()} outputs, expected one")
    weights = 0
    for i in used - {-1}:  # -1 is an input left out
        tensor = tensors[i]
        is_constant = model.Buffers(tensor.Buffer()).DataLength() > 0
        if tensor.Type() == schema.TensorType.FLOAT32 and is_constant and front_end not in names[i]:
            weights += math.prod(tensor.Shape(axis) for axis in range(tensor.ShapeLength()))
    graph.OutputsAsNumpy()[0] = output  # a view of content
    return CutModel(bytes(content), weights)
