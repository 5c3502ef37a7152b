"""Pool frames to one vector for a clip: their mean, and on request their deviation beside it; or by attention."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from axlstm.options import Pooling

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Attention:
    """Weighs frames by the softmax over time of their products with ``weight (F,)``; a fine-tuned head learns it."""

    weight: Tensor

    def __str__(self) -> str:
        return f"attention {hashlib.sha256(self.weight.detach().cpu().float().numpy().tobytes()).hexdigest()[:16]}"


AnyPooling = Pooling | Attention


def vectors(pooling: AnyPooling) -> int:
    """Count the vectors of a frame's size in a clip's embedding."""
    return 1 if isinstance(pooling, Attention) else len(pooling.split("+"))


def pool(frames: Tensor, pooling: AnyPooling) -> Tensor:
    """Pool frames ``(..., T, F)`` over T: ``(..., F)``, or ``(..., 2 F)`` with deviations (1 / T) behind the means."""
    import torch

    if isinstance(pooling, Attention):
        share = (frames @ pooling.weight.to(frames)).softmax(dim=-1)  # (..., T)
        return (frames * share.unsqueeze(-1)).sum(dim=-2)
    mean = frames.mean(dim=-2)
    if pooling == "mean":
        return mean
    variance = (frames - mean.unsqueeze(-2)).square().mean(dim=-2)
    return torch.cat([mean, variance.sqrt()], dim=-1)


def pool_array(frames: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """Pool all frames ``(T, F)`` of a clip as `RunningPool` does."""
    pooled = RunningPool(pooling)
    pooled.add(frames)
    return pooled.result()


class RunningPool:
    """`pool` of frames that come in blocks.

    Sums are in float64; blocks are joined as by Chan, Golub and LeVeque (1983), which loses nothing to a large mean.
    """

    def __init__(self, pooling: Pooling) -> None:
        self._pooling = pooling
        self._count = 0
        self._mean = self._squares = np.zeros(1)

    def add(self, frames: NDArray[np.float32]) -> None:
        """Take in frames ``(t, F)``, t > 0."""
        count, mean = len(frames), frames.mean(axis=0, dtype=np.float64)
        total = self._count + count
        distance = mean - self._mean
        if self._pooling != "mean":
            apart = frames - mean
            squares = np.einsum("tf,tf->f", apart, apart)
            self._squares = self._squares + squares + distance**2 * (self._count * count / total)
        self._mean = self._mean + distance * (count / total)
        self._count = total

    def result(self) -> NDArray[np.float32]:
        """Return the clip's embedding so far."""
        parts = [self._mean] if self._pooling == "mean" else [self._mean, np.sqrt(self._squares / self._count)]
        return np.concatenate(parts).astype(np.float32)
