"""What an AxLSTM layer does between its two projections, one sequence at a time, with the gradient written out.

`MLSTMLayer.forward` says the same in a few readable lines and is what tests compare with. On a CPU those lines move
every activation of a batch through memory a few dozen times. Here one sequence after another is taken from the
up-projection to the gated output while it stays in the cache, in buffers that are used again for the next, and the
backward pass computes anew whatever is cheaper to compute than to keep: no S x S numbers and only two activations
(the up-projection, which is the input, and the cell's sums) outlive the forward pass.

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
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from axlstm.mlstm.factored import WIDEST_RANGE, running_maximum_steps
from axlstm.mlstm.parallel import EPS
from axlstm.threads import on_all_cores

R = TypeVar("R")
W = TypeVar("W", bound="_Forward")

BLOCK_WIDTH = 32
"""Width to which the block-diagonal maps are widened with zeros: matrix products of width 4 cost more than these."""

_NORM_EPS = 1e-5
_THREAD = threading.local()  # a worker, which holds the buffers, and what it is for
_ROWS_PER_BLOCK = 128  # rows of scores at a time; each block skips the columns that causality hides


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
    """Block-diagonal ``(n, b, b)`` in blocks of ``width`` w, zero where neighbours meet: ``(n b / w, w, w)``."""
    count, block, _ = blocks.shape
    group = width // block
    eye = torch.eye(group, dtype=blocks.dtype, device=blocks.device)
    cells = blocks.view(count // group, group, block, 1, block) * eye.view(1, group, 1, group, 1)
    return cells.reshape(count // group, width, width)


def block_width(head_width: int, block: int) -> int:
    """The widest up to `BLOCK_WIDTH` that blocks of ``block`` channels can be joined to inside a head."""
    widths = range(block, max(block, BLOCK_WIDTH) + 1, block)
    return max(width for width in widths if head_width % width == 0)


class Prepared(NamedTuple):
    """A layer's weights for products in one dtype; for inference, made once."""

    weights: MixerWeights
    heads: int
    dtype: torch.dtype
    scores_map: Tensor  # (N', w', w') in that dtype
    values_map: Tensor  # (N', w', w')
    taps: list[tuple[int, Tensor]]  # how many steps back, and weights (I,)


