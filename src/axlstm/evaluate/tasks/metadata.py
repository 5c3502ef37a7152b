"""Describe a HEAR task: its metadata, classes and splits."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axlstm.bounds import MOST_LIST_BYTES, parse_json
from axlstm.errors import AxlstmError, first_line
from axlstm.evaluate.scoring.clips import SCORES
from axlstm.files import write_atomically
from axlstm.seals import OBJECT_KEY, object_is_whole, seal_object

_CHOICES = {
    "embedding_type": ("scene", "event"),
    "prediction_type": ("multiclass", "multilabel"),
    "split_mode": ("trainvaltest", "new_split_kfold", "presplit_kfold"),
}


_LONGEST_S = 1e9  # of a clip
_MOST_SPLITS = 1_000
_MOST_POINTS = 10_000  # of a grid


class TaskError(AxlstmError):
    """A task or embeddings directory that is incomplete, inconsistent or not readable."""


@dataclass(frozen=True)
class DataSplit:
    """The splits that train, select and test one probe."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the key of this data split in the results: its test splits joined by ``|``."""
        return "|".join(self.test)


@dataclass(frozen=True)
class TaskMetadata:
    """The keys of ``task_metadata.json`` that the evaluation reads."""

    name: str
    embedding_type: str
    prediction_type: str
    split_mode: str
    splits: tuple[str, ...]
    scores: tuple[str, ...]
    sample_duration_s: float | None = None
    use_scoring_for_early_stopping: bool = True
    evaluation_params: dict[str, Any] = field(default_factory=dict)

    @property
    def is_event(self) -> bool:
        """Tell whether each frame has an embedding; otherwise each clip has one."""
        return self.embedding_type == "event"

    @property
    def is_multiclass(self) -> bool:
        """Tell whether every clip has exactly one label."""
        return self.prediction_type == "multiclass"

    @property
    def primary_score(self) -> str:
        """Return the score that selects, stops and is reported first."""
        return self.scores[0]

    def data_splits(self) -> list[DataSplit]:
        """List the probes to train: one, or one for each fold (test fold i, validation fold i + 1, the rest train)."""
        if self.split_mode == "trainvaltest":
            return [DataSplit(("train",), ("valid",), ("test",))]
        folds = sorted(self.splits)
        pairs = zip(folds, [*folds[1:], folds[0]], strict=True)
        return [DataSplit(tuple(f for f in folds if f not in pair), pair[1:], pair[:1]) for pair in pairs]


def read_metadata(folder: Path) -> TaskMetadata:
    """Read and check ``task_metadata.json`` of a task or embeddings directory.

    Raises:
        TaskError: naming the file, which is missing, is no JSON, or has a key with a value that is not known.
    """
    path = folder / "task_metadata.json"
    values = read_json(path)
    if not isinstance(values, dict):
        raise TaskError(f"{path} holds a {type(values).__name__}, expected an object")
    missing = [key for key in ("task_name", *_CHOICES, "splits", "evaluation") if key not in values]
    if missing:
        raise TaskError(f"{path} lacks {', '.join(missing)}")
    for key, known in _CHOICES.items():
        if values[key] not in known:
            raise TaskError(f"{path}: {key} is {values[key]!r:.100}, expected one of {', '.join(known)}")
    _check_types(values, path)
    if values["embedding_type"] == "event" and values["prediction_type"] == "multiclass":
        raise TaskError(f"{path}: an event task has overlapping labels: prediction_type must be multilabel")
    metadata = TaskMetadata(
        str(values["task_name"]),
        **{key: values[key] for key in _CHOICES},
        splits=tuple(values["splits"]),
        scores=tuple(values["evaluation"]),
        sample_duration_s=values.get("sample_duration"),
        use_scoring_for_early_stopping=values.get("use_scoring_for_early_stopping", True),
        evaluation_params=values.get("evaluation_params") or {},
    )
    _check_splits_and_scores(metadata, path)
    return metadata


