"""Draw a run: what the model makes of masked windows, and how its loss fell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from axlstm.model.config import ModelConfig
from axlstm.model.patches import from_patches
from axlstm.show.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from axlstm.pretrain.config import Loss


def reconstruction_figure(
    windows: Tensor, mask: Tensor, prediction: Tensor, model: ModelConfig, loss: Loss, titles: Sequence[str] = ()
) -> Figure:
    """Draw input, masked input and reconstruction side by side, a row for each window.

    The prediction is drawn for hidden patches, and for visible ones where the loss is over all patches. Where it is
    over hidden patches only, the visible ones are drawn as they are: their prediction was never trained.

    Args:
        windows: ``(B, frames, bands)``; mask ``(B, tokens)``, true where hidden; prediction ``(B, tokens, pixels)``.
    """
    rows = len(windows)
    reconstructed = from_patches(prediction.float(), model)  # (B, frames, bands)
    hidden = from_patches(mask[..., None].expand_as(prediction).float(), model).bool()  # (B, frames, bands)
    if loss == "masked":
        reconstructed = reconstructed.where(hidden, windows)
    figure = new_figure(10, 0.5 + 1.7 * rows)
    axes = figure.subplots(rows, 3, squeeze=False, sharex=True, sharey=True)
    for row in range(rows):
        low, high = windows[row].min().item(), windows[row].max().item()
        masked = windows[row].masked_fill(hidden[row], torch.nan)
        for column, picture in enumerate((windows[row], masked, reconstructed[row])):
            axis = axes[row][column]
            axis.set_facecolor("0.6")
            axis.imshow(picture.T.numpy(), origin="lower", aspect="auto", vmin=low, vmax=high, interpolation="nearest")
        if row < len(titles):
            axes[row][0].set_ylabel(titles[row], fontsize=7)
    for axis, title in zip(axes[0], ("input", "what the model sees", "prediction"), strict=True):
        axis.set_title(title, fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("frame (10 ms)", fontsize=8)
    return figure


def loss_figure(metrics: Sequence[Mapping[str, Any]], baseline: Mapping[str, float] | None) -> Figure:
    """Draw training and validation loss over steps, and the loss of predicting the mean."""
    figure = new_figure(7, 4)
    axis = figure.subplots()
    for key, label, style in (("loss", "training", "-"), ("validation_loss", "validation", "o-")):
        points = [(line["step"], line[key]) for line in metrics if line.get(key) is not None]
        if points:
            axis.plot(*zip(*points, strict=True), style, label=label, markersize=3, linewidth=1)
    if baseline is not None:
        axis.axhline(baseline["mean"], color="0.4", linestyle="--", label="predicting the mean")
        axis.axhline(baseline["band_mean"], color="0.6", linestyle=":", label="predicting each band's mean")
    axis.set_xlabel("step")
    axis.set_ylabel("mean squared error")
    axis.set_ylim(bottom=0)
    axis.legend()
    return figure
