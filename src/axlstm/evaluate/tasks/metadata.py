"""Describe a HEAR task: its metadata, classes and splits."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axlstm.errors import AxlstmError
from axlstm.evaluate.scoring.clips import SCORES

_CHOICES = {
    "embedding_type": ("scene", "event"),
    "prediction_type": ("multiclass", "multilabel"),
    "split_mode": ("trainvaltest", "new_split_kfold", "presplit_kfold"),
}


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
            raise TaskError(f"{path}: {key} is {values[key]!r}, expected one of {', '.join(known)}")
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
            raise TaskError(f"{path}: {key} is {values[key]!r}, expected a list of names")
    duration_s = values.get("sample_duration")
    if duration_s is not None and not (type(duration_s) in (int, float) and 0 < duration_s < math.inf):
        raise TaskError(f"{path}: sample_duration is {duration_s!r}, expected seconds above 0, or null")
    by_score = values.get("use_scoring_for_early_stopping", True)
    if not isinstance(by_score, bool):
        raise TaskError(f"{path}: use_scoring_for_early_stopping is {by_score!r}, expected true or false")
    if not isinstance(values.get("evaluation_params") or {}, dict):
        raise TaskError(f"{path}: evaluation_params is {values['evaluation_params']!r}, expected an object")


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
        raise TaskError(f"{path}: unknown score {unknown[0]!r} in evaluation; the scores are {', '.join(SCORES)}")
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
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"{path} is not JSON: {error}") from error


def read_note(path: Path) -> dict[str, Any]:
    """Read a JSON object that may be missing; it is then empty."""
    return read_json(path) if path.is_file() else {}
