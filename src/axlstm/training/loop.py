"""Run training in a folder until it ends or a signal comes; a run that was interrupted is resumed exactly."""

from __future__ import annotations

import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from axlstm import __version__
from axlstm.devices import find_precision
from axlstm.errors import TrainingError
from axlstm.locks import locked
from axlstm.training.config import RunConfig
from axlstm.training.meter import Meter
from axlstm.training.metrics import METRICS_NAME, OnMetrics, Sink, check_metrics, count_bytes, open_sinks
from axlstm.training.optimiser import Schedule
from axlstm.training.position import Position
from axlstm.training.signals import StopRequest, stop_on_signals
from axlstm.training.state import (
    CHECKPOINTS_NAME,
    claim_workdir,
    clear_leftovers,
    publish,
    restore_newest,
    save_state,
    saved_steps,
)
from axlstm.training.stepper import BaseStepper
from axlstm.training.watch import watch_progress
from axlstm.training.world import World, joined_world

logger = logging.getLogger(__name__)

SUMMARY_NAME = "summary.json"

ConfigT = TypeVar("ConfigT", bound=RunConfig)
PositionT = TypeVar("PositionT", bound=Position)


class Opened(NamedTuple):
    """A folder that this process, or the main one of several, has for itself; ``held`` closes what a run opens."""

    config: Any
    workdir: Path
    world: World
    request: StopRequest
    held: ExitStack


@contextmanager
def opened_workdir(config: RunConfig, workdir: Path) -> Iterator[Opened]:
    """Join the processes of a run, choose precision and threads, and lock its folder, for as long as the block lasts.

    A new folder is emptied if an error ends the block before there are numbers or checkpoints in it.

    Raises:
        ConfigError: a device that is not there, or float16 on a CPU.
        InUseError: another run is at work in ``workdir``.
    """
    with joined_world(config.hardware.device) as world:
        precision = find_precision(config.hardware.precision, world.device)
        config = replace(config, hardware=replace(config.hardware, precision=precision))
        with _numerics(config, world), stop_on_signals() as request, ExitStack() as held:
            with world.agreed():
                if world.is_main:
                    if is_new := not workdir.exists():
                        held.callback(_remove_if_empty, workdir)  # after its lock has been released
                    held.enter_context(locked(workdir))
                    held.enter_context(_emptied_if_unused(workdir, is_new))
            yield Opened(config, workdir, world, request, held)


