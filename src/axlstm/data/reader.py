"""Turn shards into batches of crops: deterministic, resumable from a step number, split over ranks and workers."""

from __future__ import annotations

import copy
import logging
import math
import signal
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from axlstm.audio.frontend import FrontendConfig
from axlstm.audio.logmel import LogMel
from axlstm.data.config import InputConfig
from axlstm.data.index import INDEX_NAME
from axlstm.data.inputs import change_speed, disturb, draw_speed, equalise
from axlstm.data.order import BatchPlan, crop_start, sample_key
from axlstm.data.records import decode_logmel, open_audio
from axlstm.data.shards import MissingShardError, RecordFiles, ShardSet
from axlstm.data.teachers import CropTargets, Teacher
from axlstm.errors import DataError, first_line
from axlstm.model.config import ModelConfig
from axlstm.threads import UNGUARDED, check_main_guard, end_with_parent

logger = logging.getLogger(__name__)

_MOST_REPLACEMENTS = 1000  # records tried in the place of one that cannot be read: a bound on the time it takes
_UNCHANGED = InputConfig()
_INPUTS_STREAM = 0xA06  # keeps what changes a crop apart from what places it
_EDGE_FRAMES = 2  # decoded on either side of a crop of sound, so that its frames are those of the whole record


class Taught(NamedTuple):
    """A teacher's targets of a batch: ``frames (B, grid_frames, D)``, ``clip (B, D)`` and ``present (B,)`` bool; see
    `axlstm.data.teachers.CropTargets`."""

    frames: Tensor
    clip: Tensor
    present: Tensor


class LogMelBatch(NamedTuple):
    """Normalised crops ``windows (B, frames, bands)`` float32, the ``keys (B,)`` their masks are drawn from,
    one line for every record that could not be read, and each teacher's targets. ``inputs``, of the shape of windows,
    is what the student hears where that is something else."""

    windows: Tensor
    keys: Tensor
    skipped: list[str]
    taught: tuple[Taught, ...] = ()
    inputs: Tensor | None = None


class AudioBatch(NamedTuple):
    """Crops of sound ``samples (B, n)`` float32 with two frames more at either side; ``frames (B,)`` of the
    record if it is shorter than a crop, else of the crop; ``mean`` and ``deviation (B,)`` of the whole
    record's log-mel; ``keys (B,)``, skipped and taught as in `LogMelBatch`."""

    samples: Tensor
    frames: Tensor
    mean: Tensor
    deviation: Tensor
    keys: Tensor
    skipped: list[str]
    taught: tuple[Taught, ...] = ()


Batch = LogMelBatch | AudioBatch


_Placed = tuple[int, int, float, tuple[Any, ...]]
"""First log-mel frame of a crop in its record, frames of the crop, their speed, and its columns of the batch."""


class _Crop(NamedTuple):
    """The key of a crop, its columns of the batch, and each teacher's targets of it."""

    key: int
    content: tuple[Any, ...]
    taught: list[CropTargets]


def _cut(key: int, logmel: NDArray[np.float32], wanted: int, speed: float = 1.0) -> tuple[int, NDArray[np.float32]]:
    """Return the first frame of a crop, and at most ``wanted`` frames of it at that speed."""
    length = wanted if speed == 1 else math.ceil(wanted * speed)
    start = crop_start(key, len(logmel), length)
    return start, change_speed(logmel[start : start + length], speed)[:wanted]


def _normalise(
    crop: NDArray[np.float32], original: NDArray[np.float32], frames: int, mean: float, deviation: float
) -> NDArray[np.float32]:
    """Normalise by the record's statistics, moved as a change has moved the crop's, and fill ``frames`` frames."""
    if crop is not original:
        spread = float(original.std())
        mean += float(crop.mean()) - float(original.mean())
        deviation *= float(crop.std()) / spread if spread else 1.0
    out: NDArray[np.float32] = (_tiled(crop, frames) - np.float32(mean)) / np.float32(deviation + 1e-8)
    return out


