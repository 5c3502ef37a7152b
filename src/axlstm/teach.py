"""Embed every record of a folder of shards with a frozen encoder, once, as targets for pretraining."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from axlstm.audio.logmel import LogMel
from axlstm.audio.open import open_sound
from axlstm.audio.read import count_frames
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.data.index import INDEX_NAME
from axlstm.data.records import open_audio
from axlstm.data.segments import decode
from axlstm.data.shards import MissingShardError, RecordFiles, ShardSet, open_shards
from axlstm.data.taught import check_settings, complete_folder
from axlstm.data.teachers import (
    FORMAT_VERSION,
    MOST_FLOAT16,
    TEACHER_NAME,
    TaughtShard,
    find_fault,
    read_taught_shard,
    read_teacher_index,
    shard_file,
    write_taught_shard,
)
from axlstm.errors import ConfigError, DamageError, DataError, describe_error
from axlstm.evaluate.embedding.encoders import Encoder, load_encoder
from axlstm.files import clear_dead_parts
from axlstm.locks import locked
from axlstm.options import TeachUnit, check_choice

_MOST_DRIFT_MS = 1.0
_SAME_SOUND = 0.05  # of the mean log-mel, which is in natural logarithms
_ROUNDING_S = 0.002  # facts have start and length in whole milliseconds
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TeachConfig:
    """The embeddings that are kept of the encoder."""

    each: TeachUnit = "frame"  # its frame embeddings; "scene": a scene embedding of each stretch of the record
    hop_ms: float | None = None  # longest time between two frames that are kept: those within are averaged; none: all
    stretch_seconds: float = 2.0  # length of a stretch, for scenes; they overlap by half

    def __post_init__(self) -> None:
        check_choice("each", self.each, TeachUnit)
        if self.hop_ms is not None and not self.hop_ms > 0:
            raise ConfigError(f"hop_ms={self.hop_ms}: expected a number above zero, or none")
        if not self.stretch_seconds > 0:
            raise ConfigError(f"stretch_seconds={self.stretch_seconds}: expected a number above zero")
        if self.each == "scene" and self.hop_ms is not None:
            raise ConfigError("hop_ms is for frames; scenes come every half of stretch_seconds")


def teach(
    directory: Path,
    source: str,
    out: Path,
    config: TeachConfig | None = None,
    *,
    device: str = "cpu",
    on_progress: Callable[[int, int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the embeddings of all records into ``out``, a file for each shard; returns what ``teacher.json`` holds.

    After an interruption the same call goes on after the last complete file, and gives the same bytes. A record that
    cannot be embedded is skipped and listed in ``skipped.jsonl``.

    Args:
        directory: a folder of shards. Of log-mel shards the sound is read again from the files they were made from.
        source: an encoder as `axlstm.evaluate.embedding.encoders.Candidate` takes it: a model, or a HEAR-API module.
        on_progress: called after every record with the records done, all records, and those skipped.

    Raises:
        ConfigError: an encoder that does not exist.
        DataError: no shards; a folder begun with another encoder, shards or settings; no record that can be embedded.
        InUseError: another process works in ``out``.
    """
    config = config or TeachConfig()
    splits = [shards for shards in (open_shards(directory, split) for split in ("train", "valid")) if len(shards)]
    encoder = load_encoder(source, device)
    settings = {
        "format_version": FORMAT_VERSION,
        "encoder": encoder.describe(),
        **vars(config),
        "shards": {shards.split: shards.fingerprint for shards in splits},
    }
    if (out / INDEX_NAME).exists():
        raise ConfigError(f"{out}: holds shards, whose files must stay as they are; choose another folder")
    with locked(out):
        faults = {path: find_fault(path) for path in out.glob("*.safetensors")}
        for fault in filter(None, faults.values()):
            logger.warning("%s: it is made anew", fault)
        if (out / TEACHER_NAME).is_file():
            try:
                index = read_teacher_index(out)
                check_settings(out, index["settings"], settings)
                if len(faults) == sum(len(shards.shards) for shards in splits) and not any(faults.values()):
                    return index
            except DamageError as error:
                logger.warning("%s", error)
        clear_dead_parts(out)
        total, done, skipped = sum(map(len, splits)), 0, 0
        files: dict[str, list[TaughtShard]] = {shards.split: [] for shards in splits}
        timing: tuple[float, float] | None = None
        for shards in splits:
            for number, shard in enumerate(shards.shards):
                path = shard_file(out, shard)
                if faults.get(path, "missing") or read_taught_shard(path).skipped:  # which may pass
                    writer = _ShardTeacher(encoder, config, shards, timing)
                    for seen, failed in enumerate(writer.embed(number), start=1):
                        if on_progress:
                            on_progress(done + seen, total, skipped + failed)
                    writer.write(path, settings)
                file = read_taught_shard(path)
                check_settings(path, file.settings, settings)
                done, skipped = done + len(file.counts), skipped + len(file.skipped)
                timing = timing or file.timing
                files[shards.split].append(file)
        return complete_folder(out, files, settings, timing)


