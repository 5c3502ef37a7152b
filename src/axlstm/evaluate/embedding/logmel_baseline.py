"""Compute a baseline without learning, as a HEAR-API module: log-mel statistics.

A scene embedding is the mean and the deviation over time of every mel band, then of its change from frame to
frame: 4 x 80 values. A frame embedding is the same over 50 frames (0.5 s) around every fourth frame (40 ms).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axlstm.audio.logmel import LogMel

_FRAME_MS = 10
_FRAMES_PER_STEP = 4
_FRAMES_AROUND = 25


class LogMelStatistics(nn.Module):
    """The baseline as HEAR's model object."""

    def __init__(self) -> None:
        super().__init__()
        self.front_end = LogMel()
        config = self.front_end.config
        self.sample_rate = config.sample_rate_hz
        self.scene_embedding_size = self.timestamp_embedding_size = 4 * config.mel_bands

    def features(self, audio: Tensor) -> Tensor:
        """Compute log-mel bands and their change from the frame before: ``(B, n)`` to ``(B, frames, 160)``."""
        audio = F.pad(audio, (0, max(0, self.front_end.config.least_samples - audio.shape[1])))
        bands = self.front_end(audio)  # (B, frames, 80)
        change = torch.diff(bands, dim=1, prepend=bands[:, :1])
        return torch.cat([bands, change], dim=2)


def load_model(model_file_path: str = "") -> LogMelStatistics:
    """Make the baseline; it has no weights, so the path is not used."""
    del model_file_path
    return LogMelStatistics().eval()


def get_scene_embeddings(audio: Tensor, model: LogMelStatistics) -> Tensor:
    """Embed clips ``(B, n)`` at 16 kHz to ``(B, 320)``."""
    return _statistics(model.features(audio))


def get_timestamp_embeddings(audio: Tensor, model: LogMelStatistics) -> tuple[Tensor, Tensor]:
    """Embed clips ``(B, n)`` at 16 kHz to ``(B, T, 320)`` and ``(B, T)`` in ms, a frame every 40 ms from 0 on."""
    features = model.features(audio)  # (B, frames, 160)
    centres = range(0, features.shape[1], _FRAMES_PER_STEP)
    around = [features[:, max(0, c - _FRAMES_AROUND) : c + _FRAMES_AROUND + 1] for c in centres]
    frames = torch.stack([_statistics(part) for part in around], dim=1)  # (B, T, 320)
    times_ms = torch.arange(len(around), dtype=torch.float32, device=audio.device) * (_FRAME_MS * _FRAMES_PER_STEP)
    return frames, times_ms.expand(len(audio), -1)


def _statistics(features: Tensor) -> Tensor:
    """Compute mean and deviation over time: ``(B, frames, 160)`` to ``(B, 320)``."""
    return torch.cat([features.mean(dim=1), features.std(dim=1, unbiased=False)], dim=1)
