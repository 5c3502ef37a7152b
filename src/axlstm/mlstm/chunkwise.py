"""Compute the mLSTM chunk by chunk: parallel inside a chunk, recurrent between chunks; memory linear in S."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from axlstm.errors import ConfigError
from axlstm.mlstm.factored import running_maximum
from axlstm.mlstm.parallel import EPS, saturate
from axlstm.mlstm.recurrent import MLSTMState

CHUNK_STEPS = 64


def mlstm_chunkwise(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    igate: Tensor,
    fgate: Tensor,
    state: MLSTMState | None = None,
    *,
    chunk_steps: int = CHUNK_STEPS,
) -> tuple[Tensor, MLSTMState]:
    """Compute the function of `mlstm_recurrent` for sequences of any length.

    In a chunk with b = cumsum(logsigmoid(f)), a[j] = igate[j] - b[j] and the state (C, n, m) before it,
    M[i] = max(m, max_{j <= i} a[j]) and

        h[i] = (e^(m - M[i]) q_i C + sum_{j <= i} (q_i k_j) e^(a[j] - M[i]) v_j)
               / max(|the same with n for C and 1 for v|, e^(-b[i] - M[i]))

    with q scaled by DH^-1/2 and 1e-6 added to the normaliser; the state after its last step L is
    e^(m - M[L]) C + sum_j e^(a[j] - M[L]) k_j v_j^T, n likewise, and b[L] + M[L].

    Args:
        q, k, v: ``(B, H, S, DH)``.
        igate, fgate: ``(B, H, S)`` gate pre-activations.
        state: what an earlier call (or `mlstm_recurrent`) returned; None starts empty.
        chunk_steps: steps in a chunk; changes memory and time, not the result.

    Returns:
        h ``(B, H, S, DH)`` in the dtype of v, and the state after the last step, float32 at least.

    Raises:
        ConfigError: ``chunk_steps`` below 1.
    """
    if chunk_steps < 1:
        raise ConfigError(f"chunk_steps={chunk_steps}: expected at least 1")
    c, n, m = MLSTMState.empty(k) if state is None else state  # (B, H, DH, DH), (B, H, DH), (B, H)
    wide = c.dtype
    outputs = []
    chunks = (x.split(chunk_steps, dim=2) for x in (q * q.shape[-1] ** -0.5, k, v, igate.to(wide), fgate.to(wide)))
    for queries, keys, values, log_i, f in zip(*chunks, strict=True):
        b = F.logsigmoid(f).cumsum(-1)  # (B, H, L)
        a = log_i - b  # (B, H, L)
        within = running_maximum(a)  # (B, H, L)
        peak = torch.where(m.unsqueeze(-1) >= within, m.unsqueeze(-1), within)  # (B, H, L): M
        future = torch.ones(b.shape[-1], b.shape[-1], dtype=torch.bool, device=b.device).triu(1)  # (L, L)
        decay = (a.unsqueeze(-2) - peak.unsqueeze(-1)).masked_fill(future, -torch.inf).exp()  # (B, H, L, L)
        carried = (m.unsqueeze(-1) - peak).exp().unsqueeze(-1)  # (B, H, L, 1)

        scores = (queries @ keys.transpose(-1, -2)).to(wide) * decay  # (B, H, L, L)
        from_past = carried * (queries.to(wide) @ c)  # (B, H, L, DH)
        from_chunk = (scores.to(v.dtype) @ values).to(wide)  # (B, H, L, DH)
        total = scores.sum(-1, keepdim=True) + carried * (queries.to(wide) @ n.unsqueeze(-1))  # (B, H, L, 1)
        normaliser = torch.maximum(total.abs(), torch.exp(-b - peak).unsqueeze(-1)) + EPS
        outputs.append(saturate((from_past + from_chunk) / normaliser, v.dtype))

        last = peak[..., -1:]  # (B, H, 1)
        written = keys.to(wide) * (a - last).exp().unsqueeze(-1)  # (B, H, L, DH)
        kept = (m.unsqueeze(-1) - last).exp()  # (B, H, 1)
        c = kept.unsqueeze(-1) * c + written.transpose(-1, -2) @ values.to(wide)
        n = kept * n + written.sum(-2)
        m = b[..., -1] + last.squeeze(-1)
    return torch.cat(outputs, dim=2), MLSTMState(c, n, m)
