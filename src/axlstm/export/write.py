"""Export a model: write it, read it back in its runtime, compare it with the embedder, and then put it in place."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

import axlstm
from axlstm.engines.graph import PortableEncoder, WaveformModel
from axlstm.engines.onnx import Axes, any_size, check_exporter, quiet_exporters, record, to_onnx
from axlstm.engines.runtimes import check_engine, import_openvino, openvino_core
from axlstm.errors import ConfigError, ExportError, first_line
from axlstm.export.check import Agreement, measure_agreement
from axlstm.export.exported import METADATA_NAME, SUFFIXES, ExportedModel
from axlstm.files import Part, writing

if TYPE_CHECKING:
    from axlstm.embed.embedder import Embedder

INPUTS: Axes = {"waveforms": ["batch", "samples"]}
OUTPUTS: Axes = {"scene": ["batch", None], "frames": ["batch", "frames", None], "timestamps_ms": ["frames"]}
_EXAMPLE_SECONDS = 5  # of the clips that the graph is recorded with; other lengths run as well


@dataclass(frozen=True)
class WaveformGraph:
    """A model of waveforms ``(batch, samples)`` to be exported: its outputs, and what the file says of itself."""

    model: nn.Module
    sample_rate: int
    least_samples: int
    outputs: Axes
    metadata: Mapping[str, str]


def export_model(
    embedder: Embedder, path: Path, kind: str, on_step: Callable[[str], None] = lambda _: None
) -> Agreement:
    """Write ``embedder`` to ``path`` as ``kind``; see `Embedder.export` for errors and the result.

    Args:
        on_step: called with a description of each step when it begins; together they take about a minute.
    """
    embedder = check_exportable(embedder, path, kind)

    def compare(written: Path) -> Agreement:
        return measure_agreement(ExportedModel(written), embedder)

    graph = WaveformGraph(
        make_waveform_model(embedder),
        embedder.sample_rate,
        embedder.logmel.config.least_samples,
        OUTPUTS,
        describe_embedder(embedder),
    )
    return export_graph(graph, path, kind, compare, on_step)


def check_exportable(embedder: Embedder, path: Path, kind: str) -> Embedder:
    """Return the embedder that can be exported in place of one, with the same numbers.

    Raises:
        ConfigError: there is none, a name or format that does not fit, or a library that is missing.
    """
    if kind not in SUFFIXES:
        raise ConfigError(f"format={kind!r}: expected one of {', '.join(SUFFIXES)}")
    if path.suffix != SUFFIXES[kind]:
        raise ConfigError(f"{path}: expected a name that ends with {SUFFIXES[kind]} for format={kind!r}")
    if embedder.layout_name != "time":
        raise ConfigError(f"layout={embedder.layout_name!r} is not exported: make the embedder with layout='time'")
    if embedder.dtype != torch.float32 or embedder.device.type != "cpu":
        raise ConfigError("only a float32 embedder on the CPU is exported: the file's runtime chooses what else")
    if kind != "torch-export":
        check_exporter()
        check_engine("openvino" if kind == "openvino" else "onnxruntime")
    return embedder.in_torch()


def make_waveform_model(embedder: Embedder) -> WaveformModel:
    """Make the model of waveforms that gives what an embedder of `check_exportable` does."""
    return WaveformModel(PortableEncoder(embedder.frame_encoder), embedder.frontend, embedder.pooling)


def export_graph(
    graph: WaveformGraph,
    path: Path,
    kind: str,
    compare: Callable[[Path], Agreement],
    on_step: Callable[[str], None] = lambda _: None,
) -> Agreement:
    """Write a graph, compare what was written with what it was made from, and put it in place.

    Args:
        compare: is given the written file.

    Raises:
        ConfigError: weights that the format cannot hold.
        ExportError: the file does not give the same.
        WriteError: the disk is full or fails.
    """
    path = path.resolve()  # of a link, what it points to is replaced
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Part(path, folder=True)
    try:
        written = part.path / path.name
        _write_format(graph, written, path, kind, on_step)
        on_step("read the file back and compare it with the model on bundled recordings")
        agreement = compare(written)
        if not agreement.holds:
            raise ExportError(
                f"{path}: not written, since what the exported model gives differs from the model's by up to "
                f"{agreement.exported:.1e}, more than {agreement.tolerance:g} (float32 itself: "
                f"{agreement.embedder:.1e})"
            )
        # The weights first: with the file of the given name the model is complete.
        with writing(path):
            for file in sorted(part.path.iterdir(), key=lambda file: file.name == path.name):
                file.replace(path.with_name(file.name))
    finally:
        part.discard()
    return agreement


def _write_format(graph: WaveformGraph, path: Path, target: Path, kind: str, on_step: Callable[[str], None]) -> None:
    """Write a graph, in float32 on the CPU, to ``path``; OpenVINO's weights go to a .bin file beside it.

    Errors of the disk name the ``target``.
    """
    example = torch.zeros(2, _EXAMPLE_SECONDS * graph.sample_rate)
    on_step("record the model as a graph")
    program = record(graph.model, (example,), any_size(batch=1, samples=graph.least_samples))
    on_step(f"convert the graph to {kind}")
    if kind == "torch-export":
        with quiet_exporters():
            content = io.BytesIO()  # torch does not say why it cannot write
            torch.export.save(program, content, extra_files={METADATA_NAME: json.dumps(dict(graph.metadata))})
        with writing(target):
            path.write_bytes(content.getvalue())
        return
    onnx = to_onnx(program, INPUTS, graph.outputs, graph.metadata)
    if kind == "onnx":
        with writing(target):
            path.write_bytes(onnx)
        return
    openvino = import_openvino()
    converted = openvino_core().read_model(onnx)
    for key, text in graph.metadata.items():
        converted.set_rt_info(text, ["axlstm", key])
    with writing(target):
        try:
            openvino.save_model(converted, path, compress_to_fp16=False)
        except RuntimeError as error:  # of its stream, without a reason
            raise OSError(first_line(error)) from error


def describe_embedder(embedder: Embedder) -> dict[str, str]:
    """Collect the description that is written into the file."""
    frontend = embedder.frontend
    hop_ms = 1000 * frontend.hop_samples * embedder.config.patch_frames / frontend.sample_rate_hz
    facts = {
        "name": embedder.name,
        "trained": embedder.trained,
        "family": embedder.config.family,
        "layout": embedder.layout_name,
        "padding": embedder.padding,
        "layers": "last, normalised" if embedder.layers is None else embedder.layers,
        "pooling": embedder.pooling,
        "sample_rate_hz": embedder.sample_rate,
        "least_samples": embedder.logmel.config.least_samples,
        "hop_ms": f"{hop_ms:g}",
        "embedding_size": embedder.scene_embedding_size,
        "fingerprint": embedder.fingerprint,
        "axlstm_version": axlstm.__version__,
    }
    return {key: str(value) for key, value in facts.items()}
