"""Configure `axlstm prepare`, and the changes of crops in training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from axlstm.errors import ConfigError
from axlstm.options import Content, Grouping, RecordPrecision, check_choice

STRETCH_SECONDS = 120.0
"""Seconds of audio in one task of a worker at most. This bounds its memory, whatever the length of the file."""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Settings of a preparation: the content, length and selection of records, and the split."""

    content: Content = "logmel"  # or "audio": 16 kHz FLAC, larger; log-mel is then computed in training
    dtype: RecordPrecision = "float16"  # precision of stored log-mel
    record_seconds: float = 10.0  # longer files are cut into records of this length
    min_seconds: float = 0.5  # shorter records are dropped, the last ones of long files too
    silence_dbfs: float = -60.0  # records whose peak lies below are dropped
    held_out: float = 0.02  # share of the items kept for validation, by group
    grouping: Grouping = "file"  # what belongs together where no manifest says: a file, or all of a folder
    shard_records: int = 1000  # records in one shard
    seed: int = 0  # of the order in the shards and of the groups held out

    def __post_init__(self) -> None:
        for name, choices in (("content", Content), ("dtype", RecordPrecision), ("grouping", Grouping)):
            check_choice(name, getattr(self, name), choices)
        if not 0.1 <= self.min_seconds <= self.record_seconds:
            raise ConfigError(
                f"min_seconds={self.min_seconds}: expected 0.1 to record_seconds, which is {self.record_seconds}"
            )
        if not 0.1 <= self.record_seconds <= STRETCH_SECONDS:
            raise ConfigError(f"record_seconds={self.record_seconds}: expected 0.1 to {STRETCH_SECONDS:g}")
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"held_out={self.held_out}: expected at least 0 and below 1")
        if self.shard_records < 1:
            raise ConfigError(f"shard_records={self.shard_records}: expected at least 1")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """Changes of crops in training. Each has the share of crops that get it; 0 turns it off.

    Speed and equaliser change the crop and its targets; noise and another recording only what the student hears.
    """

    noise: float = 0.0  # share of crops with coloured noise added
    noise_db: tuple[float, float] = (0.0, 30.0)  # of the crop above the noise
    mix: float = 0.0  # share of crops with a crop of another recording added
    mix_db: tuple[float, float] = (0.0, 20.0)  # of the crop above the other
    equaliser: float = 0.0  # share of crops whose bands change by a smooth random curve
    equaliser_db: float = 6.0  # its deviation over the bands
    speed: float = 0.0  # share of crops played faster or slower, at the same pitch
    speed_range: tuple[float, float] = (0.8, 1.25)

    def __post_init__(self) -> None:
        def check(name: str, fits: bool, expected: str) -> None:
            if not fits:
                raise ConfigError(f"objective.input.{name}={getattr(self, name)!r}: expected {expected}")

        for name in ("noise", "mix", "equaliser", "speed"):
            check(name, 0 <= getattr(self, name) <= 1, "a share, from 0 to 1")
        for name in ("noise_db", "mix_db"):
            low, high = getattr(self, name)
            check(name, low <= high, "the lowest value first")
        low, high = self.speed_range
        check("speed_range", 0.25 <= low <= high <= 4, "two numbers from 0.25 to 4, the lower one first")
        check("equaliser_db", self.equaliser_db >= 0, "at least 0")

    @property
    def active(self) -> bool:
        """Tell whether any crop is changed."""
        return max(self.noise, self.mix, self.equaliser, self.speed) > 0