@contextmanager
def _emptied_if_unused(workdir: Path, is_new: bool) -> Iterator[None]:
    """Empty a new folder if an error ends the block before there are numbers or checkpoints in it.

    The caller holds its lock: only so is the folder nobody else's.
    """
    try:
        yield
    except BaseException:
        metrics = workdir / METRICS_NAME
        if (
            is_new
            and not saved_steps(workdir / CHECKPOINTS_NAME)
            and not (metrics.is_file() and metrics.stat().st_size)
        ):
            for path in workdir.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with suppress(OSError):  # Windows keeps a lock that is held
                        path.unlink()
        raise


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def _numerics(config: RunConfig, world: World) -> Iterator[None]:
    """Set threads and TF32 as configured, and restore them at the end of the block."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    if config.hardware.threads is not None:
        torch.set_num_threads(config.hardware.threads)
    if world.device.type == "cuda":
        torch.set_float32_matmul_precision("high" if config.hardware.tf32 else "highest")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if world.device.type == "cuda":
            torch.set_float32_matmul_precision(precision)


class TrainingRun(ABC, Generic[ConfigT, PositionT]):
    """One run in one process.

    A subclass says what is read, when it is validated, and what is left at the end. Its constructor makes the stepper
    and calls `_take_up`, then `_open_log`.
    """

    def __init__(self, opened: Opened) -> None:
        self.config: ConfigT = opened.config
        self.workdir, self.world, self.request, self._held = opened.workdir, opened.world, opened.request, opened.held
        self.sinks: list[Sink] = []
        self.saved_step: int | None = None

    def _take_up(
        self, stepper: BaseStepper[Any], schedule: Schedule, position: PositionT, data: Path | str, digest: str
    ) -> None:
        """Claim the folder, and bring the stepper to its newest checkpoint.

        Args:
            position: of a run that has not begun.
            data, digest: what is learned from, and its fingerprint; see `axlstm.training.state.claim_workdir`.
        """
        self.stepper, self.schedule = stepper, schedule
        with self.world.agreed():
            if self.world.is_main:
                claim_workdir(self.workdir, self.config, data, digest)
                clear_leftovers(self.workdir, stepper.model_files)
        torch.manual_seed(self.config.seed + self.world.rank)
        with self.world.agreed():
            self.position: PositionT = restore_newest(self.workdir, stepper, type(position)) or position
        if self.position.step and self.world.is_main:
            logger.info("resumed from step %d of %d", self.position.step, schedule.total_steps)
        versions = {"axlstm": __version__, "torch": str(torch.__version__)}
        self.facts: dict[str, Any] = {"data": str(data), **versions, "config": self.config.to_dict()}

    def _open_log(self, meter: Meter, on_metrics: OnMetrics | None) -> None:
        """Publish the model of the newest checkpoint, and open what the numbers of steps are written to."""
        self.meter = meter
        with self.world.agreed():
            if self.world.is_main:
                publish(self.workdir, self.stepper, self.position, self.config.checkpoints.keep_last)
                self.sinks = open_sinks(
                    self.workdir, self.config.log, self.config.to_dict(), self.position.step, on_metrics
                )
                check_metrics(self.workdir, self.position.metrics_bytes)
                for sink in self.sinks:
                    self._held.callback(sink.close)

    @abstractmethod
    def _batches(self, total: int) -> AbstractContextManager[Iterator[Any]]:
        """Give the parts of all steps from the present one on."""

    def _before_step(self) -> None:
        """Prepare the stepper for the step that comes next."""

    @abstractmethod
    def _validate_if_due(self, at_end: bool) -> bool:
        """Validate where the step's number asks for it; returns whether the model is to be saved for its result."""

    @abstractmethod
    def _finish(self, total: int) -> dict[str, Any]:
        """Return the summary of the run, and write it if the run has ended."""

    @property
    def has_ended(self) -> bool:
        """Tell whether no step is left."""
        return self.position.step >= self.schedule.total_steps

    def train(self) -> dict[str, Any]:
        """Train until the last step, or until any process is asked to stop."""
        total = self.schedule.total_steps
        with self._batches(total) as batches, watch_progress(self.world.size, self.position.step) as note:
            self._steps(batches, total, note)
        if not self.has_ended:
            self._save()
            logger.info("stopped at step %d of %d; the same command goes on from there", self.position.step, total)
        return self._finish(total)

    def _steps(self, batches: Iterator[Any], total: int, note: Callable[[int], None]) -> None:
        """Train until the last step, or until any process is asked to stop; ``note`` is called after each step."""
        position, stopped = self.position, False
        while not self.has_ended and not stopped:
            self._before_step()
            rate = self.schedule.learning_rate(position.step)
            progress = (position.step + 1) / total
            result = self.stepper.step(self.meter.timed(batches), rate, self.request.asked, progress)
            stopped = result.stop
            position.step += 1
            position.skipped_records += result.skipped_records
            position.train_seconds += self.meter.step_done()
            self._count_nonfinite(result.updated)
            if position.step % self.config.log.every_steps == 0 or position.step == total:
                trained = {"loss": result.loss, "learning_rate": rate, "gradient_norm": result.gradient_norm}
                if len(result.parts) > 1:
                    trained |= {f"loss_{name}": loss for name, loss in result.parts.items()}
                self._write({**trained, **self.meter.report(total - position.step)})
            self._periodic(total)
            note(position.step)

    def _count_nonfinite(self, updated: bool) -> None:
        position = self.position
        if updated:
            position.nonfinite_in_a_row = 0
            return
        position.nonfinite_steps += 1
        position.nonfinite_in_a_row += 1
        if self.world.is_main:
            logger.warning("step %d: loss or gradient is not finite; the step is skipped", position.step)
        if position.nonfinite_in_a_row >= self.config.most_nonfinite_steps:
            raise TrainingError(
                f"{position.nonfinite_in_a_row} steps in a row without a finite loss and gradient, the last of them "
                f"{position.step}. The newest checkpoint in {self.workdir} is from before them; lower the learning "
                "rate, set optimiser.clip_norm, or set hardware.precision to bfloat16 or float32, in a new workdir"
            )

    def _periodic(self, total: int) -> None:
        """Validate and save where the step's number asks for it. The checkpoint comes last: at a step that a run is
        resumed from, all the rest is done."""
        step = self.position.step
        save = self._validate_if_due(step == total)
        save |= step % self.config.checkpoints.every_steps == 0 or self.has_ended
        # Not while steps fail: the newest checkpoint is then one that training can go on from.
        if save and not self.position.nonfinite_in_a_row:
            self._save()

    def _save(self) -> None:
        if self.saved_step != self.position.step:
            self.position.metrics_bytes = count_bytes(self.workdir)
            with self.world.agreed():
                save_state(self.workdir, self.stepper, self.position, self.config, self.facts)
            self.saved_step = self.position.step
            self.meter.restart()

    def _write(self, values: Mapping[str, Any]) -> None:
        for sink in self.sinks:
            sink.write(self.position.step, values)
