"""Compute the mLSTM in its parallel form, with the matrix of decays taken apart into a row and a column factor."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from axlstm.mlstm.parallel import EPS, mlstm_parallel, saturate

WIDEST_RANGE = 60.0
"""Natural logarithm of the largest factor allowed: e^60 leaves float32 and bfloat16 room for sums and gradients."""

_ROWS_PER_BLOCK = 128
# Each block of rows sees only the columns that can reach it: 0.75 of the products at S = 251. In half precision
# on a CPU the products cost less than what it takes to cut them up.


def mlstm_factored(q: Tensor, k: Tensor, v: Tensor, igate: Tensor, fgate: Tensor) -> Tensor:
    """Compute `mlstm_parallel` without an exponential for each pair of steps.

    With a[j] = igate[j] - F[j] and M[i] = max_{j <= i} a[j], the stabilised decay is exp(a[j] - M[i]). It factors
    into exp(a[j] - c) * exp(c - M[i]) with one c per sequence, so that it can be multiplied into k and q, and only
    two products and a triangular mask are left of size S x S. The factors stay in range as long as no M[i] lies
    more than `WIDEST_RANGE` below c = max M; for the sequences where one does, and in float16, `mlstm_parallel`
    computes. Which way a sequence goes depends on itself alone, not on its neighbours in the batch.

    Arguments and result as `mlstm_parallel`.
    """
    wide = torch.promote_types(v.dtype, torch.float32)
    log_f_sum = F.logsigmoid(fgate.to(wide)).cumsum(-1)  # (B, H, S)
    a = igate.to(wide) - log_f_sum  # (B, H, S)
    peak = running_maximum(a)  # (B, H, S): M
    centre = peak[..., -1:].detach()  # (B, H, 1): c, which cancels
    wild = ((centre - peak) > WIDEST_RANGE).flatten(1).any(dim=1)  # (B,)
    if v.dtype == torch.float16 or bool(wild.all()):
        return mlstm_parallel(q, k, v, igate, fgate)
    if bool(wild.any()):
        h = torch.empty_like(v)
        h[wild] = mlstm_parallel(q[wild], k[wild], v[wild], igate[wild], fgate[wild])
        h[~wild] = mlstm_factored(q[~wild], k[~wild], v[~wild], igate[~wild], fgate[~wild])
        return h
    rows = torch.exp(centre - peak) * q.shape[-1] ** -0.5  # (B, H, S)
    columns = torch.exp(a - centre)  # (B, H, S)
    queries = (q.to(wide) * rows.unsqueeze(-1)).to(q.dtype)  # (B, H, S, DH)
    keys = (k.to(wide) * columns.unsqueeze(-1)).to(k.dtype)  # (B, H, S, DH)
    floor = torch.exp(-log_f_sum - peak).unsqueeze(-1)  # (B, H, S, 1)
    block = _ROWS_PER_BLOCK if v.dtype == wide else v.shape[-2]
    parts = []
    for start in range(0, v.shape[-2], block):
        end = min(start + block, v.shape[-2])
        c = (queries[..., start:end, :] @ keys[..., :end, :].transpose(-1, -2)).tril_(start)  # (B, H, block, end)
        total = c.sum(-1, keepdim=True, dtype=wide)  # (B, H, block, 1)
        normaliser = torch.maximum(total.abs(), floor[..., start:end, :]) + EPS
        parts.append(saturate((c @ v[..., :end, :]).to(wide) / normaliser, v.dtype))
    return torch.cat(parts, dim=-2)  # (B, H, S, DH)


def running_maximum(a: Tensor) -> Tensor:
    """Compute max over j <= i of ``a (..., S)``. Of equal maxima the first gets the gradient, as in every form."""
    return a.gather(-1, running_maximum_steps(a))


@torch.no_grad()
def running_maximum_steps(a: Tensor) -> Tensor:
    """Find for each i of ``a (..., S)`` the first j <= i that reaches the maximum over j <= i."""
    highest = a.cummax(dim=-1).values
    rises = torch.ones_like(a, dtype=torch.bool)
    rises[..., 1:] = a[..., 1:] > highest[..., :-1]
    steps = torch.arange(a.shape[-1], device=a.device)
    return torch.where(rises, steps, 0).cummax(dim=-1).values  # (..., S)
