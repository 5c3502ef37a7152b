"""Define evaluation protocols by name: which probes are tried, in which order."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import product
from typing import Any

from axlstm.errors import ConfigError
from axlstm.evaluate.tasks.metadata import TaskMetadata

INITIALISATIONS = ("xavier_uniform_", "xavier_normal_")


_MOST: dict[str, tuple[tuple[type, ...], float]] = {
    "hidden_layers": ((int,), 100),
    "hidden_dim": ((int,), 65_536),
    "dropout": ((int, float), 1),
    "lr": ((int, float), 1e3),
    "batch_size": ((int,), 1 << 24),
    "patience": ((int,), 1_000_000),
    "max_epochs": ((int,), 1_000_000),
    "check_val_every_n_epoch": ((int,), 1_000_000),
}


@dataclass(frozen=True)
class ProbeConfig:
    """One grid point: a multilayer perceptron and how it is trained. The names are hear-eval-kit's."""

    hidden_layers: int = 1
    hidden_dim: int = 1024
    dropout: float = 0.1
    lr: float = 1e-4
    initialization: str = "xavier_normal_"
    batch_size: int = 1024
    patience: int = 20  # checks without improvement
    max_epochs: int = 500
    check_val_every_n_epoch: int = 3

    def __post_init__(self) -> None:
        if self.initialization not in INITIALISATIONS:
            raise ConfigError(f"initialization is {self.initialization!r}, expected one of {INITIALISATIONS}")
        for name, (kinds, most) in _MOST.items():
            value = getattr(self, name)
            if type(value) not in kinds or not 0 <= value <= most:
                kind = "number" if float in kinds else "whole number"
                raise ConfigError(f"{name} is {value!r:.60}, expected a {kind} from 0 to {most:g}")
        for name in ("hidden_layers", "hidden_dim", "batch_size", "patience", "max_epochs", "check_val_every_n_epoch"):
            least = 0 if name == "hidden_layers" else 1
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if self.check_val_every_n_epoch > self.max_epochs:
            raise ConfigError("check_val_every_n_epoch is larger than max_epochs: nothing would be selected")

    def to_hparams(self) -> dict[str, Any]:
        """Return the form of the kit's result files, fixed choices included."""
        fixed = {
            "embedding_norm": "<class 'torch.nn.modules.linear.Identity'>",
            "hidden_norm": "<class 'torch.nn.modules.batchnorm.BatchNorm1d'>",
            "norm_after_activation": False,
            "optim": "<class 'torch.optim.adam.Adam'>",
        }
        return dict(sorted({**asdict(self), **fixed}.items()))


@dataclass(frozen=True)
class Protocol:
    """A named way to evaluate: a grid of probes that are trained, or one kind that has a solution.

    Args:
        solved: what is chosen by validation of a probe that has one solution; a name of `SOLVERS`.
        candidates: its values.
    """

    name: str
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    grid_points: int = 8  # the most that are tried
    standardise: bool = False  # embeddings to mean 0, deviation 1 of the training split
    solved: str = ""
    candidates: tuple[float, ...] = ()

    def points(self, metadata: TaskMetadata, seed: int) -> list[ProbeConfig]:
        """List a task's grid points, shuffled by Python's `random`; `ConfigError` for unknown hyperparameters."""
        grid = {**self.grid, **_BUILT_IN.get(metadata.name, {})}
        grid |= metadata.evaluation_params.get("task_specific_param_grid") or {}
        known = [field.name for field in fields(ProbeConfig)]
        if unknown := sorted(set(grid) - set(known)):
            raise ConfigError(f"the grid of {metadata.name} has {', '.join(unknown)}; it may have {', '.join(known)}")
        # scikit-learn's ParameterGrid: names in alphabetical order, the last one changes fastest.
        names = sorted(grid)
        points = [ProbeConfig(**dict(zip(names, values, strict=True))) for values in product(*(grid[n] for n in names))]
        random.Random(seed).shuffle(points)
        return points[: self.grid_points]


_BUILT_IN: dict[str, dict[str, tuple[Any, ...]]] = {"dcase2016_task2": {"check_val_every_n_epoch": (10,)}}

_PUBLISHED = {"dropout": (0.1, 0.25)}
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("published", _PUBLISHED),
        Protocol(
            "hear", {"hidden_layers": (1, 2), "lr": (3.2e-3, 1e-3, 3.2e-4, 1e-4), "initialization": INITIALISATIONS}
        ),
        Protocol("standardised", _PUBLISHED, standardise=True),
        Protocol("linear", {"hidden_layers": (0,), "lr": (1e-2, 1e-3, 1e-4)}, standardise=True),
        Protocol("knn", standardise=True, solved="neighbours", candidates=(1, 3, 5, 10, 20)),
        Protocol("logreg", standardise=True, solved="penalty", candidates=(10, 3, 1, 0.3, 0.1, 0.03, 0.01)),
        Protocol("lda", standardise=True, solved="shrinkage", candidates=(0.95, 0.8, 0.6, 0.4, 0.2, 0.05)),
    )
}


def find_protocol(name: str) -> Protocol:
    """Find the protocol of that name; a `ConfigError` lists the names that exist."""
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {name!r}; the protocols are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
