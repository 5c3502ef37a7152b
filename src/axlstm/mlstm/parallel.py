"""Compute the mLSTM in its parallel form: all S steps at once, through an S x S matrix of decays."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

import axlstm.vector_math

EPS = 1e-6
"""Added to the normaliser, in every form of the recurrence."""


def log_decay_matrix(igate: Tensor, fgate: Tensor) -> Tensor:
    """Compute log D[i, j] = F[i] - F[j] + igate[j] for j <= i, else -inf, with F the running sum of logsigmoid(f).

    Args:
        igate, fgate: ``(B, H, S)`` gate pre-activations.
    """
    steps = fgate.shape[-1]
    log_f_sum = F.logsigmoid(fgate).cumsum(-1)  # (B, H, S)
    log_d = log_f_sum.unsqueeze(-1) - log_f_sum.unsqueeze(-2) + igate.unsqueeze(-2)  # (B, H, S, S)
    future = torch.ones(steps, steps, dtype=torch.bool, device=fgate.device).triu(1)  # (S, S)
    return log_d.masked_fill(future, -torch.inf)


def mlstm_parallel(q: Tensor, k: Tensor, v: Tensor, igate: Tensor, fgate: Tensor) -> Tensor:
    """Compute the stabilised parallel mLSTM (Beck et al. 2024, xLSTM, appendix).

        m[i] = max_j log D[i, j];  C = (q k^T / sqrt(DH)) * exp(log D - m)
        h = C v / (max(|sum_j C[i, j]|, exp(-m[i])) + 1e-6)

    Gates and decays are computed in float32 at least; the two large products in the dtype of q, k and v.
    A value too large for that dtype is returned as its largest number, not as infinity.

    Args:
        q, k, v: ``(B, H, S, DH)``.
        igate, fgate: ``(B, H, S)`` gate pre-activations.

    Returns:
        h: ``(B, H, S, DH)`` in the dtype of v.
    """
    wide = torch.promote_types(v.dtype, torch.float32)
    log_d = log_decay_matrix(igate.to(wide), fgate.to(wide))  # (B, H, S, S)
    # The first of equal maxima carries the gradient, here as in the recurrent form.
    m = log_d.max(dim=-1, keepdim=True).values  # (B, H, S, 1)
    decay = torch.exp(log_d - m)  # (B, H, S, S)
    scale = q.shape[-1] ** -0.5
    c = ((q * scale) @ k.transpose(-1, -2)).to(wide) * decay  # (B, H, S, S)
    normaliser = torch.maximum(c.sum(-1, keepdim=True).abs(), torch.exp(-m)) + EPS  # (B, H, S, 1)
    h = (c.to(v.dtype) @ v).to(wide) / normaliser  # (B, H, S, DH)
    return saturate(h, v.dtype)


def saturate(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast to ``dtype``, with what lies beyond its range at its largest number."""
    if x.dtype == dtype:
        return x
    limit = torch.finfo(dtype).max
    return x.clamp(-limit, limit).to(dtype)
