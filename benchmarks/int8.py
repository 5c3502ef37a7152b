"""Try the encoder with int8 weights, and with int8 activations: speed, size and how far the embeddings move.

python -m benchmarks int8 [--models axlstm-tiny] [--rounds 9]

Activations are calibrated on one half of the bundled recordings and compared on the other. One core; ratios are of
processor time, which other work on the machine disturbs little.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

import axlstm
from axlstm.engines.openvino_graph import EncoderGraph
from axlstm.engines.runtimes import openvino_core
from axlstm.model.config import ModelConfig
from axlstm.samples import sample_paths
from benchmarks.machine import describe_machine
from benchmarks.report import save

Kind = Literal["float", "weights", "activations"]
Array = NDArray[Any]
_WAYS: tuple[tuple[str, Kind, str], ...] = (
    ("float32", "float", "f32"),
    ("bfloat16", "float", "bf16"),
    ("int8 weights, float32", "weights", "f32"),
    ("int8 weights, bfloat16", "weights", "bf16"),
    ("int8 weights and activations, float32", "activations", "f32"),
    ("int8 weights and activations, bfloat16", "activations", "bf16"),
)


class Int8Graph(EncoderGraph):
    """An encoder whose projections are in int8. Without ``ranges`` it is the exact one, which measures them."""

    def __init__(self, weights: Mapping[str, Array], config: ModelConfig, kind: Kind, ranges: Array | None) -> None:
        super().__init__(weights, config)
        self.kind, self.ranges = kind, ranges
        self.measured: list[Any] = []  # lowest and highest value of each input of a projection

    def linear(self, x: Any, weight: Array, bias: Array | None = None) -> Any:
        x, kernel = self._quantised(x, weight)
        out = self.ops.matmul(x, kernel, False, True)
        return out if bias is None else self.add(out, bias)

    def convolve(self, x: Any, kernels: Array, groups: int = 1) -> Any:
        if groups > 1:
            return super().convolve(x, kernels, groups)
        x, kernel = self._quantised(x, kernels)
        return self.ops.convolution(x, kernel, [1], [0], [0], [1])

    def _quantised(self, x: Any, weight: Array) -> tuple[Any, Any]:
        axes = self.constant(range(3), np.int64)
        number = len(self.measured)
        self.measured.append((self.ops.reduce_min(x, axes), self.ops.reduce_max(x, axes)))
        if self.kind == "float":
            return x, self.constant(weight)
        largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)  # of each output channel
        if self.kind == "weights":
            whole = np.round(weight / largest * 127)
            levels = self.ops.convert(self.constant(whole, np.int8), "f32")
            return x, self.multiply(levels, largest / 127)
        assert self.ranges is not None
        low, high = (self.constant(end) for end in self.ranges[number])
        x = self.ops.fake_quantize(x, low, high, low, high, 256)
        ends = (self.constant(-largest), self.constant(largest))
        return x, self.ops.fake_quantize(self.constant(weight), *ends, *ends, 255)


def int8(models: tuple[str, ...] = ("axlstm-tiny",), rounds: int = 9, keep: bool = True) -> int:
    """Compare the ways on one core.

    Args:
        models: what `axlstm.load_model` takes.
        rounds: times that each way computes a window.
        keep: write the result beside the others.
    """
    rows = []
    for name in models:
        embedder = axlstm.load_model(name, engine=None)
        states = embedder.checkpoint.model.state_dict().items()
        weights = {key: value.numpy() for key, value in states}
        windows = [window.numpy() for path in sample_paths() for window in embedder.prepare(path).windows[:2]]
        calibrating, tested = windows[::2], windows[1::2]
        ranges = _measure_ranges(weights, embedder.config, calibrating)
        with torch.no_grad():
            exact = embedder.frame_encoder(torch.from_numpy(np.stack(tested))).numpy()
        runs: dict[str, Callable[[Array], Array]] = {}
        sizes: dict[str, int] = {}
        for way, kind, hint in _WAYS:
            graph = Int8Graph(weights, embedder.config, kind, ranges)
            compiled = _compile(graph, hint)
            sizes[way] = len(compiled.export_model().getvalue())
            runs[way] = _runner(compiled)
        seconds: dict[str, list[float]] = {way: [] for way in runs}
        for turn in range(rounds + 1):
            for way, run in runs.items():
                begin = time.process_time()
                run(tested[turn % len(tested)])
                if turn:
                    seconds[way].append(time.process_time() - begin)
        for way, run in runs.items():
            found = np.concatenate([run(window) for window in tested])
            frames = (found * exact).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(exact, axis=-1)
            scenes = _cosines(found.mean(axis=1), exact.mean(axis=1))
            middle = statistics.median(seconds[way])
            row = {"model": name, "way": way, "ms": 1e3 * middle, "mb": sizes[way] / 1e6, "seconds": seconds[way]}
            row |= {"scene_cosine": float(scenes.min()), "frame_cosine": float(frames.mean())}
            row["ratio_to_float32"] = statistics.median(seconds["float32"]) / middle
            rows.append(row)
            print(
                f"{name:12} {way:40} {row['ms']:6.1f} ms a window, {row['ratio_to_float32']:.2f}x float32, "
                f"{row['mb']:5.1f} MB, cosine of scenes >= {row['scene_cosine']:.5f}, frames {row['frame_cosine']:.5f}",
                flush=True,
            )
    if keep:
        save("int8", {"machine": describe_machine(), "rows": rows}, by_family=True)
    return 0


def _cosines(a: Array, b: Array) -> Array:
    found: Array = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return found


def _measure_ranges(weights: Mapping[str, Array], config: ModelConfig, windows: Sequence[Array]) -> Array:
    """Return the lowest and the highest value of each projection's input, ``(projections, 2)``."""
    graph = Int8Graph(weights, config, "float", None)
    compiled = _compile(graph, "f32", [end for pair in _after_build(graph) for end in pair])
    run = _runner(compiled, outputs=None)
    found = np.array([run(window) for window in windows]).reshape(len(windows), -1, 2)
    return np.stack([found[:, :, 0].min(axis=0), found[:, :, 1].max(axis=0)], axis=1)


def _after_build(graph: Int8Graph) -> list[Any]:
    graph.build("time", None)
    return graph.measured


def _compile(graph: Int8Graph, hint: str, outputs: Sequence[Any] | None = None) -> Any:
    model = graph.model(outputs) if outputs is not None else graph.build("time", None)
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    return openvino_core().compile_model(model, "CPU", settings)


def _runner(compiled: Any, outputs: int | None = 0) -> Callable[[Array], Array]:
    request = compiled.create_infer_request()

    def run(window: Array) -> Array:
        results = request.infer([window[None], np.array([window.shape[0] // 4])])
        if outputs is None:
            return np.array([float(results[output]) for output in compiled.outputs])
        return np.array(results[compiled.outputs[outputs]])

    return run
