"""Read a task's embeddings from the disk, as hear-eval-kit and `axlstm hear embed` write them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.evaluate.embedding.label_pickle import read_label_pickle
from axlstm.evaluate.scoring.events import Event
from axlstm.evaluate.tasks.metadata import TaskError, TaskMetadata, read_json, read_labels, read_metadata, read_note

MODEL_FILE = "model.json"  # describes the model, in the folder of all its embeddings
PROFILE_FILE = "profile.embeddings.json"  # describes a task's embeddings, beside them
_ROWS_PER_CHECK = 8192


@dataclass(frozen=True)
class PackedSplit:
    """One packed split: n clips (scene) or frames (event), K classes."""

    name: str
    embeddings: NDArray[np.float32]  # (n, D), memory-mapped
    target: NDArray[np.uint8]  # (n, K), 0 or 1
    frames: tuple[tuple[str, float], ...] | None = None  # event tasks: n of (file name, ms)
    events: dict[str, list[Event]] | None = None  # event tasks: the true events of each file


@dataclass(frozen=True)
class Rows:
    """Packed splits one behind the other, read without copying the whole."""

    splits: tuple[PackedSplit, ...]

    def __len__(self) -> int:
        return sum(len(split.target) for split in self.splits)

    def embeddings(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Read rows start to stop as an array in memory: ``(stop - start, D)``."""
        stop = len(self) if stop is None else min(stop, len(self))
        parts, offset = [], 0
        for split in self.splits:
            part = split.embeddings[max(start - offset, 0) : max(stop - offset, 0)]
            parts += [np.asarray(part)] if len(part) else []
            offset += len(split.target)
        return np.concatenate(parts)

    @cached_property
    def target(self) -> NDArray[np.uint8]:
        """Return the labels ``(n, K)``, 0 or 1."""
        return np.concatenate([split.target for split in self.splits])

    @property
    def frames(self) -> list[tuple[str, float]]:
        """Return for event tasks the file and time in ms of every row."""
        return [frame for split in self.splits for frame in split.frames or ()]

    @property
    def events(self) -> dict[str, list[Event]]:
        """Return for event tasks the true events of every file."""
        return {file: events for split in self.splits for file, events in (split.events or {}).items()}


@dataclass(frozen=True)
class EmbeddedTask:
    """A task with its embeddings."""

    path: Path
    metadata: TaskMetadata
    labels: list[str]
    splits: dict[str, PackedSplit]

    @property
    def embedding_size(self) -> int:
        """Return D, the length of one embedding."""
        return next(iter(self.splits.values())).embeddings.shape[1]

    def rows(self, names: tuple[str, ...]) -> Rows:
        """Join the named splits, one behind the other."""
        return Rows(tuple(self.splits[name] for name in names))


def read_embeddings(path: str | Path) -> EmbeddedTask:
    """Open an embeddings directory; the embeddings stay memory-mapped.

    Raises:
        TaskError: naming the file, for a missing split, a wrong dimension, a truncated file, NaN or
            infinite values, labels outside the vocabulary, or not one label in a multiclass clip.
    """
    path = Path(path)
    metadata, labels = read_metadata(path), read_labels(path)
    splits = {name: _read_split(path, name, metadata, labels) for name in metadata.splits}
    sizes = {name: split.embeddings.shape[1] for name, split in splits.items()}
    if len(set(sizes.values())) > 1:
        described = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise TaskError(f"{path}: the splits differ in embedding size ({described}); embed the task again")
    return EmbeddedTask(path, metadata, labels, splits)


def _read_split(path: Path, name: str, metadata: TaskMetadata, labels: list[str]) -> PackedSplit:
    embeddings = _open_embeddings(path, name)
    n, label_path = len(embeddings), path / f"{name}.target-labels.pkl"
    lists = read_label_pickle(label_path)
    if len(lists) != n:
        raise TaskError(f"{label_path} holds labels of {len(lists)} rows, the embeddings have {n}")
    target = encode_labels(lists, labels, metadata.is_multiclass, str(label_path))
    if not metadata.is_event:
        return PackedSplit(name, embeddings, target)
    frame_path = path / f"{name}.filename-timestamps.json"
    frames = tuple((str(file).split("/")[-1], float(ms)) for file, ms in read_json(frame_path))
    if len(frames) != n:
        raise TaskError(f"{frame_path} holds {len(frames)} frames, the embeddings have {n}")
    events = {file: [*map(Event.from_dict, found)] for file, found in read_json(path / f"{name}.json").items()}
    return PackedSplit(name, embeddings, target, frames, events)


def read_dimensions(path: Path, name: str) -> tuple[int, int]:
    """Read the number of rows n of a packed split and the embedding size D; `TaskError` if there are none."""
    dimensions_path = path / f"{name}.embedding-dimensions.json"
    shape = read_json(dimensions_path)
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(size, int) for size in shape)):
        raise TaskError(f"{dimensions_path} holds {shape!r}, expected [rows, embedding size]")
    n, size = shape
    if n < 1 or size < 1:
        raise TaskError(f"{dimensions_path}: the split {name} is empty; every split needs at least one clip")
    return n, size


def identify_embeddings(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Tell a task's embeddings from others: by their size, and a digest or else the model's fingerprint.

    Embeddings of hear-eval-kit and of foreign models may have neither.
    """
    _, size = read_dimensions(folder, read_metadata(folder).splits[0])
    digest = read_note(folder / PROFILE_FILE).get("digest")
    return {"embedding_size": size, "embeddings": digest or about.get("fingerprint")}


def _open_embeddings(path: Path, name: str) -> NDArray[np.float32]:
    """Map ``<split>.embeddings.npy``: raw float32 without a header, ``(n, D)`` by its dimensions file."""
    n, size = read_dimensions(path, name)
    data_path = path / f"{name}.embeddings.npy"
    if not data_path.is_file():
        raise TaskError(f"{data_path} is missing: the embeddings directory is incomplete")
    found = data_path.stat().st_size
    if found != 4 * n * size:
        need = f"{n} x {size} float32 need {4 * n * size}"
        raise TaskError(f"{data_path} has {found} bytes, but {need}: it is truncated; embed the task again")
    embeddings = np.memmap(data_path, dtype=np.float32, mode="r", shape=(n, size))
    for start in range(0, n, _ROWS_PER_CHECK):
        finite = np.isfinite(embeddings[start : start + _ROWS_PER_CHECK]).all(axis=1)  # (rows,)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise TaskError(f"{data_path}: row {row} has NaN or infinite values; the model failed on that clip")
    return embeddings


def encode_labels(lists: list[list[str]], labels: list[str], is_multiclass: bool, where: str) -> NDArray[np.uint8]:
    """Encode label lists as 0 or 1, ``(n, K)``; `TaskError` for an unknown label, or not one in a multiclass row."""
    index = {label: k for k, label in enumerate(labels)}
    target = np.zeros((len(lists), len(labels)), dtype=np.uint8)  # (n, K)
    for row, row_labels in enumerate(lists):
        if is_multiclass and len(row_labels) != 1:
            raise TaskError(f"{where}: row {row} has {len(row_labels)} labels {row_labels}, multiclass needs one")
        for label in row_labels:
            if label not in index:
                raise TaskError(f"{where}: row {row} has the label {label!r}, which labelvocabulary.csv lacks")
            target[row, index[label]] = 1
    return target
