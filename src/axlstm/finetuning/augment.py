"""Change clips in training, on their log-mel before normalisation: powers are mixed, not logarithms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import axlstm.vector_math
from axlstm.finetuning.config import AugmentConfig
from axlstm.options import TaskKind

Other = Callable[[int], tuple[Tensor, NDArray[np.float32]]]
"""Reads a training clip by its number: log-mel ``(T, bands)`` and targets ``(K,)``."""

_PER_DB = math.log(10) / 10  # natural logarithm of power in a decibel


class Augmenter:
    """Changes of clips, each a function of the random numbers that it is given.

    Args:
        crop_frames: most log-mel frames of a clip.
        others: number of training clips that one may be mixed with, and how they are read.
        background: log-mels of the sounds that are added.
        floor: of the power, which log-mel has added before its logarithm.
    """

    def __init__(
        self,
        config: AugmentConfig,
        kind: TaskKind,
        crop_frames: int,
        others: tuple[int, Other],
        background: Sequence[Tensor],
        floor: float,
    ) -> None:
        self.config, self._kind, self._crop_frames = config, kind, crop_frames
        self._others, self._background, self._floor = others, background, floor

    def crop(self, mel: Tensor, rng: np.random.Generator) -> tuple[int, Tensor]:
        """Return the first frame of a stretch of a clip, and the stretch; all of a clip that is short enough."""
        begin = int(rng.integers(0, max(1, len(mel) - self._crop_frames + 1)))
        return begin, mel[begin : begin + self._crop_frames]

    def change(
        self, mel: Tensor, target: NDArray[np.float32], rng: np.random.Generator, patch_frames: int
    ) -> tuple[Tensor, NDArray[np.float32], Tensor]:
        """Return a changed clip: log-mel ``(T, bands)``, targets, and where it is hidden ``(T, bands)``.

        Args:
            target: ``(K,)``, or ``(frames, K)`` of embedding frames, each of ``patch_frames`` log-mel frames.
        """
        config = self.config
        # All numbers are drawn whether they are used or not: what one change does leaves the others as they were.
        does = dict(zip(("mixup", "gain", "shift", "background", "masks"), rng.random(5), strict=True))
        part = float(rng.beta(config.mixup_alpha, config.mixup_alpha))
        other = int(rng.integers(max(1, self._others[0])))
        gain_db = rng.uniform(-config.gain_db, config.gain_db)
        turn = int(rng.integers(0, max(1, len(mel) // patch_frames)))
        below_db, sound, place = rng.uniform(*config.background_db), rng.random(), rng.random()
        if does["shift"] < config.shift:
            mel = mel.roll(turn * patch_frames, dims=0)
            target = np.roll(target, turn, axis=0) if target.ndim == 2 else target
        if does["mixup"] < config.mixup and self._kind != "events":
            mel, target = self._mix(mel, target, other, min(part, 1 - part), rng)
        if self._background and does["background"] < config.background_share:
            added = self._background[int(sound * len(self._background))]
            added = fitted(added, len(mel), place)
            mel = self._add(mel, added, math.exp(-below_db * _PER_DB) * self._power(mel) / self._power(added))
        if does["gain"] < config.gain:
            mel = torch.log((mel.exp() - self._floor).clamp_min(0) * math.exp(gain_db * _PER_DB) + self._floor)
        hidden = torch.zeros(mel.shape, dtype=torch.bool)
        if does["masks"] < config.masks:
            _hide(hidden[:, 0], round(100 * config.mask_s), rng, hidden)
            _hide(hidden[0], config.mask_bands, rng, hidden.t())
        return mel, target, hidden

    def _mix(
        self, mel: Tensor, target: NDArray[np.float32], other: int, part: float, rng: np.random.Generator
    ) -> tuple[Tensor, NDArray[np.float32]]:
        """Mix a clip with another, the other one's part being the smaller; of several labels, both have theirs."""
        added, of_added = self._others[1](other)
        added = fitted(added, len(mel), float(rng.random()))
        share = part / (1 - part) * self._power(mel) / self._power(added)
        mixed = self._add(mel, added, share)
        if self._kind == "multilabel":
            return mixed, np.maximum(target, of_added)  # unknown in one is unknown in both
        return mixed, ((1 - part) * target + part * of_added).astype(np.float32)

    def _power(self, mel: Tensor) -> float:
        return max(float((mel.exp() - self._floor).clamp_min(0).mean()), self._floor)

    def _add(self, mel: Tensor, added: Tensor, factor: float) -> Tensor:
        """Add powers, the second ones multiplied."""
        return torch.log(mel.exp() + (added.exp() - self._floor).clamp_min(0) * factor)


def fitted(mel: Tensor, frames: int, place: float) -> Tensor:
    """Return a stretch of ``frames``, from ``place`` (0 to 1) of where it may begin; a short clip is repeated."""
    if len(mel) < frames:
        mel = mel.repeat(-(-frames // len(mel)), 1)
    begin = int(place * (len(mel) - frames + 1))
    return mel[begin : begin + frames]


def _hide(axis: Tensor, most: int, rng: np.random.Generator, hidden: Tensor) -> None:
    """Hide a range of at most ``most`` rows of ``hidden``, and at most a third of them."""
    length = int(rng.integers(0, min(most, len(axis) // 3) + 1))
    begin = int(rng.integers(0, len(axis) - length + 1))
    hidden[begin : begin + length] = True
