"""What is in a folder of shards: durations, levels and the mean spectrum."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.logmel import FrontendConfig
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.data.records import decode_logmel, open_audio
from axlstm.data.shards import RecordFiles, ShardSet, open_shards
from axlstm.errors import DataError


@dataclass(frozen=True)
class SplitDescription:
    """What was found in the records of one split that were looked into.

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
        """A few lines for the terminal."""
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


def describe_shards(directory: Path, most_records: int = 2000) -> list[SplitDescription]:
    """Look into at most ``most_records`` records of each split, evenly spread; records that fail are listed.

    Raises:
        DataError: no shards.
    """
    splits = [open_shards(directory, split) for split in ("train", "valid")]
    return [_describe(shards, most_records) for shards in splits if len(shards.shards)]


def _describe(shards: ShardSet, most_records: int) -> SplitDescription:
    config = FrontendConfig()
    files = RecordFiles(shards)
    seconds, levels, unreadable = [], [], []
    total, frames = np.zeros(config.mel_bands), 0
    for record in np.unique(np.linspace(0, len(shards) - 1, min(most_records, len(shards))).round().astype(int)):
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
    files.close()
    mean = total / frames if frames else np.zeros(0)
    return SplitDescription(
        shards.split,
        shards.content,
        len(shards.shards),
        len(shards),
        np.array(seconds, dtype=np.float64),
        np.array(levels, dtype=np.float64),
        mean,
        unreadable,
    )
