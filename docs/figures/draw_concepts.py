"""Draw the pictures of docs/concepts.md from a bundled recording: ``python docs/figures/draw_concepts.py``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.patches import Rectangle

import axlstm
from axlstm.audio.read import load_audio
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.samples import sample_path
from axlstm.show.figures import new_figure, save_figure
from axlstm.show.plots import principal_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
_SECONDS, _WINDOW_S, _PATCH_S, _PATCH_BANDS, _BANDS = 4.0, 2.0, 0.04, 16, 80
_INK, _YES, _NO, _TEST = "#1f4e79", "#2a9d8f", "#c9ced6", "#e76f51"


def embedding_figure() -> Figure:
    """Draw four seconds of a bird's song on their way to an embedding."""
    embedder = axlstm.load_model("axlstm-tiny")
    sound = load_audio(sample_path("bird_song"))[: int(_SECONDS * SAMPLE_RATE_HZ)]
    embedding = embedder.embed(sound, SAMPLE_RATE_HZ)
    with torch.no_grad():
        logmel = embedder.logmel(torch.from_numpy(sound)).numpy()  # (frames, bands)
    figure = new_figure(10, 6.6)
    wave, mel, frames, scene = figure.subplots(4, 1, height_ratios=[1, 3, 0.5, 0.3])
    wave.plot(np.arange(len(sound)) / SAMPLE_RATE_HZ, sound, linewidth=0.4, color=_INK)
    wave.set(title="1. Sound, 16 000 samples a second", xlim=(0, _SECONDS), xticks=[], yticks=[])
    mel.imshow(logmel.T, origin="lower", aspect="auto", extent=(0, _SECONDS, 0, _BANDS), cmap="magma")
    for band in range(0, _BANDS, _PATCH_BANDS):
        mel.axhline(band, color="white", linewidth=0.5)
    for time_s in np.arange(0, _SECONDS, _PATCH_S):
        mel.axvline(time_s, color="white", linewidth=0.2)
    mel.axvline(_WINDOW_S, color="white", linewidth=3)
    mel.set(
        title="2. Log-mel, 80 bands every 10 ms; in windows of 2 s, of 50 x 5 patches each",
        ylabel="band",
        xticks=[],
        yticks=range(0, _BANDS + 1, _PATCH_BANDS),
    )
    patch = Rectangle((1.2, 2 * _PATCH_BANDS), _PATCH_S, _PATCH_BANDS, fill=False, edgecolor="#00e5ff", linewidth=2)
    mel.add_patch(patch)
    frames.imshow(principal_colours(embedding.frames)[None], aspect="auto", extent=(0, _SECONDS, 0, 1))
    frames.set(
        title="3. Frames, one every 40 ms: the five patches of a moment, 960 numbers", yticks=[], xlabel="seconds"
    )
    scene.imshow(embedding.scene[None], aspect="auto", cmap="viridis")
    scene.set(title="4. Scene: the mean of all frames, 960 numbers", xticks=[], yticks=[])
    return figure


def windows_figure() -> Figure:
    """Draw the windows of a recording of 12 s, and the frames that one of them pools."""
    figure = new_figure(10, 2.6)
    axis = figure.subplots()
    axis.barh(5, 12, color=_INK, height=0.7)
    starts = [0.0, 2.5, 5.0, 7.5]
    for row, start in enumerate(starts):
        width = min(5.0, 12 - start)
        axis.barh(3.8 - row, width, left=start, color=_YES if row == 1 else _NO, height=0.7)
        axis.text(start + width / 2, 3.8 - row, f"{start:g} to {start + width:g} s", ha="center", va="center")
    axis.text(6, 5, "a recording of 12 s", color="white", ha="center", va="center")
    for time_s in np.arange(2.5, 7.5, 0.04):
        axis.plot([time_s, time_s], [4.45, 4.6], color=_YES, linewidth=0.6)
    axis.set(xlim=(0, 12), yticks=[], xlabel="seconds")
    return figure


def groups_figure() -> Figure:
    """Draw a split by clip beside a split by group."""
    figure = new_figure(10, 2.6)
    axis = figure.subplots()
    sites = {"river": 6, "forest": 8, "harbour": 5, "meadow": 6}
    rng = np.random.default_rng(1)
    left = 0.0
    for name, count in sites.items():
        for clip in range(count):
            by_chance = rng.random() < 0.3
            axis.bar(left, 0.8, 0.8, bottom=1.2, color=_TEST if by_chance else _INK)
            axis.bar(left, 0.8, 0.8, bottom=0, color=_TEST if name == "harbour" else _INK)
            if clip == count // 2:
                axis.text(left, -0.15, name, ha="center", va="top")
            left += 1
        left += 0.8
    axis.text(-1, 1.6, "by clip", ha="right", va="center")
    axis.text(-1, 0.4, "by group", ha="right", va="center")
    axis.set(xlim=(-4, left), ylim=(-0.6, 2.1))
    axis.axis("off")
    return figure


if __name__ == "__main__":
    for name, draw in {"embedding": embedding_figure, "windows": windows_figure, "groups": groups_figure}.items():
        save_figure(draw(), HERE / f"concepts_{name}.png")
