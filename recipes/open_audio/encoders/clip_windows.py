"""Cut clips into the windows that an encoder was trained on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def covering_starts(length: int, window: int) -> list[int]:
    """Return the starts of windows side by side that cover a clip; the last one ends with the clip.

    A clip shorter than a window gets the one window at 0.
    """
    starts = list(range(0, max(1, length - window + 1), window))
    if length > window and length % window:
        starts.append(length - window)
    return starts


def pad_to(audio: Tensor, length: int) -> Tensor:
    """Pad clips ``(B, n)`` with silence at their end to ``length`` samples; longer ones stay."""
    return F.pad(audio, (0, max(0, length - audio.shape[1])))


def in_batches(function: Callable[[Tensor], Tensor], windows: Tensor, most: int) -> Tensor:
    """Apply a function to windows ``(N, ...)``, ``most`` at a time, so that memory does not grow with the clip."""
    return torch.cat([function(part) for part in windows.split(most)])


def times_ms(count: int, hop_ms: float, clips: int, first_ms: float = 0.0) -> Tensor:
    """Return the times ``(clips, count)`` of frames a hop apart, in ms."""
    return (first_ms + hop_ms * torch.arange(count, dtype=torch.float32)).expand(clips, -1)
