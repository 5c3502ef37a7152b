"""Check an exported model against its embedder, on real recordings of several lengths."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from axlstm.audio.read import load_audio
from axlstm.export.exported import ExportedModel
from axlstm.model.frame_encoder import cut_windows
from axlstm.samples import sample_path

if TYPE_CHECKING:
    from axlstm.embed.embedder import Embedder

TOLERANCE = 1e-4
"""Largest difference allowed in an embedding, whose entries are about 1."""

# Recordings, and the seconds that are taken of each: under a frame, under a window, one window, several.
_CLIPS = (("bell", 0.025), ("snare_hit", 0.31), ("speech_it_queue", 2.0), ("bird_song", 3.3), ("water_lock", 4.02))


@dataclass(frozen=True)
class Agreement:
    """Largest differences from what float64 gives: of the exported model, and of the embedder itself.

    Where weights amplify rounding, float32 defines an embedding no better than the embedder's own difference, and
    nothing can agree with it more closely.
    """

    exported: float
    embedder: float
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        """Tell whether the exported model is within the tolerance, or as near as the embedder's own float32."""
        return self.exported <= max(self.tolerance, 2 * self.embedder)


def measure_agreement(exported: ExportedModel, embedder: Embedder) -> Agreement:
    """Compare scenes and frames on bundled recordings, on silence and on a batch of two."""
    rate = embedder.sample_rate
    clips = [load_audio(sample_path(name))[: max(round(s * rate), exported.least_samples)] for name, s in _CLIPS]
    clips.append(np.zeros(rate, np.float32))
    differences = []
    for clip in clips:
        batch = np.stack([clip, clip[::-1]])
        outputs = exported(batch)
        for waveform, scene, frames in zip(batch, outputs.scene, outputs.frames, strict=True):
            exact = exact_frames(embedder, torch.from_numpy(waveform.copy()))  # (T, F)
            own = embedder.embed(waveform, rate)
            of_exported = _difference(embedder, exact, scene, frames)
            differences.append((of_exported, _difference(embedder, exact, own.scene, own.frames)))
    return Agreement(*(max(worst) for worst in zip(*differences, strict=True)))


def exact_frames(embedder: Embedder, waveform: Tensor) -> Tensor:
    """Compute the embedder's frames ``(T, F)`` of a clip ``(n,)``, everything in float64."""
    frontend = embedder.logmel.config
    edge = frontend.window_samples // 2
    padded = F.pad(waveform.double()[None], (edge, edge), mode="reflect")[0]
    window = embedder.logmel.window.double()
    cut = padded.unfold(0, frontend.window_samples, frontend.hop_samples)  # (frames, window_samples)
    spectrum = torch.fft.rfft(cut * window)  # (frames, bins)
    mel = torch.log(spectrum.abs().square() @ embedder.logmel.filters.double() + frontend.log_offset)
    windows = cut_windows(embedder.layout, mel, len(waveform), embedder.config)  # (frames, bands) each
    encoder = copy.deepcopy(embedder.frame_encoder).double()
    states = encoder.encoder
    with torch.no_grad():
        parts = []
        for window in windows:
            batch = window[None]
            kept = [states(batch)] if encoder.layers is None else states.hidden_states(batch, encoder.layers)
            parts.append(encoder.frames(kept)[0])  # (T, F)
    return torch.cat(parts)[: embedder.layout.frame_count(len(waveform))]


def _difference(embedder: Embedder, exact: Tensor, scene: NDArray[np.float32], frames: NDArray[np.float32]) -> float:
    if frames.shape != tuple(exact.shape) or not (np.isfinite(frames).all() and np.isfinite(scene).all()):
        return float("inf")
    of_scene = np.abs(embedder.pool(exact).numpy() - scene).max()
    return float(max(of_scene, np.abs(exact.numpy() - frames).max()))
