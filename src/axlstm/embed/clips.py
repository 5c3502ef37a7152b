"""A clip before the encoder, and the embeddings behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Embedding:
    """What a clip sounds like: one vector for the whole, one for every 40 ms.

    scene ``(F,)`` (``(2 F,)`` with deviations), frames ``(T, F)``, timestamps_ms ``(T,)``: float32; duration_s: of the
    clip, in seconds.
    """

    scene: NDArray[np.float32]
    frames: NDArray[np.float32]
    timestamps_ms: NDArray[np.float32]
    duration_s: float


@dataclass(frozen=True)
class PreparedClip:
    """A clip as the encoder takes it: its samples at 16 kHz, and normalised windows ``(W, window_frames, bands)``."""

    samples: int
    windows: Tensor


@dataclass(frozen=True)
class FrameBlock:
    """Consecutive frames of a clip: frames ``(t, F)`` and timestamps_ms ``(t,)``, float32."""

    frames: NDArray[np.float32]
    timestamps_ms: NDArray[np.float32]
