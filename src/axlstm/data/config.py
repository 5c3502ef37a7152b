"""How audio becomes shards."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from axlstm.errors import ConfigError, DataError
from axlstm.options import Content, Grouping, RecordPrecision, check_choice

STRETCH_SECONDS = 120.0
"""Audio that one task of a worker holds at most: what bounds its memory, whatever the length of the file."""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How audio becomes shards."""

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
        """The settings as plain values, ready for JSON."""
        return asdict(self)

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Settings in which ``other`` differs, each as ``name: theirs there, ours here``."""
        names = [field.name for field in fields(self)]
        mine = self.to_dict()
        return [
            f"{name}: {other.get(name)!r} there, {mine[name]!r} here" for name in names if other.get(name) != mine[name]
        ]


def check_same_settings(directory: Path, config: PrepareConfig, there: dict[str, Any]) -> None:
    """Refuse to mix records made with different settings in one folder.

    Raises:
        DataError: naming the settings that differ.
    """
    different = config.differences(there)
    if different:
        raise DataError(
            f"{directory}: holds shards prepared with other settings ({'; '.join(different)}). "
            "Use the same settings to go on, or another folder"
        )
