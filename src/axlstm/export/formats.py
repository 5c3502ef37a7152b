"""One graph, written in three formats."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

import axlstm
from axlstm.errors import ConfigError
from axlstm.export.exported import METADATA_NAME
from axlstm.export.graph import PortableEncoder, WaveformModel

if TYPE_CHECKING:
    from axlstm.embedder import Embedder

Axes: TypeAlias = "Mapping[str, list[str | None]]"
"""Names of tensors, with the names of their axes; None for an axis of fixed length."""

INPUTS: Axes = {"waveforms": ["batch", "samples"]}
OUTPUTS: Axes = {"scene": ["batch", None], "frames": ["batch", "frames", None], "timestamps_ms": ["frames"]}
_MOST_BYTES = 2**31 - 2**24  # a protocol buffer's limit, less the graph's own part
_EXAMPLE_SECONDS = 5  # of the clips that the graph is recorded with; other lengths run as well


def write_format(embedder: Embedder, path: Path, kind: str) -> None:
    """Write ``embedder``, in float32 on the CPU, to ``path``; OpenVINO's weights go to a .bin file beside it."""
    metadata = describe(embedder)
    model = WaveformModel(portable_encoder(embedder), embedder.checkpoint.frontend, embedder.pooling)
    example = torch.zeros(2, _EXAMPLE_SECONDS * embedder.sample_rate)
    program = record(model, example, any_size(batch=1, samples=embedder.logmel.least_samples))
    if kind == "torch-export":
        with _quiet():
            torch.export.save(program, path, extra_files={METADATA_NAME: json.dumps(metadata)})
        return
    onnx = to_onnx(program, INPUTS, OUTPUTS, metadata)
    if kind == "onnx":
        path.write_bytes(onnx)
        return
    import openvino

    graph = openvino.Core().read_model(onnx)
    for key, text in metadata.items():
        graph.set_rt_info(text, ["axlstm", key])
    openvino.save_model(graph, path, compress_to_fp16=False)


def describe(embedder: Embedder) -> dict[str, str]:
    """What an exported file says about itself."""
    frontend = embedder.checkpoint.frontend
    hop_ms = 1000 * frontend.hop_samples * embedder.config.patch_frames / frontend.sample_rate_hz
    facts = {
        "name": embedder.name,
        "trained": embedder.trained,
        "family": embedder.config.family,
        "layout": embedder.layout_name,
        "layers": "last, normalised" if embedder.layers is None else embedder.layers,
        "pooling": embedder.pooling,
        "sample_rate_hz": embedder.sample_rate,
        "least_samples": embedder.logmel.least_samples,
        "hop_ms": f"{hop_ms:g}",
        "embedding_size": embedder.scene_embedding_size,
        "fingerprint": embedder.fingerprint,
        "axlstm_version": axlstm.__version__,
    }
    return {key: str(value) for key, value in facts.items()}


def portable_encoder(embedder: Embedder) -> PortableEncoder:
    """The embedder's encoder as a graph without branches, in float32 on the CPU."""
    return PortableEncoder(embedder.model.encoder, embedder.layout, embedder.layers).eval()


def record(model: nn.Module, example: Tensor, sizes: Mapping[int, Dim]) -> ExportedProgram:
    """The graph of ``model`` for an input like ``example`` whose axes in ``sizes`` may have any length."""
    symbolic_shapes: Any = import_module("torch.fx.experimental._config")

    # Without the setting a batch of one, or a clip of one window, would be compiled as a case of its own.
    with torch.no_grad(), _quiet(), symbolic_shapes.patch(backed_size_oblivious=True):
        return torch.export.export(model.eval(), (example,), dynamic_shapes=(dict(sizes),), strict=False)


def any_size(**least: int) -> dict[int, Dim]:
    """The first axes by name, each of any length from the one given up."""
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
    """A recorded graph as an ONNX model.

    Raises:
        ConfigError: weights that one file cannot hold.
    """
    size = sum(weight.nbytes for weight in program.state_dict.values())
    if size > _MOST_BYTES:
        raise ConfigError(f"{size / 1e9:.1f} GB of weights: an ONNX model holds at most 2 GB; take torch-export")
    with _quiet():
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
def _quiet() -> Iterator[None]:
    """Without what torch's exporters say about themselves: their own deprecations, and libraries not needed."""
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
