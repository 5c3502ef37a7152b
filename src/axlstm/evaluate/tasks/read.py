"""Read HEAR task directories: audio, labels and splits, before anything is embedded."""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.errors import name_some
from axlstm.evaluate.scoring.events import Event
from axlstm.evaluate.tasks.metadata import TaskError, TaskMetadata, read_json, read_labels, read_metadata
from axlstm.files import write_atomically

logger = logging.getLogger(__name__)
_LENGTH_TOLERANCE_S = 0.05
_SHORTEST_S = 0.025  # one frame of the log-mel spectrogram
_RESAMPLE_FROM_HZ = (48_000, 44_100, 32_000, 22_050)


@dataclass(frozen=True)
class Task:
    """A task directory. `splits` holds, by split and file, the labels (scene) or the events (event) as in its JSON."""

    path: Path
    metadata: TaskMetadata
    labels: list[str]
    splits: dict[str, dict[str, list[Any]]]

    def audio_folder(self, split: str, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Path:
        """Return the folder of a split's wav files of one rate."""
        return self.path / str(sample_rate_hz) / split


def find_tasks(root: str | Path) -> list[Path]:
    """Find the task directories at or directly below a folder, in the order of their names; `TaskError` if none."""
    root = Path(root)
    paths = sorted([root / "task_metadata.json", *root.glob("*/task_metadata.json")])
    found = [path.parent for path in paths if path.is_file()]
    if not found:
        raise TaskError(f"no task at {root} or directly below: expected folders with a task_metadata.json")
    return found


def read_task(path: str | Path) -> Task:
    """Read a task's metadata, vocabulary and split files; `TaskError` for what is missing or malformed."""
    path = Path(path)
    metadata = read_metadata(path)
    splits = {}
    for name in metadata.splits:
        content = read_json(path / f"{name}.json")
        if not isinstance(content, dict) or not all(isinstance(found, list) for found in content.values()):
            raise TaskError(f"{path / name}.json: expected an object of file names and lists")
        if not content:
            raise TaskError(f"{path / name}.json: the split is empty; every split needs at least one clip")
        splits[name] = content
    task = Task(path, metadata, read_labels(path), splits)
    for name, content in splits.items():
        _check_clips(task, content, f"{path / name}.json")
    return task


def _check_clips(task: Task, content: dict[str, list[Any]], where: str) -> None:
    known = set(task.labels)
    for file, found in content.items():
        if Path(file).name != file or file in (".", ".."):
            raise TaskError(f"{where}: {file!r} is not a plain file name")
        try:
            labels = [Event.from_dict(event).label for event in found] if task.metadata.is_event else map(str, found)
        except (KeyError, TypeError, ValueError) as error:
            raise TaskError(f"{where}: {file}: expected events with label, start and end in ms") from error
        unknown = sorted(set(labels) - known)
        if unknown:
            raise TaskError(f"{where}: {file} has the label {unknown[0]!r}, which labelvocabulary.csv lacks")
        if task.metadata.is_multiclass and len(found) != 1:
            raise TaskError(f"{where}: {file} has {len(found)} labels {found}, multiclass needs exactly one")


def check_task(task: Task, sample_rate_hz: int = SAMPLE_RATE_HZ) -> list[str]:
    """List the problems of a task's audio, one sentence each; a sound task has none.

    Looks for missing and unreadable files, wrong rates, channels and durations, clips shorter than a frame, events
    outside their clip, clips that appear in two splits (by name or by content), and classes that a training part lacks.
    """
    problems: list[str] = []
    seen: dict[tuple[str, str], str] = {}  # a clip by its name, and by its content
    for split, content in task.splits.items():
        for file, labels in content.items():
            path = task.audio_folder(split, sample_rate_hz) / file
            if not path.is_file():
                problems.append(f"{path} is missing")
                continue
            problems += _check_clip(task, path, labels, sample_rate_hz)
            digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
            for what, key in (("name", file), ("content", digest)):
                other = seen.setdefault((what, key), f"{split}/{file}")
                if other.split("/")[0] != split:
                    problems.append(f"{split}/{file} has the {what} of {other}: it leaks between splits")
                    break
    return problems + _check_classes(task)


def _check_clip(task: Task, path: Path, labels: list[Any], sample_rate_hz: int) -> list[str]:
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        return [f"{path} cannot be read: {error}"]
    expected_s = task.metadata.sample_duration_s or info.duration
    checks = {
        f"has {info.samplerate} Hz, its folder says {sample_rate_hz}": info.samplerate == sample_rate_hz,
        f"has {info.channels} channels, expected 1": info.channels == 1,
        f"lasts {1000 * info.duration:g} ms; embeddings need 25 ms": info.duration >= _SHORTEST_S,
        f"lasts {info.duration:.3f} s, the task's clips last {expected_s} s": (
            abs(info.duration - expected_s) <= _LENGTH_TOLERANCE_S
        ),
    }
    problems = [f"{path} {problem}" for problem, is_right in checks.items() if not is_right]
    for event in map(Event.from_dict, labels if task.metadata.is_event else ()):
        if not 0 <= event.start_ms <= event.end_ms <= 1000 * (info.duration + _LENGTH_TOLERANCE_S):
            place = f"the event {event.label} from {event.start_ms:g} to {event.end_ms:g} ms"
            problems.append(f"{path}: {place} does not lie in the clip")
    return problems


def _check_classes(task: Task) -> list[str]:
    problems = []
    for split in task.metadata.data_splits():
        items = (item for name in split.train for found in task.splits[name].values() for item in found)
        labels = {str(item["label"] if task.metadata.is_event else item) for item in items}
        if absent := sorted(set(task.labels) - labels):
            problems.append(f"no training clip of {name_some(absent)} for the test split {split.name}")
    return problems


def warn_of_absent_classes(task: Task) -> None:
    """Warn of classes that no training clip has: a probe cannot learn them."""
    for problem in _check_classes(task):
        logger.warning("%s: %s", task.path.name, problem)


def resample_task(task: Task, sample_rate_hz: int = SAMPLE_RATE_HZ) -> int:
    """Write the clips of one rate that a release lacks from the highest rate it has; returns how many were written.

    Existing files stay as they are.

    Raises:
        TaskError: a clip exists at no rate, or its file has another rate than its folder says.
    """
    clips = [(split, file) for split, content in task.splits.items() for file in content]
    missing = [clip for clip in clips if not task.audio_folder(clip[0], sample_rate_hz).joinpath(clip[1]).is_file()]
    for split, file in missing:
        _resample(task, split, file, sample_rate_hz)
    return len(missing)


def _resample(task: Task, split: str, file: str, sample_rate_hz: int) -> None:
    sources = {rate_hz: task.audio_folder(split, rate_hz) / file for rate_hz in _RESAMPLE_FROM_HZ}
    expected_hz = next((rate_hz for rate_hz, path in sources.items() if path.is_file()), None)
    if expected_hz is None:
        tried = ", ".join(map(str, _RESAMPLE_FROM_HZ))
        raise TaskError(f"{task.path}: {split}/{file} exists at none of {SAMPLE_RATE_HZ}, {tried} Hz")
    samples, rate_hz = soundfile.read(sources[expected_hz], dtype="float32", always_2d=True)  # (n, channels)
    if rate_hz != expected_hz:
        raise TaskError(f"{sources[expected_hz]} has {rate_hz} Hz, its folder says {expected_hz}")
    resampled = soxr.resample(samples.mean(axis=1), rate_hz, sample_rate_hz, quality="HQ")
    write_clip(task.audio_folder(split, sample_rate_hz) / file, resampled, sample_rate_hz)


def write_clip(path: Path, samples: np.ndarray, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Write mono samples ``(n,)`` as 16-bit wav, whole or not at all; louder than full scale is clipped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()  # libsndfile does not say why it cannot write
    soundfile.write(content, np.clip(samples, -1.0, 1.0), sample_rate_hz, subtype="PCM_16", format="WAV")
    write_atomically(path, content.getvalue())
