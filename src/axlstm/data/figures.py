"""Figures without a window, and that of a folder of shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from axlstm.data.info import SplitDescription
from axlstm.errors import ConfigError
from axlstm.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that belongs to no window and no global state.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('pictures need matplotlib: pip install "axlstm[plot]"') from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=80)


def shards_figure(splits: list[SplitDescription]) -> Figure:
    """Histograms of durations and levels, and the mean spectrum, of each split."""
    figure = new_figure(11, 3.2)
    durations, levels, spectrum = figure.subplots(1, 3)
    for split in splits:
        durations.hist(split.seconds, bins=40, density=True, histtype="step", label=split.name)
        if len(split.levels_dbfs):
            levels.hist(split.levels_dbfs, bins=40, density=True, histtype="step", label=split.name)
        if len(split.mean_logmel):
            spectrum.plot(split.mean_logmel, label=split.name)
    for axis, label in ((durations, "seconds a record"), (levels, "peak level (dBFS)"), (spectrum, "mel band")):
        axis.set_xlabel(label)
    spectrum.set_ylabel("mean log-mel")
    durations.legend(fontsize=8)
    return figure
