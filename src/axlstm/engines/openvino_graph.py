"""Build an encoder as an OpenVINO graph from its weights, without torch and without an exporter.

It computes what `axlstm.engines.graph.PortableEncoder` does; a test compares them. Shapes are fixed and there is one
window: OpenVINO then leaves out transpositions that only undo each other, and larger batches are hardly faster. Steps
that see only those before them are taken in parts, each with the columns that it sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.engines.runtimes import import_openvino
from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig
from axlstm.options import LayoutName

Array = NDArray[Any]
Node = Any  # a node of a graph, or one of its outputs

AXLSTM_EPS, SSAST_EPS, FINAL_EPS = 1e-5, 1e-6, 1e-6
_STEP_MULTIPLE = 32  # matrix units take no other number of bfloat16 terms in a product
_NEVER = -1e30  # logarithm of the decay to a step in the future
_MOST_EXPONENT = 80.0
_NORMALISER_EPS = 1e-6
_BLOCK_WIDTH = 32  # to which blocks of a map are widened
_MOST_PARTS = 2  # of the steps: four compute Tiny 2 % faster, and the start takes 0.1 s and 20 MB more


def build_graph(
    weights: Mapping[str, Array], config: ModelConfig, layout: LayoutName, layers: Sequence[int] | None
) -> Any:
    """Build the graph of a `FrameEncoder`.

    It takes a window ``(1, window_frames, bands)`` and how many of its patches in time are real ``(1,)``, and gives
    frame embeddings ``(1, grid_frames, F)``, of which the real ones count.

    Args:
        weights: those of the model by their names in a checkpoint, in float32.
        layers: from 0 to depth; None takes the last layer's normalised output.

    Raises:
        ConfigError: blocks of q, k and v that reach over the channels of two heads.
    """
    return EncoderGraph(weights, config).build(layout, layers)


@dataclass(frozen=True)
class Part:
    """Consecutive steps, those that they see, and a mask ``(1, 1, rows, columns)``: 0, or never where none is seen."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    mask: Node


