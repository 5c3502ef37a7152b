"""Compute the two passes of an AxLSTM layer's middle, one sequence at a time, in buffers that are used again."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from axlstm.mlstm.factored import WIDEST_RANGE, running_maximum_steps
from axlstm.mlstm.parallel import EPS
from axlstm.model.mixer_weights import MixerWeights, Prepared

_NORM_EPS = 1e-5
_ROWS_PER_BLOCK = 128  # rows of scores at a time; each block skips the columns that causality hides


class GateTerms(NamedTuple):
    """Terms of the cell that follow from the gates of a sequence, ``(H, S)`` each."""

    a: Tensor  # igate - log_f_sum
    peak: Tensor  # running maximum of a
    floor: Tensor  # exp(-log_f_sum - peak)
    row_factor: Tensor  # exp(c - peak) / sqrt(DH), or the root alone if the factors leave their range
    column_factor: Tensor | None  # exp(a - c), or None


def gate_terms(gates: Tensor, head_width: int) -> GateTerms:
    """Compute the terms of ``gates (2 H, S)``, input gates before forget gates."""
    igate, fgate = gates.chunk(2)  # (H, S) each
    log_f_sum = F.logsigmoid(fgate).cumsum(-1)
    a = igate - log_f_sum
    peak = a.cummax(dim=-1).values
    floor = torch.exp(-log_f_sum - peak)
    range_of_factors = peak[:, -1:] - peak
    root = head_width**-0.5
    if bool(range_of_factors.amax() <= WIDEST_RANGE):
        return GateTerms(a, peak, floor, range_of_factors.exp_().mul_(root), torch.exp(a - peak[:, -1:]))
    return GateTerms(a, peak, floor, torch.full_like(peak, root), None)


class Heads:
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


class Buffers:
    """Memory for one sequence after another. S steps, I channels, H heads of width DH, N blocks of width w."""

    def __init__(self, prepared: Prepared, steps: int) -> None:
        self.heads, self.steps = prepared.heads, steps
        self.like = prepared.weights.skip
        self.channels = self.like.shape[0]
        self.head_width = self.channels // self.heads
        self.wide, self.narrow = self.like.dtype, prepared.dtype
        self.half = self.narrow != self.wide
        self.rows_per_block = steps if self.half else _ROWS_PER_BLOCK
        self.row_blocks = [
            (start, min(start + self.rows_per_block, steps)) for start in range(0, steps, self.rows_per_block)
        ]
        self.blocks = len(prepared.scores_map)
        self.conv, self.x_c, self.gate = self.activations(), self.activations(), self.activations()
        self.h, self.mixed = self.activations(), self.activations()
        self.x_c_heads, self.h_heads = self.by_head(self.x_c), self.by_head(self.h)
        self.queries, self.keys, self.v = self.cell_input(), self.cell_input(), self.cell_input()
        self.scores = self.like.new_empty(self.heads * self.rows_per_block * steps, dtype=self.narrow)
        self.up_wide = self.activations(2) if self.half else None
        self.x_c_narrow = self.cell_input() if self.half else None
        self.x_m_narrow = self.cell_input() if self.half else None
        self.sums_wide = self.activations() if self.half else None

    def activations(self, times: int = 1) -> Tensor:
        """Make ``(S, times I)`` in the wide dtype."""
        return self.like.new_empty(self.steps, times * self.channels)

    def cell_input(self) -> Heads:
        """Make ``(S, I)`` in the dtype of matrix products."""
        return Heads(self.x_c, self.narrow, self.heads, self.blocks, not self.half)

    def by_head(self, x: Tensor) -> Tensor:
        """View ``(S, I)`` as ``(S, H, DH)``."""
        return x.view(self.steps, self.heads, self.head_width)


class GradientBuffers:
    """More memory for the gradient of one sequence after another."""

    def __init__(self, buffers: Buffers) -> None:
        self.product, self.d_z, self.d_x_c, self.d_x_m = (buffers.activations() for _ in range(4))
        self.product_heads, self.d_x_c_heads = buffers.by_head(self.product), buffers.by_head(self.d_x_c)
        self.gate_heads = buffers.by_head(buffers.gate)
        self.d_queries, self.d_keys, self.d_v = buffers.cell_input(), buffers.cell_input(), buffers.cell_input()
        self.d_sums = buffers.cell_input()
        self.d_out_wide = buffers.activations() if buffers.half else None
        self.d_cell = buffers.activations()  # gradients of queries, then keys, then values in the wide dtype
        self.d_cell_heads = buffers.by_head(self.d_cell)


def forward(
    buffers: Buffers, prepared: Prepared, up: Tensor, gates: Tensor, sums: Tensor, totals: Tensor, out: Tensor
) -> None:
    """Compute from ``up (S, 2 I)`` the ``gates (2 H, S)``, ``sums (S, I)``, ``totals (H, S)`` and ``out (S, I)``."""
    x_m, z = _read(buffers, prepared, up)
    weights = prepared.weights
    both = torch.addmm(weights.gate_bias, buffers.x_c, weights.gates_of_x_c.t())
    gates.copy_(both.addmm_(x_m, weights.gates_of_x_m.t()).t())
    terms = gate_terms(gates, buffers.head_width)
    _make_cell_input(buffers, prepared, up, terms)
    sums_by_head, v = buffers.by_head(sums).transpose(0, 1), buffers.v.first
    for start, end in buffers.row_blocks:
        scores = _decayed_scores(buffers, start, end, terms)
        totals[:, start:end] = scores.sum(-1)
        torch.bmm(scores, v[:, :end], out=sums_by_head[:, start:end])
    _normalise(buffers, prepared, sums, totals, terms)
    torch.ops.aten.silu.out(z, out=buffers.gate)
    out.copy_(buffers.mixed.mul_(buffers.gate))


class Normed(NamedTuple):
    """A sequence's cell output on its way through the normaliser and the norm of each head."""

    signed: Tensor  # (H, S): totals with the rows' factor
    normaliser: Tensor  # (H, S)
    scale: Tensor  # (H, S)
    values: Tensor  # (S, I): after the norm
    mean: Tensor  # of each head and step
    rstd: Tensor