@torch.no_grad()
def prepare(weights: MixerWeights, heads: int, dtype: torch.dtype) -> Prepared:
    """Weights as `mix` takes them.

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


def mix(up: Tensor, prepared: Prepared) -> Tensor:
    """Gated output of the layer before its down-projection.

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
            forward = _in_thread(_Forward, prepared, steps)
            for b in chosen:
                forward.mix(up[b], gates[b], sums[b], totals[b], out[b])

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
        terms = [_gate_terms(each, up.shape[2] // (2 * ctx.heads)) for each in gates]

        def pull_back_some(chosen: Sequence[int]) -> MixerWeights:
            backward = _in_thread(_Backward, prepared, up.shape[1])
            backward.gradients = MixerWeights(*(torch.zeros_like(weight) for weight in weights))
            for b in chosen:
                backward.pull_back(d_out[b], up[b], terms[b], gates[b], sums[b], totals[b], d_up[b])
            return backward.gradients

        parts = _share(pull_back_some, len(up))
        return d_up, None, *(sum(part[1:], start=part[0]) for part in zip(*parts, strict=True))


def _share(work: Callable[[Sequence[int]], R], batch: int) -> list[R]:
    """``work`` of equal shares of the sequences, on all cores."""
    shares = min(torch.get_num_threads(), batch)
    inference = torch.is_inference_mode_enabled()

    def without_graph(share: int) -> R:
        with torch.inference_mode(inference), torch.no_grad():  # which a thread does not inherit
            return work(range(batch * share // shares, batch * (share + 1) // shares))

    return on_all_cores(without_graph, range(shares))


def _in_thread(kind: type[W], prepared: Prepared, steps: int) -> W:
    """This thread's worker of that kind for sequences of one size, with its buffers, and with these weights."""
    key = (kind, prepared.heads, prepared.dtype, steps, prepared.weights.scores.shape, prepared.weights.skip.dtype)
    if getattr(_THREAD, "key", None) != key:
        with torch.inference_mode(False):  # buffers made inside could not be used outside
            _THREAD.worker, _THREAD.key = kind(prepared, steps), key
    _THREAD.worker.prepared = prepared
    worker: W = _THREAD.worker
    return worker


class _GateTerms(NamedTuple):
    """What the cell takes from the gates of a sequence, ``(H, S)`` each."""

    a: Tensor  # igate - log_f_sum
    peak: Tensor  # running maximum of a
    floor: Tensor  # exp(-log_f_sum - peak)
    row_factor: Tensor  # exp(c - peak) / sqrt(DH), or the root alone if the factors leave their range
    column_factor: Tensor | None  # exp(a - c), or None


def _gate_terms(gates: Tensor, head_width: int) -> _GateTerms:
    igate, fgate = gates.chunk(2)  # (H, S) each
    log_f_sum = F.logsigmoid(fgate).cumsum(-1)
    a = igate - log_f_sum
    peak = a.cummax(dim=-1).values
    floor = torch.exp(-log_f_sum - peak)
    range_of_factors = peak[:, -1:] - peak
    root = head_width**-0.5
    if bool(range_of_factors.amax() <= WIDEST_RANGE):
        return _GateTerms(a, peak, floor, range_of_factors.exp_().mul_(root), torch.exp(a - peak[:, -1:]))
    return _GateTerms(a, peak, floor, torch.full_like(peak, root), None)


class _Heads:
    """A buffer of activations, as the cell and as block-diagonal maps see it."""

    def __init__(self, like: Tensor, dtype: torch.dtype, heads: int, blocks: int, by_step: bool) -> None:
        steps, channels = like.shape
        if by_step:
            memory = like.new_empty(steps, channels, dtype=dtype)
            self.first = memory.view(steps, heads, -1).transpose(0, 1)  # (H, S, DH)
            self.blocks = memory.view(steps, blocks, -1).transpose(0, 1)  # (N, S, w)
        else:  # each head in one piece, which half-precision products want
            self.first = self.blocks = like.new_empty(heads, steps, channels // heads, dtype=dtype)
        self.steps = self.first.transpose(0, 1)  # (S, H, DH)


class _Forward:
    """One sequence after another. Letters: S steps, I channels, H heads of width DH, N blocks of width w."""

    def __init__(self, prepared: Prepared, steps: int) -> None:
        self.prepared, self.heads, self.steps = prepared, prepared.heads, steps
        self.like = prepared.weights.skip
        self.channels = self.like.shape[0]
        self.head_width = self.channels // self.heads
        self.wide, self.narrow = self.like.dtype, prepared.dtype
        self.half = self.narrow != self.wide
        self.rows_per_block = steps if self.half else _ROWS_PER_BLOCK
        self.row_blocks = [
            (start, min(start + self.rows_per_block, steps)) for start in range(0, steps, self.rows_per_block)
        ]
        self.conv, self.x_c, self.gate = self._activations(), self._activations(), self._activations()
        self.h, self.mixed = self._activations(), self._activations()
        self.x_c_heads, self.h_heads = self._by_head(self.x_c), self._by_head(self.h)
        self.queries, self.keys, self.v = self._cell_input(), self._cell_input(), self._cell_input()
        self.scores = self.like.new_empty(self.heads * self.rows_per_block * steps, dtype=self.narrow)
        self.up_wide = self._activations(2) if self.half else None
        self.x_c_narrow = self._cell_input() if self.half else None
        self.x_m_narrow = self._cell_input() if self.half else None
        self.sums_wide = self._activations() if self.half else None

    def mix(self, up: Tensor, gates: Tensor, sums: Tensor, totals: Tensor, out: Tensor) -> None:
        """``up (S, 2 I)`` to ``gates (2 H, S)``, the cell's ``sums (S, I)``, ``totals (H, S)``, and ``out (S, I)``."""
        x_m, z = self._read(up)
        weights = self.prepared.weights
        both = torch.addmm(weights.gate_bias, self.x_c, weights.gates_of_x_c.t())
        gates.copy_(both.addmm_(x_m, weights.gates_of_x_m.t()).t())
        terms = _gate_terms(gates, self.head_width)
        self._make_cell_input(up, terms)
        sums_by_head, v = self._by_head(sums).transpose(0, 1), self.v.first
        for start, end in self.row_blocks:
            scores = self._decayed_scores(start, end, terms)
            totals[:, start:end] = scores.sum(-1)
            torch.bmm(scores, v[:, :end], out=sums_by_head[:, start:end])
        self._normalise(sums, totals, terms)
        torch.ops.aten.silu.out(z, out=self.gate)
        out.copy_(self.mixed.mul_(self.gate))

    def _read(self, up: Tensor) -> tuple[Tensor, Tensor]:
        """The two streams, ``(S, I)`` each in the wide dtype; x_c is left in its buffers."""
        x_m, z = (up if self.up_wide is None else self.up_wide.copy_(up)).chunk(2, dim=-1)
        conv = self.conv.copy_(self.prepared.weights.conv_bias.expand_as(x_m))
        for delay, tap in self.prepared.taps:
            conv[delay:].addcmul_(x_m[: max(self.steps - delay, 0)], tap)
        torch.ops.aten.silu.out(conv, out=self.x_c)
        return x_m, z

    def _make_cell_input(self, up: Tensor, terms: _GateTerms) -> None:
        self._map(self.x_c, self.x_c_narrow, self.prepared.scores_map, self.queries)
        self._map(up[:, : self.channels], self.x_m_narrow, self.prepared.values_map, self.v)
        if terms.column_factor is None:
            self.keys.steps.copy_(self.x_c_heads)
        else:
            torch.mul(self.x_c_heads, _over_channels(terms.column_factor), out=self.keys.steps)

    def _map(self, x: Tensor, narrow: _Heads | None, blocks: Tensor, out: _Heads) -> None:
        if narrow is None:
            cells = self._by_block(x, blocks)
        else:
            narrow.steps.copy_(x.unflatten(-1, (self.heads, -1)))
            cells = narrow.blocks
        torch.bmm(cells, blocks, out=out.blocks)

    def _decayed_scores(self, start: int, end: int, terms: _GateTerms) -> Tensor:
        """Scores of rows ``start .. end``, decayed, without the rows' factor: ``(H, rows, end)``."""
        scores = self.scores[: self.heads * (end - start) * end].view(self.heads, end - start, end)
        torch.bmm(self.queries.first[:, start:end], self.keys.first[:, :end].transpose(1, 2), out=scores)
        return self._decay(scores, start, end, terms)

    def _decay(self, scores: Tensor, start: int, end: int, terms: _GateTerms) -> Tensor:
        """``scores (H, rows, end)`` in place: zero where a row would see its future; decayed, if factors do not fit."""
        if terms.column_factor is None:
            gaps = terms.a[:, None, :end] - terms.peak[:, start:end, None]
            scores.mul_(gaps.clamp_(max=0).exp_())
        scores[:, :, start:].tril_()
        return scores

    def _normalise(self, sums: Tensor, totals: Tensor, terms: _GateTerms) -> None:
        """The cell's output h, its norm, and the sum with the skip, in buffers."""
        self.signed = terms.row_factor * totals  # (H, S)
        self.normaliser = torch.maximum(self.signed.abs(), terms.floor).add_(EPS)
        self.scale = terms.row_factor / self.normaliser
        sums = sums if self.sums_wide is None else self.sums_wide.copy_(sums)
        torch.mul(self._by_head(sums), _over_channels(self.scale), out=self.h_heads)
        normed, self.mean, self.rstd = torch.native_layer_norm(self.h_heads, [self.head_width], None, None, _NORM_EPS)
        self.normed = normed.view(self.steps, self.channels)
        torch.mul(self.x_c, self.prepared.weights.skip, out=self.mixed)
        self.mixed.addcmul_(self.normed, self.prepared.weights.head_scale)

    def _activations(self, times: int = 1) -> Tensor:
        return self.like.new_empty(self.steps, times * self.channels)

    def _cell_input(self) -> _Heads:
        return _Heads(self.x_c, self.narrow, self.heads, len(self.prepared.scores_map), not self.half)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.view(self.steps, self.heads, self.head_width)

    def _by_block(self, x: Tensor, blocks: Tensor) -> Tensor:
        return x.unflatten(-1, (len(blocks), -1)).transpose(0, 1)  # (N, S, w)


class _Backward(_Forward):
    """The gradient of one sequence after another; those of the weights are summed."""

    gradients: MixerWeights

    def __init__(self, prepared: Prepared, steps: int) -> None:
        super().__init__(prepared, steps)
        self.product, self.d_z, self.d_x_c, self.d_x_m = (self._activations() for _ in range(4))
        self.product_heads, self.d_x_c_heads = self._by_head(self.product), self._by_head(self.d_x_c)
        self.gate_heads = self._by_head(self.gate)
        self.d_queries, self.d_keys, self.d_v = self._cell_input(), self._cell_input(), self._cell_input()
        self.d_sums = self._cell_input()
        self.d_out_wide = self._activations() if self.half else None
        self.d_cell = self._activations()  # gradients of queries, then keys, then values in the wide dtype
        self.d_cell_heads = self._by_head(self.d_cell)

    def pull_back(
        self,
        d_out: Tensor,
        up: Tensor,
        terms: _GateTerms,
        gates: Tensor,
        sums: Tensor,
        totals: Tensor,
        d_up: Tensor,
    ) -> None:
        """From ``d_out (S, I)`` and what `mix` left: ``d_up (S, 2 I)``, and more of the weights' gradients."""
        x_m, z = self._read(up)
        self._make_cell_input(up, terms)
        self._normalise(sums, totals, terms)
        weights, channels = self.prepared.weights, self.channels
        d_out = d_out if self.d_out_wide is None else self.d_out_wide.copy_(d_out)

        # out = mixed * silu(z)
        torch.mul(d_out, self.mixed, out=self.product)
        torch.ops.aten.silu_backward.grad_input(self.product, z, grad_input=self.d_z)
        d_up[:, channels:] = self.d_z
        d_mixed = torch.ops.aten.silu.out(z, out=self.gate).mul_(d_out)

        # mixed = normed * head_scale + x_c * skip
        self.gradients.skip.add_(torch.mul(d_mixed, self.x_c, out=self.product).sum(0))
        torch.mul(d_mixed, self.normed, out=self.product)
        self.gradients.head_scale.add_(self.product.sum(0))
        torch.mul(d_mixed, weights.skip, out=self.d_x_c)
        d_mixed.mul_(weights.head_scale)
        d_h = torch.ops.aten.native_layer_norm_backward(
            self.gate_heads,
            self.h_heads,
            [self.head_width],
            self.mean,
            self.rstd,
            None,
            None,
            [True, False, False],
        )[0]  # (S, H, DH)

        # h = sums * row_factor / (max(|row_factor * totals|, floor) + EPS)
        along_h = torch.mul(d_h, self.h_heads, out=self.product_heads).sum(-1).t()  # (H, S)
        carries = self.signed.abs() >= terms.floor  # where totals, not the floor, are the normaliser
        d_normaliser = -along_h / self.normaliser
        d_signed = torch.where(carries, d_normaliser * self.signed.sign(), 0.0)
        d_peak = along_h * (-EPS / self.normaliser)  # all else cancels, whichever of the two is the normaliser
        torch.mul(d_h, _over_channels(self.scale), out=self.d_sums.steps)
        self._pull_back_cell(d_signed * terms.row_factor, terms)

        # Rows see log_f_sum through their decays; these sums round as those of the columns, d_a, do, and cancel them.
        torch.mul(self.d_cell_heads.copy_(self.d_queries.steps), self.queries.steps, out=self.product_heads)
        d_log_f_sum = self.product_heads.sum(-1).t() + d_peak  # (H, S)

        # keys = x_c * column_factor
        torch.mul(self.d_cell_heads.copy_(self.d_keys.steps), self.keys.steps, out=self.product_heads)
        d_a = self.product_heads.sum(-1).t().contiguous()  # (H, S)
        if terms.column_factor is None:
            self.d_x_c.add_(self.d_cell)
        else:
            self.d_x_c_heads.addcmul_(self.d_cell_heads, _over_channels(terms.column_factor))

        # queries = x_c A; v = x_m V
        self.d_x_c.add_(self._pull_back_map(self.d_queries, self.x_c, weights.scores, self.gradients.scores))
        self.d_x_m.copy_(self._pull_back_map(self.d_v, x_m, weights.values, self.gradients.values))

        # a = igate - log_f_sum, log_f_sum the running sum of logsigmoid(fgate), peak the running maximum of a
        d_a.scatter_add_(-1, running_maximum_steps(terms.a), d_peak)
        d_log_f = (d_log_f_sum - d_a).flip(-1).cumsum(-1).flip(-1)
        d_gates = torch.cat([d_a, d_log_f.mul_(torch.sigmoid(-gates[self.heads :]))])  # (2 H, S)
        self.gradients.gate_bias.add_(d_gates.sum(-1))
        self.gradients.gates_of_x_c.addmm_(d_gates, self.x_c)
        self.gradients.gates_of_x_m.addmm_(d_gates, x_m)
        self.d_x_c.addmm_(d_gates.t(), weights.gates_of_x_c)
        self.d_x_m.addmm_(d_gates.t(), weights.gates_of_x_m)

        # x_c = silu(conv(x_m))
        d_conv = torch.ops.aten.silu_backward.grad_input(self.d_x_c, self.conv, grad_input=self.d_x_c)
        self.gradients.conv_bias.add_(d_conv.sum(0))
        for number, (delay, tap) in enumerate(self.prepared.taps):
            later, earlier = d_conv[delay:], slice(max(self.steps - delay, 0))
            self.d_x_m[earlier].addcmul_(later, tap)
            product = torch.mul(later, x_m[earlier], out=self.product[delay:])
            self.gradients.taps[number].add_(product.sum(0))
        d_up[:, :channels] = self.d_x_m

    def _pull_back_cell(self, d_totals: Tensor, terms: _GateTerms) -> None:
        """From the gradients of sums and totals ``(H, S)`` to those of queries, keys and values, in buffers."""
        q, k, v, d_s = self.queries.first, self.keys.first, self.v.first, self.d_sums.first
        d_q, d_k, d_v = self.d_queries.first, self.d_keys.first, self.d_v.first
        d_t = d_totals.to(self.narrow).unsqueeze(-1)  # (H, S, 1)
        # The last rows see all columns, so they come first and fill; those before them add.
        for start, end in reversed(self.row_blocks):
            fills = end == self.steps
            scores = self._decayed_scores(start, end, terms).transpose(1, 2)
            if fills:
                torch.bmm(scores, d_s[:, start:end], out=d_v)
            else:
                d_v[:, :end].baddbmm_(scores, d_s[:, start:end])
            d_scores = torch.bmm(d_s[:, start:end], v[:, :end].transpose(1, 2), out=scores.transpose(1, 2))
            d_scores = self._decay(d_scores.add_(d_t[:, start:end]), start, end, terms)
            torch.bmm(d_scores, k[:, :end], out=d_q[:, start:end])
            if fills:
                torch.bmm(d_scores.transpose(1, 2), q[:, start:end], out=d_k)
            else:
                d_k[:, :end].baddbmm_(d_scores.transpose(1, 2), q[:, start:end])

    def _pull_back_map(self, d_mapped: _Heads, x: Tensor, blocks: Tensor, d_blocks: Tensor) -> Tensor:
        """Gradient ``(S, I)`` on x, while the weights' is added to ``d_blocks``; in the wide dtype."""
        self.d_cell_heads.copy_(d_mapped.steps)
        d_cells = self._by_block(self.d_cell, blocks)
        d_blocks.add_(torch.bmm(self._by_block(x, blocks).transpose(1, 2), d_cells))
        torch.bmm(d_cells, blocks.transpose(1, 2), out=self._by_block(self.product, blocks))
        return self.product


def _over_channels(factor: Tensor) -> Tensor:
    return factor.t().contiguous().unsqueeze(-1)  # (H, S) as (S, H, 1)