class EncoderGraph:
    """The nodes of one encoder. Comments give shapes as numpy has them."""

    inputs: list[Node]
    real: Node  # (1, 1, 1, S): 1, or 0 where a step is not real
    unseen: Node  # (1, 1, 1, S): 0, or never where a step is not real
    parts: list[list[Part]]  # forwards and in reverse; every block has the same

    def __init__(self, weights: Mapping[str, Array], config: ModelConfig) -> None:
        self.ops: Any = import_openvino("openvino.opset13")
        self.weights, self.config = weights, config
        steps = config.tokens + config.cls_token
        self.padded = steps + (-steps % _STEP_MULTIPLE if config.family == "axlstm" else 0)
        earlier = np.eye(self.padded)  # row i sees columns j <= i, and no padding
        earlier[:steps, :steps] = np.tril(np.ones((steps, steps)))
        self.earlier = (earlier, earlier.T)  # (S, S) each, forwards and in reverse
        self.sums = [self.constant(matrix) for matrix in self.earlier]
        self.steps = steps

    # arithmetic, with constants where arrays are given

    def constant(self, value: Any, dtype: Any = np.float32) -> Node:
        return self.ops.constant(np.asarray(value, dtype=dtype, order="C"))

    def _node(self, value: Any) -> Node:
        return value if hasattr(value, "get_element_type") or hasattr(value, "outputs") else self.constant(value)

    def add(self, a: Node, b: Any) -> Node:
        return self.ops.add(a, self._node(b))

    def multiply(self, a: Node, b: Any) -> Node:
        return self.ops.multiply(a, self._node(b))

    def linear(self, x: Node, weight: Array, bias: Array | None = None) -> Node:
        """Multiply by a matrix ``(out, in)``."""
        out = self.ops.matmul(x, self.constant(weight), False, True)
        return out if bias is None else self.add(out, bias)

    def reshape(self, x: Node, *shape: int) -> Node:
        return self.ops.reshape(x, self.constant(shape, np.int64), False)

    def transpose(self, x: Node, *order: int) -> Node:
        return self.ops.transpose(x, self.constant(order, np.int64))

    def layer_norm(self, x: Node, eps: float, weight: Array | None = None, bias: Array | None = None) -> Node:
        """Normalise over the last axis."""
        normed = self.ops.mvn(x, self.constant([-1], np.int64), True, eps, "inside_sqrt")
        normed = normed if weight is None else self.multiply(normed, weight)
        return normed if bias is None else self.add(normed, bias)

    def convolve(self, x: Node, kernels: Array, groups: int = 1) -> Node:
        """Convolve ``(1, channels, S)`` with ``(out, channels / groups, K)``."""
        about = ([1], [0], [0], [1])  # strides, paddings, dilations
        if groups == 1:
            return self.ops.convolution(x, self.constant(kernels), *about)
        grouped = kernels.reshape(groups, -1, *kernels.shape[1:])
        return self.ops.group_convolution(x, self.constant(grouped), *about)

    def cut(self, x: Node, ends: tuple[int, int], axis: int) -> Node:
        return self.ops.slice(x, *(self.constant([each], np.int64) for each in (*ends, 1, axis)))

    def pad(self, x: Node, before: Sequence[int], after: Sequence[int]) -> Node:
        ends = (self.constant(end, np.int64) for end in (before, after))
        return self.ops.pad(x, *ends, "constant", self.constant(0.0))

    # the encoder

    def build(self, layout: LayoutName, layers: Sequence[int] | None) -> Any:
        """Build the graph; see `build_graph`."""
        shape = [1, self.config.window_frames, self.config.mel_bands]
        window = self.ops.parameter(shape, np.float32, name="window")
        patches = self.ops.parameter([1], np.int64, name="patches")
        frames = self.frames(window, patches, layout, layers)
        self.inputs = [window, patches]
        return self.model([frames])

    def model(self, outputs: Sequence[Node]) -> Any:
        """Make a graph of nodes that were built."""
        return import_openvino().Model([self.ops.result(node) for node in outputs], self.inputs, "axlstm")

    def frames(self, window: Node, patches: Node, layout: LayoutName, layers: Sequence[int] | None) -> Node:
        config = self.config
        x = self.embed_patches(window)  # (1, S, D), padded
        cls, bands = int(config.cls_token), config.grid_bands
        count = self.ops.add(
            self.ops.multiply(patches, self.constant([bands], np.int64)), self.constant([cls], np.int64)
        )
        # Three comparisons: of one with several uses, OpenVINO 2026.4 mixes up the memory in bfloat16.
        in_rows, in_columns, unseen = (
            self.ops.less(self.constant(np.arange(self.padded).reshape(shape), np.int64), count)
            for shape in ((1, -1, 1), (1, 1, 1, -1), (1, 1, 1, -1))
        )
        x = self.ops.multiply(x, self.ops.convert(in_rows, "f32"))
        self.real = self.ops.convert(in_columns, "f32")
        self.unseen = self.ops.select(unseen, self.constant(0.0), self.constant(_NEVER))
        self.parts = [self.cut_parts(reverse) for reverse in (False, True)]
        states = [x]
        for index in range(config.depth if layers is None else max(layers)):
            block = self.axlstm_block if config.family == "axlstm" else self.ssast_block
            states.append(block(states[-1], index))
        if layers is None:
            norm = (self.weights[f"encoder.norm.{name}"] for name in ("weight", "bias"))
            kept = [self.layer_norm(states[-1], FINAL_EPS, *norm)]
        else:
            kept = [states[layer] for layer in layers]
        parts = [self.in_time(state, layout) for state in kept]
        return parts[0] if len(parts) == 1 else self.ops.concat(parts, -1)

    def cut_parts(self, reverse: bool) -> list[Part]:
        """Cut the steps into parts. Forwards, what is not real comes last, where no real step sees it."""
        size = -(-self.padded // _MOST_PARTS)
        size += -size % _STEP_MULTIPLE
        parts = []
        for begin in range(0, self.padded, size):
            rows = begin, min(begin + size, self.padded)
            columns = (begin, self.padded) if reverse else (0, rows[1])
            mask = self.constant((1 - self.earlier[reverse][slice(*rows), slice(*columns)])[None, None] * _NEVER)
            parts.append(Part(rows, columns, self.add(mask, self.cut(self.unseen, columns, 3)) if reverse else mask))
        return parts

    def in_time(self, state: Node, layout: LayoutName) -> Node:
        """Turn tokens into frames as the `Layout` of that name does: ``(1, grid_frames, bands D)``."""
        config = self.config
        first = int(config.cls_token)
        tokens = self.cut(state, (first, first + config.tokens), 1)  # (1, tokens, D)
        if layout == "published":
            grid = self.reshape(tokens, 1, config.grid_bands, config.grid_frames, config.width)
            tokens = self.transpose(grid, 0, 2, 1, 3)
        return self.reshape(tokens, 1, config.grid_frames, config.grid_bands * config.width)

    def embed_patches(self, window: Node) -> Node:
        config, weights = self.config, self.weights
        cells = self.reshape(
            window, config.grid_frames, config.patch_frames, config.grid_bands, config.patch_bands
        )  # (T, pt, K, pk)
        pixels = self.reshape(self.transpose(cells, 0, 2, 1, 3), 1, config.tokens, config.patch_pixels)
        projection = (weights[f"encoder.patches.projection.{name}"] for name in ("weight", "bias"))
        positions = weights["encoder.positions"]
        tokens = self.add(self.linear(pixels, *projection), positions[None, int(config.cls_token) :])  # (1, tokens, D)
        if config.cls_token:
            cls = weights["encoder.cls_token"] + positions[0]
            tokens = self.ops.concat([self.constant(cls[None, None]), tokens], 1)  # (1, 1 + tokens, D)
        return self.pad(tokens, [0, 0, 0], [0, self.padded - self.steps, 0])

    def axlstm_block(self, x: Node, index: int) -> Node:
        """Do `axlstm.engines.graph.PortableBlock`: q k^T = x_c A x_c^T with one A per head."""
        ops, config, reverse = self.ops, self.config, index % 2 == 1
        steps, inner = self.padded, config.inner_width
        w = _LayerWeights(self.weights, f"encoder.blocks.{index}.", config, reverse)
        normed = self.layer_norm(x, AXLSTM_EPS)  # (1, S, D)
        x_m = self.convolve(self.transpose(normed, 0, 2, 1), w.x_m)  # (1, I, S)
        edge = config.conv_kernel - 1
        ends = ([0, 0, 0], [0, 0, edge]) if reverse else ([0, 0, edge], [0, 0, 0])
        conv = self.add(self.convolve(self.pad(x_m, *ends), w.taps, inner), w.conv_bias[None, :, None])
        x_c = ops.swish(self.transpose(conv, 0, 2, 1))  # (1, S, I)
        v = self.transpose(self.convolve(x_m, w.value, w.groups), 0, 2, 1)  # (1, S, I)
        q = self.transpose(self.convolve(self.transpose(x_c, 0, 2, 1), w.score, w.groups), 0, 2, 1)
        gates = ops.add(self.linear(normed, w.gates_of_v), self.linear(x_c, w.gates, w.gate_bias))  # (1, S, 2 H)
        h = self.mlstm(q, x_c, v, gates, reverse)  # (1, H, S, DH)
        h = self.reshape(h, config.heads, steps, -1)  # OpenVINO normalises four axes in three operations
        h = self.layer_norm(h, AXLSTM_EPS)
        h = self.reshape(self.transpose(h, 1, 0, 2), 1, steps, inner)  # (1, S, I)
        mixed = ops.add(self.multiply(h, w.head_scale), self.multiply(x_c, w.skip))
        gated = ops.multiply(mixed, ops.swish(self.linear(normed, w.z)))
        return ops.add(x, self.linear(gated, w.down))

    def mlstm(self, q: Node, k: Node, v: Node, gates: Node, reverse: bool) -> Node:
        """Compute the parallel mLSTM of q, k, v ``(1, S, I)``, the scale in q, to ``(1, H, S, DH)``."""
        ops, steps, heads = self.ops, self.padded, self.config.heads
        q, k, v = (self.transpose(self.reshape(x, 1, steps, heads, -1), 0, 2, 1, 3) for x in (q, k, v))
        both = self.reshape(self.transpose(gates, 0, 2, 1), 1, 2 * heads, 1, steps)
        igate, fgate = (self.cut(both, (begin, begin + heads), 1) for begin in (0, heads))  # (1, H, 1, S)
        # log(1 / (1 + e^-x)) without cancellation
        log_f = ops.subtract(
            ops.minimum(fgate, self.constant(0.0)), ops.log(self.add(ops.exp(ops.negative(ops.abs(fgate))), 1.0))
        )
        if reverse:  # what is not real comes first, and would be in all sums
            log_f = ops.multiply(log_f, self.real)
        log_f_sum = ops.matmul(log_f, self.sums[reverse], False, True)  # (1, H, 1, S)
        a = ops.subtract(igate, log_f_sum)  # (1, H, 1, S)
        bounds = ops.negative(self.transpose(log_f_sum, 0, 1, 3, 2))  # (1, H, S, 1)
        parts = []
        for part in self.parts[reverse]:
            seen = ops.add(self.cut(a, part.columns, 3), part.mask)  # (1, H, rows, columns)
            peak = ops.reduce_max(seen, self.constant([-1], np.int64), True)  # (1, H, rows, 1)
            scores = ops.matmul(self.cut(q, part.rows, 2), self.cut(k, part.columns, 2), False, True)
            c = ops.multiply(scores, ops.exp(ops.subtract(seen, peak)))  # (1, H, rows, columns)
            bound = ops.subtract(self.cut(bounds, part.rows, 2), peak)
            lowest = ops.exp(ops.minimum(bound, self.constant(_MOST_EXPONENT)))
            total = ops.abs(ops.reduce_sum(c, self.constant([-1], np.int64), True))  # (1, H, rows, 1)
            normaliser = self.add(ops.maximum(total, lowest), _NORMALISER_EPS)
            parts.append(ops.divide(ops.matmul(c, self.cut(v, part.columns, 2), False, False), normaliser))
        return ops.concat(parts, 2)

    def ssast_block(self, x: Node, index: int) -> Node:
        """Do `axlstm.model.transformer.SSASTBlock`."""
        ops, config, steps = self.ops, self.config, self.padded
        name = f"encoder.blocks.{index}."

        def both(part: str) -> tuple[Array, Array]:
            return self.weights[f"{name}{part}.weight"], self.weights[f"{name}{part}.bias"]

        qkv = self.linear(self.layer_norm(x, SSAST_EPS, *both("attention_norm")), *both("qkv"))  # (1, S, 3 D)
        cells = self.transpose(self.reshape(qkv, steps, 3, config.heads, -1), 1, 2, 0, 3)  # (3, H, S, DH)
        q, k, v = (self.cut(cells, (part, part + 1), 0) for part in range(3))  # (1, H, S, DH)
        scale = (config.width / config.heads) ** -0.5
        scores = ops.add(self.multiply(ops.matmul(q, k, False, True), scale), self.unseen)  # (1, H, S, S)
        attended = ops.matmul(ops.softmax(scores, -1), v, False, False)
        x = ops.add(x, self.linear(self.reshape(self.transpose(attended, 0, 2, 1, 3), 1, steps, -1), *both("out")))
        hidden = ops.gelu(self.linear(self.layer_norm(x, SSAST_EPS, *both("mlp_norm")), *both("mlp_in")), "erf")
        return ops.add(x, self.linear(hidden, *both("mlp_out")))


class _LayerWeights:
    """The constants of an AxLSTM block, computed in float64 and rounded once; I channels, H heads."""

    def __init__(self, weights: Mapping[str, Array], name: str, config: ModelConfig, reverse: bool) -> None:
        def wide(part: str) -> Array:
            return weights[f"{name}{part}"].astype(np.float64)

        head_width = config.inner_width // config.heads
        if head_width % config.projection_block:
            raise ConfigError(
                f"engine='openvino': projection_block={config.projection_block} has to divide the head width "
                f"{head_width}; use engine=None"
            )
        q, k, v = (wide(f"layer.{part}.weight") for part in "qkv")  # (blocks, out, in)
        gates = np.concatenate([wide("layer.input_gate.weight"), wide("layer.forget_gate.weight")])  # (2 H, 3 I)
        of_q, of_k, of_v = np.split(gates, 3, axis=1)  # (2 H, I) each
        scores = np.swapaxes(k, 1, 2) @ q * head_width**-0.5  # (blocks, out, in)
        x_m, z = np.split(wide("layer.up.weight") * (1 + wide("norm")), 2)  # (I, D) each: the norm's weight is in them
        taps = wide("layer.conv.weight")  # (I, 1, K)
        width = block_width(head_width, config.projection_block)
        self.groups = config.inner_width // width
        self.x_m = x_m[:, :, None]  # (I, D, 1)
        self.value, self.score = _kernels(v, width), _kernels(scores, width)  # (I, width, 1)
        self.z = z  # (I, D)
        self.gates_of_v = _pull_back(of_v, v) @ x_m  # (2 H, D)
        self.gates = _pull_back(of_q, q) + _pull_back(of_k, k)  # (2 H, I)
        self.gate_bias = np.concatenate([wide("layer.input_gate.bias"), wide("layer.forget_gate.bias")])  # (2 H,)
        self.taps = taps[:, :, ::-1] if reverse else taps
        self.conv_bias = wide("layer.conv.bias")  # (I,)
        self.head_scale = 1 + wide("layer.head_norm")  # (I,)
        self.skip = wide("layer.skip")  # (I,)
        self.down = wide("layer.down.weight")  # (D, I)


def block_width(head_width: int, block: int) -> int:
    """Find the widest block up to 32 that blocks of ``block`` channels form inside a head."""
    widths = range(block, max(block, _BLOCK_WIDTH) + 1, block)
    return max(width for width in widths if head_width % width == 0)


def _kernels(blocks: Array, width: int) -> Array:
    """Widen diagonal blocks ``(n, out, in)`` with zeros, as kernels of a grouped convolution: ``(I, width, 1)``."""
    count, block, _ = blocks.shape
    group = width // block
    cells = np.zeros((count // group, group, block, group, block))
    for index in range(group):
        cells[:, index, :, index] = blocks[index::group]
    return cells.reshape(count * block, width, 1)


def _pull_back(rows: Array, blocks: Array) -> Array:
    """Turn weights ``(R, I)`` on the output of a block-diagonal map into weights ``(R, I)`` on its input."""
    count, block, _ = blocks.shape
    return np.einsum("rno,noi->rni", rows.reshape(len(rows), count, block), blocks).reshape(len(rows), -1)
