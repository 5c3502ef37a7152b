"""Describe a folder of shards in words and as a picture: durations, levels and the mean spectrum."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.frontend import FrontendConfig
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.data.index import INDEX_NAME
from axlstm.data.journal import JOURNAL_NAME
from axlstm.data.records import decode_logmel, open_audio
from axlstm.data.shards import RecordFiles, ShardSet, open_shards
from axlstm.errors import DataError
from axlstm.show.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_RECORDS = 2000  # of each split that are looked into


@dataclass(frozen=True)
class SplitDescription:
    """Description of one split, from the records that were looked into.

    ``seconds`` and ``levels_dbfs`` (peaks; empty where the shards do not tell) have an entry a record,
    ``mean_logmel`` ``(bands,)`` is the mean over all their frames, empty for shards of sound.
    """

    name: str
    content: str
    shards: int
    records: int
    seconds: NDArray[np.float64]
    levels_dbfs: NDArray[np.float64]
    mean_logmel: NDArray[np.float64]
    unreadable: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Return a few lines for the terminal."""
        lines = [f"{self.name}: {self.records} records of {self.content} in {self.shards} shards"]
        if len(self.seconds):
            lines.append(f"  about {self.seconds.mean() * self.records / 3600:.2f} h")
            low, middle, high = np.percentile(self.seconds, [5, 50, 95])
            lines.append(f"  seconds a record: {low:.2f} (5%)  {middle:.2f} (50%)  {high:.2f} (95%)")
        if len(self.levels_dbfs):
            low, middle, high = np.percentile(self.levels_dbfs, [5, 50, 95])
            lines.append(f"  peak dBFS: {low:.1f} (5%)  {middle:.1f} (50%)  {high:.1f} (95%)")
        if len(self.mean_logmel):
            lines.append(f"  mean log-mel: {self.mean_logmel.min():.2f} .. {self.mean_logmel.max():.2f} over the bands")
        lines += [f"  cannot be read: {line}" for line in self.unreadable[:5]]
        return "\n".join(lines)


def holds_shards(directory: Path) -> bool:
    """Tell whether a path is a folder of shards, complete or begun by `axlstm prepare`."""
    return any((directory / name).is_file() for name in (INDEX_NAME, JOURNAL_NAME)) or any(directory.glob("*.tar"))


def describe_shards(directory: Path) -> list[SplitDescription]:
    """Look into up to 2000 records of each split, evenly spread; records that cannot be read are listed.

    Raises:
        DataError: no shards.
    """
    splits = [open_shards(directory, split) for split in ("train", "valid")]
    return [_describe(shards) for shards in splits if len(shards.shards)]


def _describe(shards: ShardSet) -> SplitDescription:
    config = FrontendConfig()
    seconds, levels, unreadable = [], [], []
    total, frames = np.zeros(config.mel_bands), 0
    chosen = np.unique(np.linspace(0, len(shards) - 1, min(_MOST_RECORDS, len(shards))).round().astype(int))
    with closing(RecordFiles(shards)) as files:
        for record in chosen:
            try:
                facts = files.facts(record)
                content = files.data(record)
                if shards.content == "logmel":
                    logmel = decode_logmel(content, config.mel_bands)
                    length = (len(logmel) - 1) * config.hop_samples / config.sample_rate_hz
                    total += logmel.sum(axis=0, dtype=np.float64)
                    frames += len(logmel)
                else:
                    with open_audio(content) as file:
                        length = file.frames / SAMPLE_RATE_HZ
            except DataError as error:
                unreadable.append(f"record {record}: {error}")
                continue
            seconds.append(facts.get("seconds", length))
            if "peak_dbfs" in facts:
                levels.append(facts["peak_dbfs"])
    mean = total / frames if frames else np.zeros(0)
    lengths, peaks = np.array(seconds, dtype=np.float64), np.array(levels, dtype=np.float64)
    counts = (len(shards.shards), len(shards))
    return SplitDescription(shards.split, shards.content, *counts, lengths, peaks, mean, unreadable)


def shards_figure(splits: list[SplitDescription]) -> Figure:
    """Draw histograms of durations and levels, and the mean spectrum, of each split."""
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
