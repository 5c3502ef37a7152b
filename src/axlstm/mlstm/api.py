"""Compute the mLSTM by one function over all its forms."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from axlstm.errors import ConfigError
from axlstm.mlstm.choice import AUTO, choose, explain_backends
from axlstm.mlstm.chunkwise import mlstm_chunkwise
from axlstm.mlstm.factored import mlstm_factored
from axlstm.mlstm.parallel import mlstm_parallel
from axlstm.mlstm.recurrent import mlstm_recurrent
from axlstm.mlstm.triton import mlstm_triton

_BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "parallel": mlstm_parallel,
    "factored": mlstm_factored,
    "chunkwise": lambda *inputs: mlstm_chunkwise(*inputs)[0],
    "recurrent": lambda *inputs: mlstm_recurrent(*inputs)[0],
    "triton": mlstm_triton,
}


def backends() -> list[str]:
    """List the names that `mlstm` takes as ``backend``, besides ``"auto"``."""
    return list(_BACKENDS)


def mlstm(q: Tensor, k: Tensor, v: Tensor, igate: Tensor, fgate: Tensor, *, backend: str = "parallel") -> Tensor:
    """Compute the mLSTM over a whole sequence from an empty state.

    Args:
        q, k, v: ``(B, H, S, DH)``, one floating dtype and device; S at least 1.
        igate, fgate: ``(B, H, S)`` gate pre-activations.
        backend: ``"parallel"`` (the definition, quadratic in S), ``"factored"`` (the same with fewer passes
            over S x S numbers: the fastest on a CPU for S in the hundreds), ``"chunkwise"`` (memory linear in S),
            ``"recurrent"`` (one step after another), ``"triton"`` (fused, for CUDA devices) or ``"auto"`` (what
            `axlstm.mlstm.choose` says). For a state in and out, call `mlstm_chunkwise` or `mlstm_recurrent`.

    Returns:
        h: ``(B, H, S, DH)`` in the dtype of v.

    Raises:
        ConfigError: an unknown back-end or one that cannot compute this here, or shapes, dtypes or devices that
            do not fit together.
    """
    if backend != AUTO and backend not in _BACKENDS:
        raise ConfigError(f"mLSTM backend {backend!r}: expected one of {explain_backends(_BACKENDS, q)}")
    if q.ndim != 4 or 0 in q.shape or k.shape != q.shape or v.shape != q.shape:
        raise ConfigError(
            "q, k, v: expected one shape (batch, heads, steps, head width) without a zero, "
            f"got {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}"
        )
    if igate.shape != q.shape[:-1] or fgate.shape != q.shape[:-1]:
        raise ConfigError(
            f"igate, fgate: expected {tuple(q.shape[:-1])}, got {tuple(igate.shape)}, {tuple(fgate.shape)}"
        )
    if len({x.device for x in (q, k, v, igate, fgate)}) > 1:
        raise ConfigError("q, k, v, igate and fgate must be on one device")
    if not (q.dtype == k.dtype == v.dtype and q.is_floating_point()):
        raise ConfigError(f"q, k, v: expected one floating dtype, got {q.dtype}, {k.dtype}, {v.dtype}")
    if backend == AUTO:
        backend = choose(device=q.device, steps=q.shape[2], dtype=q.dtype, head_width=q.shape[3]).name
    return _BACKENDS[backend](q, k, v, igate, fgate)
