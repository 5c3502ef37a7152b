"""Write the numbers of a run to a file of JSON lines, and to TensorBoard and W&B if asked for."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from axlstm.errors import ConfigError
from axlstm.files import write_atomically, writing
from axlstm.pretrain.config import LogConfig

METRICS_NAME = "metrics.jsonl"


OnMetrics = Callable[[int, Mapping[str, Any]], None]


class Sink(NamedTuple):
    """A function that takes the numbers of a step, and one that is called when no more will come."""

    write: OnMetrics
    close: Callable[[], object] = lambda: None


def open_sinks(
    workdir: Path, config: LogConfig, settings: Mapping[str, Any], resumed_step: int, on_metrics: OnMetrics | None
) -> list[Sink]:
    """Open all sinks that ``config`` asks for; if one fails, those that are open are closed.

    Raises:
        ConfigError: TensorBoard or W&B without its package.
    """
    with ExitStack() as opened:
        sinks: list[Sink] = []
        if config.tensorboard:
            sinks.append(_tensorboard(workdir, resumed_step))
            opened.callback(sinks[-1].close)
        if config.wandb != "off":
            sinks.append(_wandb(workdir, config, settings))
            opened.callback(sinks[-1].close)
        sinks.insert(0, _json_lines(workdir / METRICS_NAME, resumed_step))
        opened.pop_all()
    return sinks if on_metrics is None else [*sinks, Sink(on_metrics)]


def _json_lines(path: Path, resumed_step: int) -> Sink:
    """Open ``metrics.jsonl``, one object a line, and drop lines after the step that a run is resumed from."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if _step_of(line) <= resumed_step]
    write_atomically(path, "".join(line + "\n" for line in kept).encode())
    with writing(path):
        file = path.open("a", buffering=1, encoding="utf-8")  # whole lines

    def write(step: int, values: Mapping[str, Any]) -> None:
        finite = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
        with writing(path):
            file.write(json.dumps({"step": step, **finite}) + "\n")

    return Sink(write, file.close)


def _step_of(line: str) -> float:
    try:
        step: float = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):  # the last line of a process that was killed
        return math.inf
    return step


def _tensorboard(workdir: Path, resumed_step: int) -> Sink:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError('log.tensorboard needs tensorboard: pip install "axlstm[pretrain]"') from error
    writer = SummaryWriter(str(workdir / "tensorboard"), purge_step=resumed_step + 1)

    def write(step: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, (int, float)):
                writer.add_scalar(name, value, step)

    return Sink(write, writer.close)


def _wandb(workdir: Path, config: LogConfig, settings: Mapping[str, Any]) -> Sink:
    """Start the workdir's W&B run, or take it up again; ``offline`` writes to ``wandb/`` only."""
    try:
        wandb = import_module("wandb")
    except ImportError as error:
        raise ConfigError('log.wandb needs wandb: pip install "axlstm[wandb]"') from error
    number = workdir / "wandb_id.txt"  # the run's own, kept in the workdir: folders of one name are not one run
    if not number.is_file():
        write_atomically(number, secrets.token_hex(8).encode())
    run = wandb.init(
        project=config.wandb_project,
        mode=config.wandb,
        dir=str(workdir),
        id=number.read_text(encoding="utf-8"),
        name=workdir.resolve().name,
        resume="allow",
        config=dict(settings),
    )
    return Sink(lambda step, values: run.log(dict(values), step=step), run.finish)


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl``."""
    return [json.loads(line) for line in (workdir / METRICS_NAME).read_text(encoding="utf-8").splitlines()]
