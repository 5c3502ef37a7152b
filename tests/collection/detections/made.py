"""Classifiers with drawn weights, for tests of what is done with their probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from axlstm.collection.classifiers.classifier import Classifier, Layer
from axlstm.collection.encoders import WindowEncoder
from axlstm.collection.folder import EncoderEntry
from axlstm.collection.loading import load_window_encoder
from axlstm.embed.windows import Windows


def entry_of(encoder: WindowEncoder) -> EncoderEntry:
    note, windows = encoder.note, encoder.windows
    lengths = windows.window_s, float(windows.hop_s or windows.window_s)
    return EncoderEntry(0, note.name, note.source, note.fingerprint, note.size, *lengths, dict(note.options))


def make_classifier(
    model: str, labels: tuple[str, ...] = ("wren", "robin"), window_s: float = 1.0, hop_s: float = 0.5, **options: Any
) -> Classifier:
    """A linear classifier of a model's windows, whose probabilities are spread over 0 to 1 for made-up sounds."""
    encoder = load_window_encoder(model, Windows(window_s, hop_s), **options)
    return of_entry(entry_of(encoder), labels)


def of_entry(entry: EncoderEntry, labels: tuple[str, ...]) -> Classifier:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(len(labels), entry.size)).astype(np.float32)
    return Classifier(
        labels=labels,
        mode="multilabel",
        encoder=entry,
        mean=np.zeros(entry.size, np.float32),
        deviation=np.ones(entry.size, np.float32),
        layers=(Layer(weight, np.zeros(len(labels), np.float32)),),
        slope=np.full(len(labels), 3.0),
        offset=np.zeros(len(labels)),
        thresholds=np.full(len(labels), 0.7),
    )


def save_classifier(folder: Path, model: str, **options: Any) -> Path:
    make_classifier(model, **options).save(folder)
    return folder
