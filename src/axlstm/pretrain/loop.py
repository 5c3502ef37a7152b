"""Train an encoder from shards and a configuration; a run that was interrupted is resumed."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from axlstm import __version__
from axlstm.audio.frontend import FrontendConfig
from axlstm.data.order import BatchPlan
from axlstm.data.reader import Batch, CropReader, micro_batches
from axlstm.data.shards import ShardSet, open_shards
from axlstm.data.teachers import Teacher
from axlstm.devices import find_precision
from axlstm.errors import DataError, TrainingError, name_differences
from axlstm.files import write_atomically
from axlstm.locks import locked
from axlstm.model.patches import undo_patch_normalisation
from axlstm.model.pretraining import count_parameters
from axlstm.pretrain.config import PretrainConfig, TeachersConfig
from axlstm.pretrain.figures import loss_figure, reconstruction_figure
from axlstm.pretrain.meter import Meter
from axlstm.pretrain.metrics import METRICS_NAME, OnMetrics, Sink, check_metrics, count_bytes, open_sinks, read_metrics
from axlstm.pretrain.optimiser import Schedule
from axlstm.pretrain.signals import StopRequest, stop_on_signals
from axlstm.pretrain.start import make_first_model
from axlstm.pretrain.state import (
    CHECKPOINTS_NAME,
    Position,
    claim_workdir,
    clear_leftovers,
    publish,
    restore_newest,
    save_state,
    saved_steps,
)
from axlstm.pretrain.stepper import Stepper
from axlstm.pretrain.validation import Validation
from axlstm.pretrain.watch import watch_progress
from axlstm.pretrain.world import World, joined_world
from axlstm.show.figures import save_figure

logger = logging.getLogger(__name__)

SUMMARY_NAME = "summary.json"
LOSS_FIGURE_NAME = "loss.png"
PICTURES_NAME = "reconstructions"


def pretrain(config: PretrainConfig, data: Path, workdir: Path, on_metrics: OnMetrics | None = None) -> dict[str, Any]:
    """Train in ``workdir`` until the schedule ends or a signal comes; returns what ``summary.json`` holds.

    A workdir with checkpoints of the same run is resumed exactly. ``workdir`` itself loads with
    `axlstm.load_model` as the newest checkpoint, ``workdir/best`` as that of the lowest validation loss.

    Args:
        data: a folder of shards.
        on_metrics: called in the main process with the step and its numbers, every ``log.every_steps``.

    Raises:
        ConfigError: a device that is not there, float16 on a CPU, or a batch that the processes cannot share.
        DataError: shards that are missing, unreadable, too few, or made for another front end.
        TrainingError: a workdir of another run, checkpoints that cannot be read, or too many steps in a row whose loss
            or gradient is not finite.
        WriteError: the disk is full or fails.
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
            # The run has no name here: whatever refers to the other processes ends with this call.
            return _Run(config, data, workdir, world, request, held, on_metrics).train()


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
def _numerics(config: PretrainConfig, world: World) -> Iterator[None]:
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


