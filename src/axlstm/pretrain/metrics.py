"""Writes the numbers of a run to a file of JSON lines, and to TensorBoard and W&B if asked for."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from axlstm.errors import ConfigError
from axlstm.files import write_atomically
from axlstm.pretrain.config import LogConfig

METRICS_NAME = "metrics.jsonl"


class Sink(Protocol):
    """Takes the numbers of each step."""

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Take what is known about ``step``."""

    def close(self) -> None:
        """No more will come."""


class JsonLines:
    """``metrics.jsonl``: one object a line; lines after the step that a run is resumed from are dropped."""

    def __init__(self, path: Path, resumed_step: int) -> None:
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) <= resumed_step]
        write_atomically(path, "".join(line + "\n" for line in kept).encode())
        self._file = path.open("a")

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        finite = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _step_of(line: str) -> float:
    try:
        step: float = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):  # the last line of a process that was killed
        return math.inf
    return step


class TensorBoard:
    """TensorBoard event files under ``tensorboard/``."""

    def __init__(self, workdir: Path, resumed_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError('log.tensorboard needs tensorboard: pip install "axlstm[pretrain]"') from error
        self._writer = SummaryWriter(str(workdir / "tensorboard"), purge_step=resumed_step + 1)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A W&B run that is taken up again with the workdir; ``offline`` writes to ``wandb/`` only."""

    def __init__(self, workdir: Path, config: LogConfig, settings: Mapping[str, Any]) -> None:
        try:
            wandb = import_module("wandb")
        except ImportError as error:
            raise ConfigError('log.wandb needs wandb: pip install "axlstm[wandb]"') from error
        self._run = wandb.init(
            project=config.wandb_project,
            mode=config.wandb,
            dir=str(workdir),
            id=_wandb_id(workdir),
            name=workdir.resolve().name,
            resume="allow",
            config=dict(settings),
        )

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


def _wandb_id(workdir: Path) -> str:
    """Return the run's own number, kept in the workdir; two folders of one name are two runs."""
    path = workdir / "wandb_id.txt"
    if not path.is_file():
        write_atomically(path, secrets.token_hex(8).encode())
    return path.read_text()


class Callback:
    """Numbers handed to a function."""

    def __init__(self, function: Callable[[int, Mapping[str, Any]], None]) -> None:
        self._function = function

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        self._function(step, values)

    def close(self) -> None:
        pass


def open_sinks(
    workdir: Path,
    config: LogConfig,
    settings: Mapping[str, Any],
    resumed_step: int,
    on_metrics: Callable[[int, Mapping[str, Any]], None] | None,
) -> list[Sink]:
    """Open the sinks that ``config`` asks for.

    Raises:
        ConfigError: TensorBoard or W&B without its package.
    """
    sinks: list[Sink] = []
    if config.tensorboard:
        sinks.append(TensorBoard(workdir, resumed_step))
    if config.wandb != "off":
        sinks.append(WeightsAndBiases(workdir, config, settings))
    if on_metrics is not None:
        sinks.append(Callback(on_metrics))
    return [JsonLines(workdir / METRICS_NAME, resumed_step), *sinks]


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl``."""
    return [json.loads(line) for line in (workdir / METRICS_NAME).read_text().splitlines()]
