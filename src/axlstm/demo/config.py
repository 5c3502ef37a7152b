"""How long the parts of the demo take."""

from __future__ import annotations

from dataclasses import dataclass

from axlstm.errors import ConfigError


@dataclass(frozen=True)
class DemoConfig:
    """How long the parts that train take.

    Raises:
        ConfigError: a value out of its range.
    """

    steps: int = 48  # of pretraining
    batch: int = 8  # crops in a step
    seed: int = 0  # of the weights, the crops and the masks
    probe_seeds: int = 3

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("seed", 0), ("probe_seeds", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)}: expected at least {least}")
