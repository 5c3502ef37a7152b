"""Put Resemblyzer's voice encoder (Resemble AI, 2019) behind the HEAR API: who is speaking.

    axlstm hear embed recipes/open_audio/encoders/resemblyzer.py TASKS OUT

Audio of 16 kHz, made louder to -30 dBFS if it is quieter, becomes 40 mel bands (power, no logarithm) every 10 ms. A
window of 160 frames goes through three LSTM layers of 256, whose last state gives 256 values at or above zero of length
1 (Wan et al., *Generalized end-to-end loss for speaker verification*, 2018).

A scene embedding is that of Resemblyzer's ``embed_utterance``: windows every 0.77 s, the last one filled up with
silence if it is three quarters full and left out otherwise, their mean scaled to length 1; a clip below 1.6 s is
filled up with silence. A frame embedding is the window around it, every 100 ms, with silence beyond the clip.

Resemblyzer also cuts out long pauses by WebRTC's voice detector. This is left out: it would move events and empty
clips without speech, and clips of tasks have no long pauses.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import torch
from clip_windows import in_batches, pad_to, times_ms
from encoder_files import default_folder, fingerprint, require_files
from slaney_mel import MelPower
from torch import Tensor, nn
from torch.nn import functional as F

from axlstm.errors import CheckpointError

_HOP_SAMPLES = 160
_MEL_BANDS = 40
_WINDOW_FRAMES = 160  # 1.6 s
_SCENE_STEP_FRAMES = 77  # 1.3 windows a second
_LEAST_COVERAGE = 0.75
_FRAME_STEP_FRAMES = 10  # 100 ms
_LOUDNESS = 10 ** (-30 / 20)
_WINDOWS_AT_ONCE = 64


class VoiceEncoder(nn.Module):
    """The network."""

    sample_rate = 16_000
    scene_embedding_size = 256
    timestamp_embedding_size = 256
    fingerprint = "random weights"

    def __init__(self) -> None:
        super().__init__()
        self.mel = MelPower(self.sample_rate, 400, _HOP_SAMPLES, _MEL_BANDS)
        self.lstm = nn.LSTM(_MEL_BANDS, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, windows: Tensor) -> Tensor:
        """Embed windows ``(N, 160, 40)`` as ``(N, 256)`` of length 1."""
        _, (hidden, _) = self.lstm(windows)  # (3, N, 256)
        return F.normalize(F.relu(self.linear(hidden[-1])), dim=1)


def scene_starts(samples: int) -> list[int]:
    """Return the starts of an utterance's windows, in frames."""
    frames = math.ceil((samples + 1) / _HOP_SAMPLES)
    starts = list(range(0, max(1, frames - _WINDOW_FRAMES + _SCENE_STEP_FRAMES + 1), _SCENE_STEP_FRAMES))
    covered = (samples / _HOP_SAMPLES - starts[-1]) / _WINDOW_FRAMES
    return starts[:-1] if covered < _LEAST_COVERAGE and len(starts) > 1 else starts


def raise_volume(audio: Tensor) -> Tensor:
    """Raise clips ``(B, n)`` to -30 dBFS if they are quieter; silence stays silence."""
    level = audio.square().mean(dim=1, keepdim=True).sqrt()  # (B, 1)
    return audio * torch.where(level > 0, _LOUDNESS / level, 1.0).clamp_min(1.0)


def load_model(model_file_path: str = "") -> VoiceEncoder:
    """Load the encoder from its folder; ``resemblyzer`` in `default_folder` if the path is empty.

    Raises:
        CheckpointError: the folder holds no weights, or those of another model.
    """
    folder = Path(model_file_path) if model_file_path else default_folder() / "resemblyzer"
    (path,) = require_files(folder, "pretrained.pt")
    model = VoiceEncoder()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        loss_only = ("similarity_weight", "similarity_bias")
        model.load_state_dict({name: value for name, value in state.items() if name not in loss_only})
    except (RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} does not hold Resemblyzer's weights: {error}") from error
    model.fingerprint = fingerprint(path.read_bytes())
    return model.eval().requires_grad_(False)


def get_scene_embeddings(audio: Tensor, model: VoiceEncoder) -> Tensor:
    """Embed clips ``(B, n)`` at 16 kHz as ``(B, 256)`` of length 1 (or zero)."""
    starts = scene_starts(audio.shape[1])
    padded = pad_to(raise_volume(audio), (starts[-1] + _WINDOW_FRAMES) * _HOP_SAMPLES)
    mel = model.mel(padded)  # (B, frames, 40)
    windows = torch.stack([mel[:, start : start + _WINDOW_FRAMES] for start in starts], dim=1)  # (B, W, 160, 40)
    embeddings = in_batches(model, windows.flatten(0, 1), _WINDOWS_AT_ONCE).unflatten(0, windows.shape[:2])
    return F.normalize(embeddings.mean(dim=1), dim=1)


def get_timestamp_embeddings(audio: Tensor, model: VoiceEncoder) -> tuple[Tensor, Tensor]:
    """Embed clips ``(B, n)`` at 16 kHz as ``(B, T, 256)``, ``(B, T)`` in ms: every 100 ms, the first at 0."""
    mel = model.mel(raise_volume(audio))  # (B, frames, 40)
    count = (mel.shape[1] - 1) // _FRAME_STEP_FRAMES + 1
    padded = F.pad(mel, (0, 0, _WINDOW_FRAMES // 2, _WINDOW_FRAMES // 2))
    windows = padded.unfold(1, _WINDOW_FRAMES, _FRAME_STEP_FRAMES)[:, :count].transpose(2, 3)  # (B, T, 160, 40)
    frames = in_batches(model, windows.flatten(0, 1), _WINDOWS_AT_ONCE).unflatten(0, windows.shape[:2])
    hop_ms = 1000 * _FRAME_STEP_FRAMES * _HOP_SAMPLES / model.sample_rate
    return frames, times_ms(count, hop_ms, len(audio)).to(audio.device)