class _ShardTeacher:
    """Embeds the records of one shard."""

    def __init__(
        self, encoder: Encoder, config: TeachConfig, shards: ShardSet, timing: tuple[float, float] | None
    ) -> None:
        self._encoder, self._config, self._shards, self._timing = encoder, config, shards, timing
        self._size = encoder.timestamp_embedding_size if config.each == "frame" else encoder.scene_embedding_size
        self._embeddings: list[NDArray[np.float16]] = []
        self._skipped: list[dict[str, Any]] = []
        self._logmel = LogMel()

    def embed(self, shard: int) -> Iterator[int]:
        """Embed each record; yields how many were skipped so far."""
        first, last = self._shards.starts[shard : shard + 2].tolist()
        with closing(RecordFiles(self._shards)) as files:
            for record in range(first, last):
                try:
                    embeddings, timing = self._embed(self._sound(files, record))
                    self._timing = self._timing or timing
                except (MissingShardError, torch.OutOfMemoryError):
                    raise
                except Exception as error:  # encoders of others raise what they like
                    embeddings = np.zeros((0, self._size), np.float16)
                    name = self._shards.shards[shard].name
                    self._skipped.append({"shard": name, "record": record - first, "reason": describe_error(error)})
                self._embeddings.append(embeddings)
                yield len(self._skipped)

    def write(self, path: Path, settings: dict[str, Any]) -> None:
        counts = np.array([len(part) for part in self._embeddings], dtype=np.int64)
        write_taught_shard(path, np.concatenate(self._embeddings), counts, settings, self._timing, self._skipped)

    def _sound(self, files: RecordFiles, record: int) -> NDArray[np.float32]:
        """Return the sound of a record: 16 kHz mono ``(n,)``."""
        if self._shards.content == "audio":
            with open_audio(files.data(record)) as file:
                samples: NDArray[np.float32] = file.read(dtype="float32")
            return samples
        facts = files.facts(record)
        if missing := [name for name in ("source", "start_s", "seconds", "logmel_mean") if name not in facts]:
            raise DataError(
                f"its facts lack {', '.join(missing)}: where the sound is, which a log-mel record does not hold"
            )
        source = Path(facts["source"])
        if not source.is_file():
            raise DataError(f"{source}: no such file; restore it, or run the command where axlstm prepare ran")
        with open_sound(source) as (file, name):
            rate, frames = file.samplerate, count_frames(file, name)
        begin = round(facts["start_s"] * rate)
        end = begin + round(facts["seconds"] * rate)
        if 0 < end - frames <= rate * _ROUNDING_S:
            end = frames
        samples = decode(str(source), begin, end)
        mean = float(self._logmel(torch.from_numpy(samples)).mean())
        if abs(mean - facts["logmel_mean"]) > _SAME_SOUND:
            raise DataError(f"{source}: its sound is not that of the record any more; restore the file")
        return samples

    def _embed(self, samples: NDArray[np.float32]) -> tuple[NDArray[np.float16], tuple[float, float] | None]:
        """Embed a sound ``(n,)``: ``(frames, D)``, and first and hop in ms, None if there is one frame."""
        rate = self._encoder.sample_rate
        if rate != SAMPLE_RATE_HZ:
            samples = soxr.resample(samples, SAMPLE_RATE_HZ, rate, quality="HQ")
        sound = torch.from_numpy(samples)[None]  # (1, n)
        if self._config.each == "frame":
            embeddings, timing = self._frames(sound)
        else:
            embeddings, timing = self._scenes(sound, rate)
        if not np.isfinite(embeddings).all() or np.abs(embeddings).max() > MOST_FLOAT16:
            raise DataError(f"{self._encoder.name} gives NaN, infinity or more than float16 holds")
        if embeddings.shape[1] != self._size:
            raise DataError(f"{self._encoder.name} gives size {embeddings.shape[1]}, but says that it is {self._size}")
        return embeddings.astype(np.float16), timing

    def _frames(self, sound: torch.Tensor) -> tuple[NDArray[np.float32], tuple[float, float] | None]:
        embeddings, times = self._encoder.frames(sound)
        frames, times_ms = embeddings[0].numpy(), times[0].double().numpy()  # (T, D), (T,)
        if self._config.hop_ms is not None and len(frames) > 1:
            together = min(len(frames), max(1, round(self._config.hop_ms / (times_ms[1] - times_ms[0]))))
            groups = len(frames) // together
            frames = frames[: groups * together].reshape(groups, together, -1).mean(axis=1)
            times_ms = times_ms[: groups * together].reshape(groups, together).mean(axis=1)
        if len(frames) < 2:
            return frames, None
        first, hop = self._timing or (times_ms[0], (times_ms[-1] - times_ms[0]) / (len(times_ms) - 1))
        if np.abs(times_ms - first - hop * np.arange(len(times_ms))).max() > _MOST_DRIFT_MS:
            raise DataError(
                f"{self._encoder.name}: its frames are not {hop:g} ms apart from {first:g} ms on, as in the records "
                "before; a teacher needs one hop"
            )
        return frames, (float(first), float(hop))

    def _scenes(self, sound: torch.Tensor, rate: int) -> tuple[NDArray[np.float32], tuple[float, float]]:
        """Compute scene embeddings of stretches that overlap by half; a record shorter than a stretch is one."""
        length = round(self._config.stretch_seconds * rate)
        hop = length // 2
        count = max(1, sound.shape[1] // hop - 1)
        stretches = [sound[:, at * hop : at * hop + length] for at in range(count)]
        scenes = torch.cat([self._encoder.scenes(stretch) for stretch in stretches])  # (T, D)
        return scenes.numpy(), (500 * length / rate, 1000 * hop / rate)
