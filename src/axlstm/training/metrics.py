"""Write the numbers of a run to a file of JSON lines, and to TensorBoard and W&B if asked for."""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from axlstm.bounds import check_types, parse_object
from axlstm.errors import ConfigError, TrainingError, first_line
from axlstm.files import write_atomically, writing
from axlstm.seals import OBJECT_KEY, object_is_whole, seal_object
from axlstm.training.config import LogConfig

logger = logging.getLogger(__name__)

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
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    kept: list[bytes] = []
    before = 0
    for number, line in enumerate(lines, start=1):
        try:
            step = _parse(line)["step"]
            if step < before:
                raise ValueError(f"step {step} after step {before}")
            before = step
            kept += [line] if step <= resumed_step else []
        except ValueError as error:
            if line.endswith(b"\n"):  # the last line of a process that was killed has none
                logger.warning("%s: line %d is damaged (%s) and left out", path, number, first_line(error))
    write_atomically(path, b"".join(kept))
    with writing(path):
        file = path.open("a", buffering=1, encoding="utf-8")  # whole lines

    def write(step: int, values: Mapping[str, Any]) -> None:
        finite = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
        with writing(path):
            file.write(json.dumps(seal_object({"step": step, **finite})) + "\n")

    def close() -> None:
        with suppress(OSError):  # each line was written, or its error told
            file.close()

    return Sink(write, close)


def count_bytes(workdir: Path) -> int:
    """Return the size of a run's ``metrics.jsonl``, 0 if there is none."""
    path = workdir / METRICS_NAME
    return path.stat().st_size if path.is_file() else 0


def check_metrics(workdir: Path, expected_bytes: int) -> None:
    """Warn if ``metrics.jsonl`` lacks lines that it had when the checkpoint was saved that a run goes on from."""
    if (there := count_bytes(workdir)) < expected_bytes:
        told = "%s: %d bytes of whole lines, but %d when the checkpoint was saved: some of its lines are lost"
        logger.warning(told, workdir / METRICS_NAME, there, expected_bytes)


def _parse(line: bytes) -> dict[str, Any]:
    """Read the numbers of a line, without its checksum.

    Raises:
        ValueError: the line is damaged.
    """
    values = parse_object(line)
    if not object_is_whole(values):
        raise ValueError("its checksum is another one")
    values.pop(OBJECT_KEY, None)  # lines of earlier versions have none
    check_types(values, {"step": int})
    if not all(value is None or type(value) in (int, float) for value in values.values()):
        raise ValueError("a value that is no number")
    return values


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
    """Return the numbers of each line of ``metrics.jsonl``.

    Raises:
        TrainingError: a line is damaged, or its process has not written all of it yet.
    """
    path, values = workdir / METRICS_NAME, []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            values.append(_parse(line))
        except ValueError as error:
            raise TrainingError(f"{path}: line {number} is damaged ({first_line(error)}); remove it") from error
    return values