class _Run:
    """One run in one process; ``held`` closes the files that it opens."""

    def __init__(
        self,
        config: PretrainConfig,
        data: Path,
        workdir: Path,
        world: World,
        request: StopRequest,
        held: ExitStack,
        on_metrics: OnMetrics | None,
    ) -> None:
        self.config, self.workdir, self.world, self.request = config, workdir, world, request
        self.sinks: list[Sink] = []
        with world.agreed():
            shards, held_out = open_shards(data), open_shards(data, "valid")
            _check_frontend(shards, config)
            starts = tuple(shards.starts.tolist())
            order = (config.seed, config.reading.shuffle_records, config.objective.crops, config.crop_frames)
            self.plan = BatchPlan(starts, config.optimiser.global_batch, *order)
            teachers = [open_teachers(config.objective.teachers, part) for part in (shards, held_out)]
            crops, inputs = config.objective.crops, config.objective.input
            readers = (
                CropReader(shards, config.model, config.seed, teachers[0], crops, inputs),
                CropReader(held_out, config.model, config.seed, teachers[1]),
            )
        self.reader, held_out_reader = (held.enter_context(closing(reader)) for reader in readers)
        self.schedule = Schedule.of(config.optimiser, config.schedule, self.plan.steps_per_epoch)
        sizes = [teacher.size for teacher in teachers[0]]
        with world.agreed():
            model, given = make_first_model(config)
        self.stepper = Stepper(model, config, world, sizes)
        self.validation = Validation(held_out_reader, config, world)
        if not len(self.validation) and world.is_main:
            logger.warning("%s holds no held-out records: there will be no validation loss", data)
        if config.model.family == "ssast" and not config.model.masked_positions and world.is_main:
            logger.warning(
                "as published, this transformer predicts the same for all hidden patches of a window, for they have no "
                "position; model.masked_positions gives them one"
            )
        with world.agreed():
            if world.is_main:
                claim_workdir(workdir, config, data, fingerprint(shards, teachers[0], given))
                clear_leftovers(workdir)
        torch.manual_seed(config.seed + world.rank)
        with world.agreed():
            self.position = restore_newest(workdir, self.stepper) or Position()
        if self.position.step and world.is_main:
            logger.info("resumed from step %d of %d", self.position.step, self.schedule.total_steps)
        self.baseline = self.validation.baseline(self.stepper) if len(self.validation) else None
        versions = {"axlstm": __version__, "torch": str(torch.__version__)}
        self.facts = {"data": str(data), **versions, "config": config.to_dict()}
        self.saved_step: int | None = None
        self.meter = Meter(config, world)
        with world.agreed():
            if world.is_main:
                publish(workdir, self.position, config.checkpoints.keep_last)
                self.sinks = open_sinks(workdir, config.log, config.to_dict(), self.position.step, on_metrics)
                check_metrics(workdir, self.position.metrics_bytes)
                for sink in self.sinks:
                    held.callback(sink.close)

    def train(self) -> dict[str, Any]:
        total = self.schedule.total_steps
        batches = micro_batches(
            self.reader,
            self.plan,
            first_step=self.position.step,
            last_step=total,
            parts=self.stepper.parts,
            rank=self.world.rank,
            world_size=self.world.size,
            workers=self.config.reading.workers,
            prefetch=self.config.reading.prefetch,
            pin_memory=self.world.device.type == "cuda",
        )
        with closing(batches), watch_progress(self.world.size, self.position.step) as note:
            self._steps(batches, total, note)
        if self.position.step < total:
            self._save()
            logger.info("stopped at step %d of %d; the same command goes on from there", self.position.step, total)
        return self._finish(total)

    def _steps(self, batches: Iterator[Batch], total: int, note: Callable[[int], None]) -> None:
        """Train until the last step, or until any process is asked to stop; ``note`` is called after each step."""
        position, stopped = self.position, False
        self.stepper.model.train()
        while position.step < total and not stopped:
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
        """Validate, draw and save where the step's number asks for it. The checkpoint comes last: at a step that a run
        is resumed from, all the rest is done."""
        step, config = self.position.step, self.config
        at_end = step == total
        save = step % config.checkpoints.every_steps == 0 or at_end
        if len(self.validation):
            if step % config.validation.every_steps == 0 or at_end:
                save |= self._validate()
            if step % config.log.pictures_every_steps == 0 or at_end:
                with self.world.agreed():
                    if self.world.is_main:
                        self._draw()
        # Not while steps fail: the newest checkpoint is then one that training can go on from.
        if save and not self.position.nonfinite_in_a_row:
            self._save()

    def _validate(self) -> bool:
        """Measure the validation loss, which is that of pixels; returns whether it is the lowest.

        Where pixels have no weight, no measure stays the same during the run, and the newest model counts as the best.
        """
        losses, position = self.validation.losses(self.stepper), self.position
        loss = losses.pop("pixels")
        position.validation_loss = loss
        self._write({"validation_loss": loss, **{f"validation_{name}": value for name, value in losses.items()}})
        self.meter.restart()
        lowest = position.best_loss is None or loss < position.best_loss or not self.config.objective.pixel_weight
        best = lowest and not position.nonfinite_in_a_row
        if best:
            position.best_loss, position.best_step = loss, position.step
        return best

    def _draw(self) -> None:
        windows, mask, prediction = self.validation.pictures(self.stepper)
        if self.config.objective.normalise_targets:
            prediction = undo_patch_normalisation(prediction, windows, self.config.model)
        folder = self.workdir / PICTURES_NAME
        folder.mkdir(exist_ok=True)
        figure = reconstruction_figure(windows, mask, prediction, self.config.model, self.config.objective.loss)
        save_figure(figure, folder / f"step-{self.position.step:09d}.png")
        self.meter.restart()

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

    def _finish(self, total: int) -> dict[str, Any]:
        position = self.position
        crops = position.step * self.config.optimiser.global_batch
        summary = {
            "finished": position.step == total,
            "steps": position.step,
            "epochs": position.step / self.plan.steps_per_epoch,
            "crops": crops,
            "train_hours": position.train_seconds / 3600,
            "crops_per_second": crops / max(position.train_seconds, 1e-9),
            "validation_loss": position.validation_loss,
            "best_validation_loss": position.best_loss,
            "best_step": position.best_step,
            "baseline": self.baseline,
            "nonfinite_steps": position.nonfinite_steps,
            "skipped_records": position.skipped_records,
            "parameters": count_parameters(self.stepper.model),
            "processes": self.world.size,
            "rank": self.world.rank,
            **self.facts,
        }
        with self.world.agreed():
            if self.world.is_main and summary["finished"]:
                write_atomically(self.workdir / SUMMARY_NAME, (json.dumps(summary, indent=2) + "\n").encode())
                save_figure(loss_figure(read_metrics(self.workdir), self.baseline), self.workdir / LOSS_FIGURE_NAME)
        return summary


def open_teachers(config: TeachersConfig, shards: ShardSet) -> list[Teacher]:
    """Open the embeddings of all teachers of one split; none of a split without records.

    Raises:
        DataError: embeddings that are not complete, or not of these shards.
    """
    return [Teacher(Path(folder), shards) for folder in config.folders] if len(shards) else []


def fingerprint(shards: ShardSet, teachers: Sequence[Teacher], weights: str) -> str:
    """Return the SHA-256 of all that a run reads: that of the shards, joined with those of teachers and weights."""
    parts = [shards.fingerprint, *(teacher.fingerprint for teacher in teachers), *filter(None, [weights])]
    return parts[0] if len(parts) == 1 else hashlib.sha256("/".join(parts).encode()).hexdigest()


def _check_frontend(shards: ShardSet, config: PretrainConfig) -> None:
    there, ours = shards.index.get("frontend"), FrontendConfig().to_dict()
    if there is not None and there != ours:
        different = name_differences(there, ours)
        raise DataError(f"{shards.directory}: made with another front end ({different}); prepare the audio again")
    if config.model.mel_bands != ours["mel_bands"]:
        raise DataError(
            f"model.mel_bands={config.model.mel_bands}: the front end and all shards have {ours['mel_bands']} bands"
        )
