"""Compute the mLSTM in its recurrent form: one step after another, with a state that can be kept."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from axlstm.mlstm.parallel import EPS, saturate


class MLSTMState(NamedTuple):
    """The memory of the recurrence, float32 at least.

    c ``(B, H, DH, DH)``: matrix memory (key x value); n ``(B, H, DH)``: sum of keys; m ``(B, H)``: logarithm
    of the factor that c and n have been divided by.
    """

    c: Tensor
    n: Tensor
    m: Tensor

    @classmethod
    def empty(cls, like: Tensor) -> MLSTMState:
        """Make the state before the first step, for keys shaped ``(B, H, S, DH)``."""
        batch, heads, _, width = like.shape
        wide = torch.promote_types(like.dtype, torch.float32)
        zeros = torch.zeros(batch, heads, width, width, dtype=wide, device=like.device)
        return cls(zeros, zeros[..., 0], torch.full_like(zeros[..., 0, 0], -torch.inf))


def mlstm_recurrent(
    q: Tensor, k: Tensor, v: Tensor, igate: Tensor, fgate: Tensor, state: MLSTMState | None = None
) -> tuple[Tensor, MLSTMState]:
    """Compute the stabilised recurrent mLSTM (Beck et al. 2024, xLSTM, equations 19-27), in float32 at least.

        m_t = max(logsigmoid(f_t) + m_{t-1}, i_t)
        f' = exp(logsigmoid(f_t) + m_{t-1} - m_t);  i' = exp(i_t - m_t)
        C_t = f' C_{t-1} + i' k_t v_t^T;  n_t = f' n_{t-1} + i' k_t
        h_t = C_t^T q_t / (max(|n_t . q_t|, exp(-m_t)) + 1e-6),  q scaled by DH^-1/2

    Args:
        q, k, v: ``(B, H, S, DH)``.
        igate, fgate: ``(B, H, S)`` gate pre-activations.
        state: what an earlier call returned; None starts empty.

    Returns:
        h ``(B, H, S, DH)`` in the dtype of v, and the state after the last step.
    """
    state = MLSTMState.empty(k) if state is None else state
    c, n, m = state
    wide = c.dtype
    queries = q.to(wide) * q.shape[-1] ** -0.5  # (B, H, S, DH)
    keys, values, log_i = k.to(wide), v.to(wide), igate.to(wide)
    log_f = F.logsigmoid(fgate.to(wide))  # (B, H, S)
    outputs = []
    for t in range(q.shape[-2]):
        decayed = log_f[..., t] + m  # (B, H)
        # Ties go to the past, as the first maximum of the parallel form does: the gradients agree too.
        m = torch.where(decayed >= log_i[..., t], decayed, log_i[..., t])
        keep = torch.exp(decayed - m)[..., None]  # (B, H, 1)
        write = torch.exp(log_i[..., t] - m)[..., None] * keys[:, :, t]  # (B, H, DH)
        c = keep[..., None] * c + write[..., :, None] * values[:, :, t, None, :]  # (B, H, DH, DH)
        n = keep * n + write  # (B, H, DH)
        query = queries[:, :, t]  # (B, H, DH)
        normaliser = torch.maximum((n * query).sum(-1).abs(), torch.exp(-m)) + EPS  # (B, H)
        outputs.append((query[..., None, :] @ c).squeeze(-2) / normaliser[..., None])  # (B, H, DH)
    return saturate(torch.stack(outputs, dim=-2), v.dtype), MLSTMState(c, n, m)