def _check_types(values: dict[str, Any], path: Path) -> None:
    for key in ("splits", "evaluation"):
        if not isinstance(values[key], list) or not all(isinstance(item, str) for item in values[key]):
            raise TaskError(f"{path}: {key} is {values[key]!r:.100}, expected a list of names")
    if not all(Path(split).name == split and split.isprintable() for split in values["splits"]):
        raise TaskError(f"{path}: splits is {values['splits']!r:.100}, expected names of folders")
    if len(values["splits"]) > _MOST_SPLITS:
        raise TaskError(f"{path}: {len(values['splits'])} splits, more than {_MOST_SPLITS}")
    duration_s = values.get("sample_duration")
    if duration_s is not None and not (type(duration_s) in (int, float) and 0 < duration_s < _LONGEST_S):
        raise TaskError(f"{path}: sample_duration is {duration_s!r:.100}, expected seconds above 0, or null")
    by_score = values.get("use_scoring_for_early_stopping", True)
    if not isinstance(by_score, bool):
        raise TaskError(f"{path}: use_scoring_for_early_stopping is {by_score!r:.100}, expected true or false")
    if not isinstance(values.get("evaluation_params") or {}, dict):
        raise TaskError(f"{path}: evaluation_params is {values['evaluation_params']!r:.100}, expected an object")
    _check_grid((values.get("evaluation_params") or {}).get("task_specific_param_grid") or {}, path)


def _check_grid(grid: Any, path: Path) -> None:
    """Check the grid of probes that a task may bring along."""
    expected = f"{path}: task_specific_param_grid: expected lists of numbers or names under names of settings"
    if not isinstance(grid, dict) or not all(isinstance(values, list) and values for values in grid.values()):
        raise TaskError(expected)
    if not all(type(value) in (int, float, str) for values in grid.values() for value in values):
        raise TaskError(expected)
    if math.prod(map(len, grid.values())) > _MOST_POINTS:
        raise TaskError(f"{path}: task_specific_param_grid has more than {_MOST_POINTS} points")


def _check_splits_and_scores(metadata: TaskMetadata, path: Path) -> None:
    if metadata.split_mode == "trainvaltest":
        missing = [split for split in ("train", "valid", "test") if split not in metadata.splits]
        if missing:
            raise TaskError(f"{path}: split_mode trainvaltest needs the splits {', '.join(missing)} too")
    elif len(set(metadata.splits)) < 3:
        raise TaskError(f"{path}: k-fold needs at least 3 folds, has {len(set(metadata.splits))}")
    if not metadata.scores:
        raise TaskError(f"{path}: evaluation is empty; name at least one of {', '.join(SCORES)}")
    unknown = [name for name in metadata.scores if name not in SCORES]
    if unknown:
        raise TaskError(f"{path}: unknown score {unknown[0]!r:.100} in evaluation; the scores are {', '.join(SCORES)}")
    wrong = [name for name in metadata.scores if SCORES[name].is_event != metadata.is_event]
    if wrong:
        raise TaskError(f"{path}: {', '.join(wrong)} cannot judge a task of {metadata.embedding_type} embeddings")


def read_labels(folder: Path) -> list[str]:
    """Read class names by index from ``labelvocabulary.csv`` (header ``idx,label``); `TaskError` if it is faulty."""
    path = folder / "labelvocabulary.csv"
    if not path.is_file():
        raise TaskError(f"{path} is missing: it lists the classes under the header idx,label")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        by_index = {int(row["idx"]): row["label"] for row in rows}
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        expected = "UTF-8 text with the header idx,label and a whole number in idx"
        raise TaskError(f"{path}: expected {expected} ({error!r})") from error
    labels = [by_index[i] for i in sorted(by_index)]
    if sorted(by_index) != list(range(len(rows))) or len(set(labels)) != len(labels) or not labels:
        raise TaskError(f"{path}: idx must count 0, 1, 2, ... once each, and no label may appear twice")
    return labels


def read_json(path: Path) -> Any:
    """Read the value in a JSON file; `TaskError` when it is missing or broken."""
    if not path.is_file():
        raise TaskError(f"{path} is missing: the directory is incomplete")
    try:
        return parse_json(path.read_bytes(), MOST_LIST_BYTES)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{path} is not JSON that can be read: {first_line(error)}") from error


def read_note(path: Path) -> dict[str, Any]:
    """Read a JSON object that may be missing; it is then empty.

    Raises:
        TaskError: naming the file, which is broken, or not as it was written.
    """
    if not path.is_file():
        return {}
    note = read_json(path)
    if not isinstance(note, dict):
        raise TaskError(f"{path} holds a {type(note).__name__}, expected an object")
    if not object_is_whole(note):
        raise TaskError(f"{path} is damaged: its checksum is another one")
    note.pop(OBJECT_KEY, None)
    return note


def write_note(path: Path, note: Mapping[str, Any]) -> None:
    """Write a JSON object with its checksum, for `read_note`."""
    write_atomically(path, json.dumps(seal_object(note), indent=4).encode())
