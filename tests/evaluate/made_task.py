"""Small embeddings directories in the kit's format, made for a test."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np


def write_split(folder: Path, name: str, embeddings: np.ndarray, labels: list[list[Any]]) -> None:
    (folder / f"{name}.embedding-dimensions.json").write_text(json.dumps(list(embeddings.shape)))
    embeddings.astype(np.float32).tofile(folder / f"{name}.embeddings.npy")
    (folder / f"{name}.target-labels.pkl").write_bytes(pickle.dumps(labels))


def make_scene_task(
    folder: Path,
    sizes: dict[str, int],
    classes: int = 3,
    size: int = 8,
    multilabel: bool = False,
    noise: float = 1.0,
    offset: float = 0.0,
    seed: int = 0,
    **metadata: Any,
) -> Path:
    """Gaussian classes; `sizes` are the clips of each split, k-fold unless there is a split called train."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    labels = [f"c{k}" for k in range(classes)]
    values = {
        "task_name": folder.name,
        "embedding_type": "scene",
        "prediction_type": "multilabel" if multilabel else "multiclass",
        "split_mode": "trainvaltest" if "train" in sizes else "new_split_kfold",
        "splits": list(sizes),
        "sample_duration": 1.0,
        "evaluation": ["mAP", "aucroc"] if multilabel else ["top1_acc", "mAP", "d_prime", "aucroc"],
        **metadata,
    }
    (folder / "task_metadata.json").write_text(json.dumps(values))
    rows = "".join(f"{k},{label}\n" for k, label in enumerate(labels))
    (folder / "labelvocabulary.csv").write_text("idx,label\n" + rows)
    centres = rng.normal(size=(classes, size))
    for name, n in sizes.items():
        if multilabel:
            target = rng.random((n, classes)) < 0.3
            target[np.arange(classes) % n, np.arange(classes)] = True
        else:
            target = np.eye(classes, dtype=bool)[rng.permutation(np.arange(n) % classes)]
        embeddings = target @ centres + noise * rng.normal(size=(n, size)) + offset
        write_split(folder, name, embeddings, [[labels[k] for k in np.flatnonzero(row)] for row in target])
    return folder


def make_event_task(folder: Path, files: dict[str, int], frames: int = 60, hop_ms: float = 40.0, seed: int = 0) -> Path:
    """Two classes of events of 200 to 600 ms that the embeddings show with noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    labels = ["high", "low"]
    metadata = {
        "task_name": folder.name,
        "embedding_type": "event",
        "prediction_type": "multilabel",
        "split_mode": "trainvaltest",
        "splits": list(files),
        "sample_duration": frames * hop_ms / 1000,
        "evaluation": ["event_onset_200ms_fms", "segment_1s_er"],
    }
    (folder / "task_metadata.json").write_text(json.dumps(metadata))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,high\n1,low\n")
    centres = rng.normal(size=(2, 12))
    for split, n in files.items():
        truth, packed, rows, stamps = {}, [], [], []
        for i in range(n):
            file = f"{split}{i}.wav"
            events = []
            on = np.zeros((frames, 2))
            for k, label in enumerate(labels):
                start = float(rng.integers(0, frames - 16)) * hop_ms
                end = start + float(rng.integers(5, 15)) * hop_ms
                events.append({"label": label, "start": start, "end": end})
                times = np.arange(frames) * hop_ms
                on[(times >= start) & (times <= end), k] = 1
            truth[file] = events
            packed.append(on @ centres * 2 + 0.3 * rng.normal(size=(frames, 12)))
            rows += [[labels[k] for k in np.flatnonzero(row)] for row in on]
            stamps += [[f"embeddings/m/t/{split}/{file}", t * hop_ms] for t in range(frames)]
        write_split(folder, split, np.concatenate(packed), rows)
        (folder / f"{split}.json").write_text(json.dumps(truth))
        (folder / f"{split}.filename-timestamps.json").write_text(json.dumps(stamps))
    return folder
