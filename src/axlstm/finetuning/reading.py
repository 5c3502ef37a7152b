"""Read clips as log-mel, keep what fits into memory, and make batches of them in an order that a step's number says."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from axlstm.audio.logmel import FrontendConfig, LogMel, normalise
from axlstm.audio.read import load_audio
from axlstm.collection.stretches import Stretch, read_stretch
from axlstm.data.order import sample_key
from axlstm.errors import AudioError, DataError, describe_error, name_some
from axlstm.finetuning.augment import Augmenter
from axlstm.finetuning.clips import Clip, frame_targets, targets_of
from axlstm.model.config import ModelConfig
from axlstm.model.frame_encoder import cut_windows
from axlstm.model.layouts import TimeLayout
from axlstm.options import TaskKind
from axlstm.threads import ahead

_DRAW_STREAM = 0xD7A  # keeps the drawing of clips apart from what is drawn for each of them
_BATCHES_AHEAD = 8
_SLACK_MS = 50.0  # that an event may reach beyond the end of its clip


class ClipBatch(NamedTuple):
    """Clips whose windows are encoded together.

    Args:
        windows: of all clips, one clip's behind another's ``(W, frames, bands)``, float32.
        counts: windows of each clip ``(B,)``.
        frames: embedding frames of each clip that are real ``(B,)``.
        targets: ``(B, K)``; of events ``(B, T, K)``, T the most frames of a clip. NaN where nothing is known.
        skipped: one line for each clip that could not be read.
    """

    windows: Tensor
    counts: Tensor
    frames: Tensor
    targets: Tensor
    skipped: Sequence[str] = ()


class ClipReader:
    """Reads the log-mel of clips, ``(T, bands)`` float32, before normalisation.

    Args:
        memory_mb: of log-mel that is kept.
    """

    def __init__(self, clips: Sequence[Clip], frontend: FrontendConfig, memory_mb: float) -> None:
        self.clips, self.frontend = clips, frontend
        self._logmel = LogMel(frontend)
        self._kept: dict[int, Tensor] = {}
        self._room, self._lock = int(memory_mb * 1e6), Lock()

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, index: int) -> Tensor:
        """Read one clip.

        Raises:
            DataError: it cannot be read, is too short, or an event in it lies beyond its end.
        """
        if (kept := self._kept.get(index)) is not None:
            return kept
        clip = self.clips[index]
        try:
            if clip.begin_s is None:
                samples = load_audio(clip.path)
            else:
                samples = load_audio(*read_stretch(clip.path, Stretch(clip.begin_s, clip.end_s)))
            with torch.no_grad():
                logmel = self._logmel(torch.from_numpy(samples))
        except (AudioError, OSError) as error:
            raise DataError(f"{clip.name}: {describe_error(error)}; correct the file, or remove its row") from error
        _check_events(clip, 1000 * len(samples) / self.frontend.sample_rate_hz)
        logmel = logmel[: max(1, len(samples) // self.frontend.hop_samples)].clone()  # the frames that count
        with self._lock:
            size = logmel.numel() * logmel.element_size()
            if self._room >= size and index not in self._kept:
                self._room -= size
                self._kept[index] = logmel
        return logmel


class ClipsRead:
    """Some of the clips of a reader, by numbers from 0 on."""

    def __init__(self, reader: ClipReader, span: range) -> None:
        self._reader, self._span = reader, span
        self.clips, self.frontend = reader.clips[span.start : span.stop], reader.frontend

    def __len__(self) -> int:
        return len(self._span)

    def read(self, index: int) -> Tensor:
        """Read one clip; errors as `ClipReader.read`."""
        return self._reader.read(self._span[index])


def _check_events(clip: Clip, length_ms: float) -> None:
    beyond = [event for event in clip.events if event.end_ms > length_ms + _SLACK_MS]
    if beyond:
        event = beyond[0]
        raise DataError(
            f"{clip.name}: an event from {event.start_ms:g} to {event.end_ms:g} ms, but the clip ends at "
            f"{length_ms:.0f} ms; correct the times, which are in milliseconds"
        )


@dataclass(frozen=True)
class BatchMaker:
    """Makes batches of a reader's clips.

    Args:
        kind, count: what is learned, and the number of labels.
        scale: see `axlstm.finetuning.clips.Parts.value_scale`.
    """

    reader: ClipReader | ClipsRead
    model: ModelConfig
    kind: TaskKind
    count: int
    scale: tuple[float, float] = (0.0, 1.0)
    layout: TimeLayout = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", TimeLayout(self.model, self.reader.frontend))

    def whole(self, indices: Sequence[int]) -> ClipBatch:
        """Make a batch of whole clips, as they are."""
        mels = [self.reader.read(index) for index in indices]
        clips = [self.reader.clips[index] for index in indices]
        if self.kind == "events":
            pairs = zip(clips, mels, strict=True)
            targets = _stack([frame_targets(clip, self.times_ms(mel), self.count) for clip, mel in pairs])
        else:
            targets = torch.from_numpy(targets_of(clips, self.kind, self.count, self.scale))
        return self.join(mels, targets)

    def changed(self, index: int, key: int, augmenter: Augmenter) -> tuple[Tensor, NDArray[np.float32], Tensor]:
        """Make one clip for training: its log-mel, its targets ``(K,)`` or ``(T, K)``, and where masks hide it."""
        clip, mel = self.reader.clips[index], self.reader.read(index)
        rng = np.random.default_rng([key & 0xFFFFFFFF, key >> 32])
        begin, mel = augmenter.crop(mel, rng)
        if self.kind == "events":
            offset_ms = 1000 * begin * self.reader.frontend.hop_samples / self.reader.frontend.sample_rate_hz
            target = frame_targets(clip, self.times_ms(mel) + np.float32(offset_ms), self.count)
        else:
            target = targets_of([clip], self.kind, self.count, self.scale)[0]
        return augmenter.change(mel, target, rng, self.layout.model.patch_frames)

    def times_ms(self, mel: Tensor) -> NDArray[np.float32]:
        """Return the times of a clip's embedding frames ``(T,)``."""
        times: NDArray[np.float32] = self.layout.timestamps_ms(len(mel) * self.reader.frontend.hop_samples).numpy()
        return times

    def join(self, mels: Sequence[Tensor], targets: Tensor, hidden: Sequence[Tensor] = ()) -> ClipBatch:
        """Cut log-mels into windows. What ``hidden`` is true for becomes zero, the mean of what is left normalised."""
        windows: list[Tensor] = []
        counts, frames = [], []
        for number, mel in enumerate(mels):
            samples = len(mel) * self.reader.frontend.hop_samples
            if hidden:
                mel = normalise(mel).masked_fill(hidden[number], 0.0)
                wanted = self.layout.encoded_frames(samples)
                cut: Sequence[Tensor] = F.pad(mel, (0, 0, 0, wanted - len(mel))).split(self.model.window_frames)
            else:
                cut = cut_windows(self.layout, mel, samples, self.model)
            windows += cut
            counts.append(len(cut))
            frames.append(self.layout.frame_count(samples))
        return ClipBatch(torch.stack(windows), torch.tensor(counts), torch.tensor(frames), targets)