def _normalise(buffers: Buffers, prepared: Prepared, sums: Tensor, totals: Tensor, terms: GateTerms) -> Normed:
    """Compute the cell's output h, its norm, and the sum with the skip, in buffers."""
    signed = terms.row_factor * totals  # (H, S)
    normaliser = torch.maximum(signed.abs(), terms.floor).add_(EPS)
    scale = terms.row_factor / normaliser
    sums = sums if buffers.sums_wide is None else buffers.sums_wide.copy_(sums)
    torch.mul(buffers.by_head(sums), _over_channels(scale), out=buffers.h_heads)
    normed, mean, rstd = torch.native_layer_norm(buffers.h_heads, [buffers.head_width], None, None, _NORM_EPS)
    values = normed.view(buffers.steps, buffers.channels)
    torch.mul(buffers.x_c, prepared.weights.skip, out=buffers.mixed)
    buffers.mixed.addcmul_(values, prepared.weights.head_scale)
    return Normed(signed, normaliser, scale, values, mean, rstd)


def _read(buffers: Buffers, prepared: Prepared, up: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the two streams, ``(S, I)`` each in the wide dtype. x_c stays in its buffers."""
    x_m, z = (up if buffers.up_wide is None else buffers.up_wide.copy_(up)).chunk(2, dim=-1)
    conv = buffers.conv.copy_(prepared.weights.conv_bias.expand_as(x_m))
    for delay, tap in prepared.taps:
        conv[delay:].addcmul_(x_m[: max(buffers.steps - delay, 0)], tap)
    torch.ops.aten.silu.out(conv, out=buffers.x_c)
    return x_m, z


def _make_cell_input(buffers: Buffers, prepared: Prepared, up: Tensor, terms: GateTerms) -> None:
    _map(buffers, buffers.x_c, buffers.x_c_narrow, prepared.scores_map, buffers.queries)
    _map(buffers, up[:, : buffers.channels], buffers.x_m_narrow, prepared.values_map, buffers.v)
    if terms.column_factor is None:
        buffers.keys.steps.copy_(buffers.x_c_heads)
    else:
        torch.mul(buffers.x_c_heads, _over_channels(terms.column_factor), out=buffers.keys.steps)


def _map(buffers: Buffers, x: Tensor, narrow: Heads | None, blocks: Tensor, out: Heads) -> None:
    if narrow is None:
        cells = by_block(x, blocks)
    else:
        narrow.steps.copy_(x.unflatten(-1, (buffers.heads, -1)))
        cells = narrow.blocks
    torch.bmm(cells, blocks, out=out.blocks)


def _decayed_scores(buffers: Buffers, start: int, end: int, terms: GateTerms) -> Tensor:
    """Compute decayed scores of rows ``start .. end`` without the rows' factor: ``(H, rows, end)``."""
    scores = buffers.scores[: buffers.heads * (end - start) * end].view(buffers.heads, end - start, end)
    torch.bmm(buffers.queries.first[:, start:end], buffers.keys.first[:, :end].transpose(1, 2), out=scores)
    return _decay(scores, start, end, terms)


def _decay(scores: Tensor, start: int, end: int, terms: GateTerms) -> Tensor:
    """Zero ``scores (H, rows, end)`` in place where a row would see its future; decay them if factors do not fit."""
    if terms.column_factor is None:
        gaps = terms.a[:, None, :end] - terms.peak[:, start:end, None]
        scores.mul_(gaps.clamp_(max=0).exp_())
    scores[:, :, start:].tril_()
    return scores


def by_block(x: Tensor, blocks: Tensor) -> Tensor:
    """View ``(S, I)`` as blocks like those of a map, ``(N, S, w)``."""
    return x.unflatten(-1, (len(blocks), -1)).transpose(0, 1)


def backward(
    buffers: Buffers,
    scratch: GradientBuffers,
    prepared: Prepared,
    gradients: MixerWeights,
    d_out: Tensor,
    up: Tensor,
    terms: GateTerms,
    gates: Tensor,
    sums: Tensor,
    totals: Tensor,
    d_up: Tensor,
) -> None:
    """Compute ``d_up (S, 2 I)`` from ``d_out (S, I)`` and what `mix` left, and add to the weights' gradients."""
    x_m, z = _read(buffers, prepared, up)
    _make_cell_input(buffers, prepared, up, terms)
    normed = _normalise(buffers, prepared, sums, totals, terms)
    weights, channels = prepared.weights, buffers.channels
    d_out = d_out if scratch.d_out_wide is None else scratch.d_out_wide.copy_(d_out)

    # out = mixed * silu(z)
    torch.mul(d_out, buffers.mixed, out=scratch.product)
    torch.ops.aten.silu_backward.grad_input(scratch.product, z, grad_input=scratch.d_z)
    d_up[:, channels:] = scratch.d_z
    d_mixed = torch.ops.aten.silu.out(z, out=buffers.gate).mul_(d_out)

    # mixed = normed * head_scale + x_c * skip
    gradients.skip.add_(torch.mul(d_mixed, buffers.x_c, out=scratch.product).sum(0))
    torch.mul(d_mixed, normed.values, out=scratch.product)
    gradients.head_scale.add_(scratch.product.sum(0))
    torch.mul(d_mixed, weights.skip, out=scratch.d_x_c)
    d_mixed.mul_(weights.head_scale)
    d_h = torch.ops.aten.native_layer_norm_backward(
        scratch.gate_heads,
        buffers.h_heads,
        [buffers.head_width],
        normed.mean,
        normed.rstd,
        None,
        None,
        [True, False, False],
    )[0]  # (S, H, DH)

    # h = sums * row_factor / (max(|row_factor * totals|, floor) + EPS)
    along_h = torch.mul(d_h, buffers.h_heads, out=scratch.product_heads).sum(-1).t()  # (H, S)
    carries = normed.signed.abs() >= terms.floor  # where totals, not the floor, are the normaliser
    d_normaliser = -along_h / normed.normaliser
    d_signed = torch.where(carries, d_normaliser * normed.signed.sign(), 0.0)
    d_peak = along_h * (-EPS / normed.normaliser)  # all else cancels, whichever of the two is the normaliser
    torch.mul(d_h, _over_channels(normed.scale), out=scratch.d_sums.steps)
    _pull_back_cell(buffers, scratch, d_signed * terms.row_factor, terms)

    # Rows see log_f_sum through their decays. These sums round like those of the columns, d_a, and cancel them.
    torch.mul(scratch.d_cell_heads.copy_(scratch.d_queries.steps), buffers.queries.steps, out=scratch.product_heads)
    d_log_f_sum = scratch.product_heads.sum(-1).t() + d_peak  # (H, S)

    # keys = x_c * column_factor
    torch.mul(scratch.d_cell_heads.copy_(scratch.d_keys.steps), buffers.keys.steps, out=scratch.product_heads)
    d_a = scratch.product_heads.sum(-1).t().contiguous()  # (H, S)
    if terms.column_factor is None:
        scratch.d_x_c.add_(scratch.d_cell)
    else:
        scratch.d_x_c_heads.addcmul_(scratch.d_cell_heads, _over_channels(terms.column_factor))

    # queries = x_c A; v = x_m V
    scratch.d_x_c.add_(_pull_back_map(scratch, scratch.d_queries, buffers.x_c, weights.scores, gradients.scores))
    scratch.d_x_m.copy_(_pull_back_map(scratch, scratch.d_v, x_m, weights.values, gradients.values))

    # a = igate - log_f_sum, log_f_sum the running sum of logsigmoid(fgate), peak the running maximum of a
    d_a.scatter_add_(-1, running_maximum_steps(terms.a), d_peak)
    d_log_f = (d_log_f_sum - d_a).flip(-1).cumsum(-1).flip(-1)
    d_gates = torch.cat([d_a, d_log_f.mul_(torch.sigmoid(-gates[buffers.heads :]))])  # (2 H, S)
    gradients.gate_bias.add_(d_gates.sum(-1))
    gradients.gates_of_x_c.addmm_(d_gates, buffers.x_c)
    gradients.gates_of_x_m.addmm_(d_gates, x_m)
    scratch.d_x_c.addmm_(d_gates.t(), weights.gates_of_x_c)
    scratch.d_x_m.addmm_(d_gates.t(), weights.gates_of_x_m)

    # x_c = silu(conv(x_m))
    d_conv = torch.ops.aten.silu_backward.grad_input(scratch.d_x_c, buffers.conv, grad_input=scratch.d_x_c)
    gradients.conv_bias.add_(d_conv.sum(0))
    for number, (delay, tap) in enumerate(prepared.taps):
        later, earlier = d_conv[delay:], slice(max(buffers.steps - delay, 0))
        scratch.d_x_m[earlier].addcmul_(later, tap)
        product = torch.mul(later, x_m[earlier], out=scratch.product[delay:])
        gradients.taps[number].add_(product.sum(0))
    d_up[:, :channels] = scratch.d_x_m


def _pull_back_cell(buffers: Buffers, scratch: GradientBuffers, d_totals: Tensor, terms: GateTerms) -> None:
    """Compute gradients of queries, keys and values from those of sums and totals ``(H, S)``, in buffers."""
    q, k, v, d_s = buffers.queries.first, buffers.keys.first, buffers.v.first, scratch.d_sums.first
    d_q, d_k, d_v = scratch.d_queries.first, scratch.d_keys.first, scratch.d_v.first
    d_t = d_totals.to(buffers.narrow).unsqueeze(-1)  # (H, S, 1)
    # The last rows see all columns, so they come first and fill; those before them add.
    for start, end in reversed(buffers.row_blocks):
        fills = end == buffers.steps
        scores = _decayed_scores(buffers, start, end, terms).transpose(1, 2)
        if fills:
            torch.bmm(scores, d_s[:, start:end], out=d_v)
        else:
            d_v[:, :end].baddbmm_(scores, d_s[:, start:end])
        d_scores = torch.bmm(d_s[:, start:end], v[:, :end].transpose(1, 2), out=scores.transpose(1, 2))
        d_scores = _decay(d_scores.add_(d_t[:, start:end]), start, end, terms)
        torch.bmm(d_scores, k[:, :end], out=d_q[:, start:end])
        if fills:
            torch.bmm(d_scores.transpose(1, 2), q[:, start:end], out=d_k)
        else:
            d_k[:, :end].baddbmm_(d_scores.transpose(1, 2), q[:, start:end])


def _pull_back_map(scratch: GradientBuffers, d_mapped: Heads, x: Tensor, blocks: Tensor, d_blocks: Tensor) -> Tensor:
    """Compute the gradient ``(S, I)`` of x in the wide dtype, and add that of the weights to ``d_blocks``."""
    scratch.d_cell_heads.copy_(d_mapped.steps)
    d_cells = by_block(scratch.d_cell, blocks)
    d_blocks.add_(torch.bmm(by_block(x, blocks).transpose(1, 2), d_cells))
    torch.bmm(d_cells, blocks.transpose(1, 2), out=by_block(scratch.product, blocks))
    return scratch.product


def _over_channels(factor: Tensor) -> Tensor:
    return factor.t().contiguous().unsqueeze(-1)  # (H, S) as (S, H, 1)
