"""Compute the middle of an AxLSTM layer on a CPU, one sequence at a time, with the gradient written out.

`MLSTMLayer._mix` is the readable twin, which moves every activation of a batch through memory a few dozen times. Here a
sequence stays in the cache from the up-projection to the gated output, in buffers that the next one uses again. The
backward pass computes most things anew: of the forward pass only the input and the cell's sums are kept.

Three identities save work:

- q and k are linear in the same activations x_c, so q k^T = (x_c A) x_c^T with A = Q^T K: one map instead of two.
- exp(a[j] - M[i]) = exp(c - M[i]) exp(a[j] - c), as in `axlstm.mlstm.factored`: the rows' factor is multiplied into
  the cell's sums, the columns' into the keys.
- with G = dP * P, where P are the decayed scores, the sums of G over rows and columns, which the gates' gradients
  are, follow from activations: sum_i G[i, j] = dk[j] . k[j], and sum_j G[i, j] = dh[i] . h[i] plus the normaliser's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from axlstm.model.mixer_passes import Buffers, GradientBuffers, backward, forward, gate_terms
from axlstm.model.mixer_weights import MixerWeights, Prepared, prepare
from axlstm.threads import on_all_cores

R = TypeVar("R")

_THREAD = threading.local()  # its buffers, by kind and size


def mix(up: Tensor, prepared: Prepared) -> Tensor:
    """Compute the gated output of the layer before its down-projection.

    Args:
        up: ``(B, S, 2 I)`` on a CPU, in the dtype prepared for: the two streams of the up-projection.

    Returns:
        ``(B, S, I)`` in the dtype of ``up``. Sums and elementwise steps are taken in float32 or wider, matrix
        products in the dtype of ``up``. Gradients go to ``up`` and to the weights.
    """
    with torch.autocast("cpu", enabled=False):
        out: Tensor = _Mix.apply(up, prepared, *prepared.weights)
    return out


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, up: Tensor, prepared: Prepared, *weights: Tensor) -> Tensor:
        batch, steps, channels, heads = up.shape[0], up.shape[1], up.shape[2] // 2, prepared.heads
        wide = torch.promote_types(up.dtype, torch.float32)
        out = up.new_empty(batch, steps, channels)
        sums = torch.empty_like(out)  # the cell's, before their normaliser
        totals = up.new_empty(batch, heads, steps, dtype=wide)
        gates = up.new_empty(batch, 2 * heads, steps, dtype=wide)

        def mix_some(chosen: Sequence[int]) -> None:
            buffers, _ = _buffers(prepared, steps, gradients=False)
            for b in chosen:
                forward(buffers, prepared, up[b], gates[b], sums[b], totals[b], out[b])

        _share(mix_some, batch)
        ctx.heads = heads
        ctx.save_for_backward(up, sums, totals, gates, *weights)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        up, sums, totals, gates, *weights = ctx.saved_tensors
        prepared = prepare(MixerWeights(*weights), ctx.heads, up.dtype)
        d_up = torch.empty_like(up)
        terms = [gate_terms(each, up.shape[2] // (2 * ctx.heads)) for each in gates]

        def pull_back_some(chosen: Sequence[int]) -> MixerWeights:
            buffers, scratch = _buffers(prepared, up.shape[1], gradients=True)
            gradients = MixerWeights(*(torch.zeros_like(weight) for weight in weights))
            for b in chosen:
                saved = (terms[b], gates[b], sums[b], totals[b])
                backward(buffers, scratch, prepared, gradients, d_out[b], up[b], *saved, d_up[b])
            return gradients

        parts = _share(pull_back_some, len(up))
        return d_up, None, *(sum(part[1:], start=part[0]) for part in zip(*parts, strict=True))


def _share(work: Callable[[Sequence[int]], R], batch: int) -> list[R]:
    """Do ``work`` for equal shares of the sequences on all cores."""
    shares = min(torch.get_num_threads(), batch)
    inference = torch.is_inference_mode_enabled()

    def without_graph(share: int) -> R:
        with torch.inference_mode(inference), torch.no_grad():  # which a thread does not inherit
            return work(range(batch * share // shares, batch * (share + 1) // shares))

    return on_all_cores(without_graph, range(shares))


def _buffers(prepared: Prepared, steps: int, gradients: bool) -> tuple[Buffers, GradientBuffers]:
    """Return this thread's buffers for sequences of one size. Those for gradients are made when first asked for."""
    key = (prepared.heads, prepared.dtype, steps, prepared.weights.scores.shape, prepared.weights.skip.dtype)
    with torch.inference_mode(False):  # buffers made inside could not be used outside
        if getattr(_THREAD, "key", None) != key:
            _THREAD.buffers, _THREAD.scratch, _THREAD.key = Buffers(prepared, steps), None, key
        if gradients and _THREAD.scratch is None:
            _THREAD.scratch = GradientBuffers(_THREAD.buffers)
    return _THREAD.buffers, _THREAD.scratch
