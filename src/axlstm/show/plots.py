"""Draw a clip and its embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from axlstm.audio.read import load_audio
from axlstm.embed.embedder import Embedder
from axlstm.errors import ConfigError
from axlstm.show.figures import new_figure, plain_text, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_COLUMNS = 1500  # of a picture; longer data are thinned


def cosine_similarity(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the cosine between frame embeddings ``(T, F)`` after subtracting their mean: ``(T, T)``."""
    centred = frames - frames.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    out: NDArray[np.float32] = unit @ unit.T
    return out


def principal_colours(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn the first three principal components of ``(T, F)`` into red, green and blue in 0..1: ``(T, 3)``."""
    centred = (frames - frames.mean(axis=0)).astype(np.float64)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    components = np.zeros((len(frames), 3))
    count = min(3, len(scale))
    components[:, :count] = left[:, :count] * scale[:count]
    low, high = components.min(axis=0), components.max(axis=0)
    return ((components - low) / np.maximum(high - low, 1e-12)).astype(np.float32)


def plot_clip(embedder: Embedder, file: Path, out: Path) -> None:
    """Draw one sound file as PNG: waveform, log-mel, PCA-coloured strip and similarity matrix of its frames.

    Raises:
        ConfigError: matplotlib is not installed, or the name ``out`` does not end with .png.
        AudioError, FileNotFoundError: as `axlstm.audio.read.load_audio`.
    """
    if out.suffix.lower() != ".png":
        raise ConfigError(f"{out}: expected a name that ends with .png")
    figure = new_figure(10, 12)
    waveform = load_audio(file)
    embedding = embedder.embed(waveform, embedder.sample_rate)
    logmel = _logmel(embedder, waveform)
    seconds = embedding.duration_s
    frames = _thin(embedding.frames)

    axes = figure.subplots(4, 1, height_ratios=[1, 2, 0.4, 4])
    low, high = _envelope(waveform)
    axes[0].fill_between(np.linspace(0, seconds, len(low)), low, high, linewidth=0.4, color="#1f4e79")
    axes[0].set(title=plain_text(file.name), ylabel="waveform", xlim=(0, seconds))
    _draw_logmel(axes[1], logmel, seconds)
    _draw_colours(axes[2], frames, seconds)
    similarity = cosine_similarity(frames)
    axes[3].imshow(similarity, origin="lower", extent=(0, seconds, 0, seconds), cmap="viridis", vmin=-1, vmax=1)
    note = "" if embedder.trained else " (random weights)"
    axes[3].set(xlabel="seconds", ylabel="similarity of frames", title=f"{plain_text(embedder.name)}{note}")
    save_figure(figure, out)


def frames_figure(embedder: Embedder, waveform: NDArray[np.float32], frames: NDArray[np.float32]) -> Figure:
    """Draw a small picture of one clip: its log-mel above its frame embeddings as PCA colours.

    Args:
        waveform: samples ``(n,)`` at 16 kHz.
        frames: the clip's frame embeddings ``(T, F)``.
    """
    figure = new_figure(6, 2.4)
    seconds = len(waveform) / embedder.sample_rate
    axes = figure.subplots(2, 1, height_ratios=[5, 1], sharex=True)
    _draw_logmel(axes[0], _logmel(embedder, waveform), seconds)
    _draw_colours(axes[1], _thin(frames), seconds)
    axes[1].set(xlabel="seconds")
    return figure


def _logmel(embedder: Embedder, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the log-mel of ``(n,)`` samples: ``(frames, bands)``."""
    with torch.no_grad():
        logmel: NDArray[np.float32] = embedder.logmel(torch.as_tensor(waveform).to(embedder.device)).cpu().numpy()
    return logmel


def _draw_logmel(axis: Axes, logmel: NDArray[np.float32], seconds: float) -> None:
    mel = _thin(logmel).T
    axis.imshow(mel, origin="lower", aspect="auto", extent=(0, seconds, 0, len(mel)), cmap="magma")
    axis.set(ylabel="log-mel band")


def _draw_colours(axis: Axes, frames: NDArray[np.float32], seconds: float) -> None:
    axis.imshow(principal_colours(frames)[None], aspect="auto", extent=(0, seconds, 0, 1))
    axis.set(yticks=[], ylabel="PCA")


def _envelope(waveform: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Find the lowest and highest sample of each column of the picture."""
    columns = min(_MOST_COLUMNS, len(waveform))
    starts = np.linspace(0, len(waveform), columns, endpoint=False).astype(int)
    return np.minimum.reduceat(waveform, starts), np.maximum.reduceat(waveform, starts)


def _thin(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pick evenly spread rows, at most as many as a picture has columns."""
    if len(rows) <= _MOST_COLUMNS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_COLUMNS).astype(int)]