def _stack(targets: Sequence[NDArray[np.float32]]) -> Tensor:
    """Put frame targets ``(T, K)`` of clips side by side ``(B, T, K)``; zeros behind the end."""
    most = max(len(target) for target in targets)
    return torch.from_numpy(np.stack([np.pad(target, ((0, most - len(target)), (0, 0))) for target in targets]))


class TrainingOrder:
    """Says which clips a step has, as a pure function of its number.

    Args:
        count: of clips.
        shares: probability of each clip to be drawn ``(n,)``; None takes each once in an epoch.
    """

    def __init__(self, count: int, batch: int, seed: int, shares: NDArray[np.float64] | None = None) -> None:
        self.count, self.batch, self.seed = count, batch, seed
        self._bounds = None if shares is None else np.cumsum(shares) / shares.sum()
        self._epochs: dict[int, NDArray[np.int64]] = {}

    @property
    def steps_per_epoch(self) -> float:
        """Return the steps in which as many clips are seen as there are."""
        return self.count / self.batch

    def clip(self, position: int) -> tuple[int, int]:
        """Return the clip at a position of the endless order, and 64 random bits for what is changed in it."""
        epoch, within = divmod(position, self.count)
        if self._bounds is not None:
            draw = sample_key(self.seed ^ _DRAW_STREAM, epoch, within) / 2**64
            index = min(int(np.searchsorted(self._bounds, draw, side="right")), self.count - 1)
            return index, sample_key(self.seed, epoch, within)
        order = self._epochs.get(epoch)
        if order is None:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
            self._epochs = {epoch - 1: self._epochs.get(epoch - 1, order), epoch: order}
        index = int(order[within])
        return index, sample_key(self.seed, epoch, index)


def training_batches(
    maker: BatchMaker,
    order: TrainingOrder,
    augmenter: Augmenter,
    steps: range,
    *,
    parts: int,
    share: int,
    at: int,
) -> Generator[ClipBatch]:
    """Yield the parts of steps, read ahead in threads.

    Args:
        parts: of each step.
        share: clips of a part.
        at: of a step's clips, the first that is this process's.
    """

    def make(number: int) -> ClipBatch:
        step, part = divmod(number, parts)
        begin = step * order.batch + at + part * share
        made = [maker.changed(*order.clip(position), augmenter) for position in range(begin, begin + share)]
        mels, targets, hidden = zip(*made, strict=True)
        joined = _stack(targets) if maker.kind == "events" else torch.from_numpy(np.stack(targets))
        return maker.join(mels, joined, hidden)

    batches = ahead(make, range(steps.start * parts, steps.stop * parts), lambda _: 1, _BATCHES_AHEAD)
    with closing(batches):
        for _, future in batches:
            yield future.result()


def check_clips(reader: ClipReader) -> None:
    """Read all clips once, ahead of training, as many as memory keeps.

    Raises:
        DataError: naming those that cannot be read.
    """
    faults: list[str] = []
    with closing(ahead(reader.read, range(len(reader)), lambda _: 1, 64)) as reading:
        for _, future in reading:
            if (error := future.exception()) is not None:
                if not isinstance(error, DataError):
                    raise error
                faults.append(str(error))
    if faults:
        raise DataError(f"{len(faults)} of {len(reader)} clips cannot be learned from: {name_some(faults, '; ', 3)}")
