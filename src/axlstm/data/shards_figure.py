"""The picture of a folder of shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axlstm.data.info import SplitDescription
from axlstm.show.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