def _tiled(crop: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Return the first ``frames`` frames of a crop, repeated where it has fewer."""
    return crop[:frames] if len(crop) >= frames else np.tile(crop, (-(-frames // len(crop)), 1))[:frames]


def _collate(targets: Sequence[CropTargets]) -> Taught:
    frames, clips, present = zip(*targets, strict=True)
    return Taught(torch.from_numpy(np.stack(frames)), torch.from_numpy(np.stack(clips)), torch.tensor(present))


class CropReader:
    """Reads random crops of records, normalised by the whole record's statistics, as in the published training.

    A record that cannot be read gives its place in the batch to a crop of another record of the folder. Which one
    depends on the seed, the epoch and the record alone, so batches stay the same however they are split.

    Args:
        teachers: of the same shards; each gives targets of every crop.
        crops: of each record.
        inputs: changes of crops, of log-mel shards only.

    Raises:
        DataError: changes of crops of sound.
    """

    def __init__(
        self,
        shards: ShardSet,
        model: ModelConfig,
        seed: int,
        teachers: Sequence[Teacher] = (),
        crops: int = 1,
        inputs: InputConfig = _UNCHANGED,
    ) -> None:
        if inputs.active and shards.content != "logmel":
            raise DataError(
                f"{shards.directory}: objective.input changes log-mel, and these shards hold sound; prepare them with "
                "--content logmel"
            )
        self.shards, self.model, self.seed, self.teachers, self.crops = shards, model, seed, teachers, crops
        self.inputs = inputs
        self._files = RecordFiles(shards)
        self._frontend = FrontendConfig()

    def at_length(self, frames: int) -> CropReader:
        """Return a reader of crops of another length; it shares the open files."""
        other = copy.copy(self)
        other.model = replace(self.model, window_frames=frames)
        return other

    def close(self) -> None:
        """Close all shards, and the files of teachers."""
        self._files.close()
        for teacher in self.teachers:
            teacher.close()

    def read(self, epoch: int, records: NDArray[np.int64]) -> Batch:
        """Read ``crops`` crops of each record; those of one record follow each other.

        Raises:
            DataError: a record cannot be read, and none of the others that were tried in its place.
            MissingShardError: a shard is gone.
        """
        crops: list[_Crop] = []
        skipped = []
        for record in records.tolist():
            try:
                crops += list(self._crops(sample_key(self.seed, epoch, record), record))
            except MissingShardError:
                raise
            except (DataError, OSError) as error:
                where = f"{self.shards.shards[self.shards.shard_of(record)]}, record {record}: {error}"
                skipped.append(where)
                crops += self._replacement(epoch, record, where)
        columns = list(zip(*(crop.content for crop in crops), strict=True))
        # torch has no unsigned 64-bit numbers
        keys = torch.tensor([crop.key - 2**63 for crop in crops], dtype=torch.int64)
        taught = tuple(_collate(of_teacher) for of_teacher in zip(*(crop.taught for crop in crops), strict=True))
        if self.shards.content == "logmel":
            windows, *inputs = (torch.from_numpy(np.stack(column)) for column in columns)
            return LogMelBatch(windows, keys, skipped, taught, inputs[0] if inputs else None)
        mean, deviation = (torch.tensor(column, dtype=torch.float32) for column in columns[2:4])
        samples, frames = torch.from_numpy(np.stack(columns[0])), torch.tensor(columns[1])
        return AudioBatch(samples, frames, mean, deviation, keys, skipped, taught)

    def _replacement(self, epoch: int, record: int, where: str) -> list[_Crop]:
        """Read crops of another record: the first in a random order that can be read."""
        count = len(self.shards)
        key = sample_key(self.seed, epoch, count + record)
        others = Random(key).sample(range(count), min(count, _MOST_REPLACEMENTS))
        for other in others:
            try:
                return list(self._crops(key, other))
            except MissingShardError:
                raise
            except (DataError, OSError):
                continue
        told = f", as {self.shards.directory / INDEX_NAME} describes them" if self.shards.index else ""
        raise DataError(
            f"{where}; none of {len(others)} records of the folder can be read in its place{told}: restore the shards, "
            "or prepare the data again"
        )

    def _crops(self, key: int, record: int) -> Iterator[_Crop]:
        """Read the crops of a record: the first is drawn from ``key``, further ones from keys made of it."""
        content = self._files.data(record)
        if self.shards.content == "logmel":
            record_of_logmel = self._decode(content)
        else:
            facts = self._files.facts(record)
        for number in range(self.crops):
            of_crop = sample_key(key, number, record) if number else key
            if self.shards.content == "logmel":
                start, frames, speed, values = self._logmel_crop(of_crop, *record_of_logmel)
            else:
                start, frames, speed, values = self._audio_crop(of_crop, content, facts)
            taught = [teacher.crop(record, start, frames, self.model, speed) for teacher in self.teachers]
            yield _Crop(of_crop, values, taught)

    def _decode(self, content: bytes) -> tuple[NDArray[np.float32], float, float]:
        """Return a record's log-mel ``(frames, bands)``, its mean and its deviation."""
        with np.errstate(over="ignore", invalid="ignore"):  # damaged values: reported below
            logmel = decode_logmel(content, self.model.mel_bands).astype(np.float32)  # (frames, bands)
            mean = float(logmel.mean(dtype=np.float64))
            centred = (logmel - np.float32(mean)).ravel()
            deviation = math.sqrt(float(np.dot(centred, centred)) / centred.size)
        if not math.isfinite(mean) or not math.isfinite(deviation):
            raise DataError("holds NaN or infinity")
        return logmel, mean, deviation

    def _logmel_crop(self, key: int, logmel: NDArray[np.float32], mean: float, deviation: float) -> _Placed:
        wanted = self.model.window_frames
        rng = np.random.default_rng([key, _INPUTS_STREAM]) if self.inputs.active else None
        speed = draw_speed(rng, self.inputs) if rng else 1.0
        start, original = _cut(key, logmel, wanted, speed)
        crop = original if rng is None else equalise(original, rng, self.inputs)
        columns = [crop]
        if rng and (self.inputs.noise or self.inputs.mix):
            columns.append(disturb(crop, rng, self.inputs, lambda: self._other_crop(key, len(crop))))
        windows = tuple(_normalise(changed, original, wanted, mean, deviation) for changed in columns)
        return start, len(crop), speed, windows

    def _other_crop(self, key: int, frames: int) -> NDArray[np.float32] | None:
        """Return ``frames`` frames of another recording; None if it cannot be read: its own turn reports that."""
        of_other = sample_key(key, 0, _INPUTS_STREAM)
        try:
            logmel, *_ = self._decode(self._files.data((of_other * len(self.shards)) >> 64))
        except MissingShardError:
            raise
        except (DataError, OSError):
            return None
        return _tiled(_cut(of_other, logmel, frames)[1], frames)

    def _audio_crop(self, key: int, content: bytes, facts: dict[str, Any]) -> _Placed:
        wanted, hop = self.model.window_frames, self._frontend.hop_samples
        mean, deviation = facts.get("logmel_mean"), facts.get("logmel_deviation")
        if not isinstance(mean, float) or not isinstance(deviation, float):
            raise DataError("no logmel_mean and logmel_deviation beside the sound, as axlstm prepare writes them")
        if not math.isfinite(mean) or not math.isfinite(deviation):
            raise DataError("statistics that are NaN or infinity")
        with open_audio(content) as file:
            total = file.frames
            if total < self._frontend.window_samples:
                raise DataError(f"{total} samples: fewer than one STFT window")
            frames = 1 + total // hop
            start = crop_start(key, frames, wanted)
            edge = _EDGE_FRAMES * hop
            length = (wanted - 1 + 2 * _EDGE_FRAMES) * hop
            first = start * hop - edge  # of the piece wanted; it may begin before and end after the record
            begin, end = max(0, first), min(total, first + length)
            file.seek(begin)
            piece = file.read(end - begin, dtype="float32")
        if len(piece) < end - begin:
            raise DataError(f"cut short: {len(piece)} of {end - begin} samples")
        before = begin - first
        after = min(edge, first + length - end)
        padded = np.pad(piece, (before, after), mode="reflect")  # as the centred STFT of the whole record does
        samples = np.zeros(length, dtype=np.float32)
        samples[: len(padded)] = padded[:length]
        return start, min(frames, wanted), 1.0, (samples, min(frames, wanted), mean, deviation)


class WindowMaker(torch.nn.Module):
    """Makes normalised windows ``(B, frames, bands)`` of batches on one device; sound becomes log-mel there."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self._logmel = LogMel().to(device)

    @torch.no_grad()
    def forward(self, batch: Batch) -> Tensor:
        """Return the windows of a batch, tiled where the record was shorter."""
        if isinstance(batch, LogMelBatch):
            return batch.windows.to(self._device, non_blocking=True)
        samples, frames, mean, deviation = (part.to(self._device, non_blocking=True) for part in batch[:4])
        logmel = self._logmel(samples)  # (B, frames + 2 edges, bands)
        wanted = logmel.shape[1] - 2 * _EDGE_FRAMES
        place = torch.arange(wanted, device=self._device) % frames[:, None]  # (B, frames)
        place = (place + _EDGE_FRAMES)[..., None].expand(-1, -1, logmel.shape[-1])  # (B, frames, bands)
        crops = logmel.gather(1, place)
        normalised: Tensor = (crops - mean[:, None, None]) / (deviation[:, None, None] + 1e-8)
        return normalised


class _MicroBatches(Dataset[Batch | Exception]):
    """Micro-batches of this rank, ``parts`` for each step, by number; or the errors of reading them."""

    def __init__(self, reader: CropReader, plan: BatchPlan, parts: int, rank: int, world_size: int) -> None:
        self._plan = plan
        self._readers: dict[int | None, CropReader] = {None: reader}
        self._readers |= {frames: reader.at_length(frames) for frames in plan.lengths}
        self._parts, self._rank, self._world_size = parts, rank, world_size
        self._size = plan.step_records // (parts * world_size)

    def __getitem__(self, number: int) -> Batch | Exception:
        step, part = divmod(number, self._parts)
        begin = (part * self._world_size + self._rank) * self._size
        epoch, records = self._plan.records(step, begin, begin + self._size)
        try:
            return self._readers[self._plan.crop_frames(step)].read(epoch, records)
        except (DataError, OSError) as error:
            return error  # a loader would raise it with a worker's whole traceback as its message


def micro_batches(
    reader: CropReader,
    plan: BatchPlan,
    *,
    first_step: int,
    last_step: int,
    parts: int = 1,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
    prefetch: int = 4,
    pin_memory: bool = False,
) -> Generator[Batch]:
    """Yield this rank's batches in order, ``parts`` for every step from ``first_step`` on, each made by one worker.

    Every rank gets as many as every other, whatever the number of shards, and the content of a batch depends
    on the seed and its number alone: started at a later step, the reader gives what it would have given there.
    Workers end with the generator: close it where it is not read to its end.

    Args:
        first_step, last_step: the steps to read, the last one excluded.
        workers: reading processes; 0 reads in this one. Each keeps ``prefetch`` batches ready.
        pin_memory: put batches where a CUDA device copies them from without waiting.

    Raises:
        DataError: shards that cannot be read at all, one that is missing, or a worker that ended.
    """
    if workers:
        check_main_guard()
    loader: DataLoader[Batch | Exception] = DataLoader(
        _MicroBatches(reader, plan, parts, rank, world_size),
        batch_size=None,
        sampler=range(first_step * parts, last_step * parts),
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        worker_init_fn=_start_worker,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # not the run's own, from which a loader draws at every start
    )
    batches = iter(loader)
    try:
        for batch in batches:
            if isinstance(batch, Exception):
                raise batch
            yield batch
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise DataError(
            f"a reading worker ended ({first_line(error)}): memory may have run out, use fewer workers. Or it could "
            f"not start: {UNGUARDED}"
        ) from error
    finally:
        if workers:
            # Not left to garbage collection: an error's traceback keeps the workers, which no signal ends, alive.
            batches._shutdown_workers()  # type: ignore[attr-defined]


def _start_worker(_: int) -> None:
    # Ctrl-C and a scheduler's signal reach every process; the parent alone decides when reading ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent()
