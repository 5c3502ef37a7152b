"""Prepare the weights of an AxLSTM layer's middle as the CPU mixer takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import axlstm.vector_math

BLOCK_WIDTH = 32
"""Width to which the block-diagonal maps are widened with zeros: matrix products of width 4 cost more than these."""


class MixerWeights(NamedTuple):
    """A layer's weights as the mixer takes them, for I channels, H heads, K taps, N = I / w blocks of width w."""

    taps: Tensor  # (K, I), the earliest step first
    conv_bias: Tensor  # (I,)
    scores: Tensor  # (N, w, w), from x_c: A, so that (x_c A) x_c^T = q k^T
    values: Tensor  # (N, w, w), from x_m: v
    gates_of_x_c: Tensor  # (2 H, I): input gates, then forget gates
    gates_of_x_m: Tensor  # (2 H, I)
    gate_bias: Tensor  # (2 H,)
    head_scale: Tensor  # (I,)
    skip: Tensor  # (I,)


def widen_blocks(blocks: Tensor, width: int) -> Tensor:
    """Join diagonal blocks ``(n, b, b)`` to blocks of ``width`` w with zeros between them: ``(n b / w, w, w)``."""
    count, block, _ = blocks.shape
    group = width // block
    cells = blocks.new_zeros(count // group, group, block, group, block)
    cells.diagonal(dim1=1, dim2=3).copy_(blocks.view(count // group, group, block, block).permute(0, 2, 3, 1))
    return cells.view(count // group, width, width)


def block_width(head_width: int, block: int) -> int:
    """Find the widest block up to `BLOCK_WIDTH` that blocks of ``block`` channels form inside a head."""
    widths = range(block, max(block, BLOCK_WIDTH) + 1, block)
    return max(width for width in widths if head_width % width == 0)


class Prepared(NamedTuple):
    """A layer's weights for matrix products in one dtype."""

    weights: MixerWeights
    heads: int
    dtype: torch.dtype
    scores_map: Tensor  # (N', w', w') in that dtype
    values_map: Tensor  # (N', w', w')
    taps: list[tuple[int, Tensor]]  # how many steps back, and weights (I,)


@torch.no_grad()
def prepare(weights: MixerWeights, heads: int, dtype: torch.dtype) -> Prepared:
    """Bring weights into the form that `mix` takes.

    Args:
        weights: in float32 or wider.
        heads: H, of I / H channels each; no block of the maps may reach over two of them.
        dtype: of the activations and of matrix products: float64, float32 or bfloat16.
    """
    scores, values = weights.scores.to(dtype), weights.values.to(dtype)
    if dtype != weights.scores.dtype:  # a product of whole heads costs no more there, and leaves each in one piece
        head_width = weights.skip.shape[0] // heads
        scores, values = widen_blocks(scores, head_width), widen_blocks(values, head_width)
    taps = [(len(weights.taps) - 1 - number, tap) for number, tap in enumerate(weights.taps)]
    return Prepared(weights, heads, dtype, scores, values, taps)


class _Last(NamedTuple):
    dtype: torch.dtype
    sources: list[Tensor]
    prepared: Prepared


class LastPrepared:
    """A layer's weights as they were prepared last, for as long as no number that they are made of has changed.

    The numbers themselves are compared. So an edit in place is seen however it was made, at a tenth of the cost of
    preparing. Nothing is kept where gradients are recorded, or in inference mode, whose tensors serve nowhere else.
    """

    def __init__(self) -> None:
        self._last: _Last | None = None

    def get(self, sources: Sequence[Tensor], dtype: torch.dtype, make: Callable[[], Prepared]) -> Prepared:
        """Return what was prepared last, or ``make`` it anew if ``sources`` or ``dtype`` are others now."""
        if torch.is_grad_enabled() or torch.is_inference_mode_enabled():
            return make()
        last = self._last  # read once: threads may call this at the same time
        if last is None or last.dtype != dtype or not all(map(_same, last.sources, sources)):
            copies = [source.detach().clone() for source in sources]
            last = self._last = _Last(dtype, copies, make())
        return last.prepared


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)
