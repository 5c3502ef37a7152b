"""Record a model as a graph, and convert that to an ONNX model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

import axlstm.vector_math
from axlstm.errors import ConfigError

Axes: TypeAlias = "Mapping[str, list[str | None]]"
"""Names of tensors, with the names of their axes; None for an axis of fixed length."""

_MOST_BYTES = 2**31 - 2**24  # a protocol buffer's limit, less the graph's own part


def record(model: nn.Module, example: tuple[Tensor, ...], sizes: Mapping[int, Dim]) -> ExportedProgram:
    """Record the graph of ``model`` for inputs like ``example``, of any length in the axes ``sizes`` of the first."""
    symbolic_shapes: Any = import_module("torch.fx.experimental._config")

    # Without the setting a batch of one, or a clip of one window, would be compiled as a case of its own.
    with torch.no_grad(), quiet_exporters(), symbolic_shapes.patch(backed_size_oblivious=True):
        shapes = (dict(sizes), *(None for _ in example[1:]))
        return torch.export.export(model.eval(), example, dynamic_shapes=shapes, strict=False)


def any_size(**least: int) -> dict[int, Dim]:
    """Name the first axes, each of any length from the one given up."""
    return {axis: Dim(name, min=length) for axis, (name, length) in enumerate(least.items())}


def check_exporter() -> None:
    """Refuse to go on where the libraries that write ONNX are missing, with a `ConfigError`."""
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ConfigError(f'{" and ".join(missing)} missing for ONNX: pip install "axlstm[onnx]"')


def to_onnx(
    program: ExportedProgram,
    inputs: Axes,
    outputs: Axes,
    metadata: Mapping[str, str],
) -> bytes:
    """Convert a recorded graph to an ONNX model.

    Raises:
        ConfigError: weights that one file cannot hold.
    """
    size = sum(weight.nbytes for weight in program.state_dict.values())
    if size > _MOST_BYTES:
        raise ConfigError(f"{size / 1e9:.1f} GB of weights: an ONNX model holds at most 2 GB; take torch-export")
    with quiet_exporters():
        written = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=list(inputs), output_names=list(outputs)
        )
    assert written is not None
    model: Any = written.model_proto
    values, axes_of = [*model.graph.input, *model.graph.output], [*inputs.values(), *outputs.values()]
    for value, axes in zip(values, axes_of, strict=True):
        for dimension, name in zip(value.type.tensor_type.shape.dim, axes, strict=True):
            if name is not None:
                dimension.dim_param = name
    del model.graph.value_info[:]  # shapes in between, which name the axes otherwise
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    return bytes(model.SerializeToString())


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Silence what torch's exporters say about themselves: their own deprecations, and libraries not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        logger.setLevel(level)
