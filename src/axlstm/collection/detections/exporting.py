"""Export a classifier with its encoder and front end inside: waveforms in, probabilities out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from axlstm.audio.read import load_audio
from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.detections.parts import settings_of
from axlstm.collection.encoders import EmbedderWindows, FrameWindows
from axlstm.embed.embedder import Embedder
from axlstm.engines.graph import WaveformModel
from axlstm.engines.onnx import Axes
from axlstm.errors import ConfigError
from axlstm.export.check import Agreement, exact_frames
from axlstm.export.exported import ExportedClassifier
from axlstm.export.write import (
    WaveformGraph,
    check_exportable,
    describe_embedder,
    export_graph,
    make_waveform_model,
)
from axlstm.samples import sample_names, sample_path

TOLERANCE = 1e-3
"""Largest difference allowed in a probability."""

_LEAST_CLIP_S = 1.0  # that is compared


class ClassifierHead(nn.Module):
    """Compute `Classifier.probabilities` as a graph: vectors ``(..., D)`` to probabilities ``(..., L)``."""

    mean: Tensor
    scale: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.mode, self.background = classifier.mode, classifier.background
        scale = 1 / classifier.deviation  # 0 where the deviation is infinite
        of_labels = {"slope": classifier.slope, "offset": classifier.offset}
        for name, value in {"mean": classifier.mean, "scale": scale, **of_labels}.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32))
        self.layers = nn.ModuleList()
        for layer in classifier.layers:
            linear = nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
            linear.weight = nn.Parameter(torch.tensor(layer.weight), requires_grad=False)
            linear.bias = nn.Parameter(torch.tensor(layer.bias), requires_grad=False)
            self.layers.append(linear)

    def forward(self, vectors: Tensor) -> Tensor:
        x = (vectors - self.mean) * self.scale
        for layer in list(self.layers)[:-1]:
            x = F.relu(layer(x))  # (B, out)
        values = self.slope * self.layers[-1](x) + self.offset  # (B, L)
        if self.mode == "regression":
            return values
        if self.mode == "multilabel":
            return torch.sigmoid(values)
        if not self.background:
            return torch.softmax(values, dim=-1)
        return torch.softmax(F.pad(values, (0, 1)), dim=-1)[..., :-1]


class ClassifierGraph(nn.Module):
    """Waveforms ``(B, n)`` to probabilities ``(B, L)``, each waveform a window by itself.

    Of single frames it gives ``(B, T, L)``, and their times in ms ``(T,)``.
    """

    def __init__(self, encoder: WaveformModel, head: ClassifierHead, of_frames: bool) -> None:
        super().__init__()
        self.encoder, self.head, self.of_frames = encoder, head, of_frames

    def forward(self, waveforms: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        embedded = self.encoder(waveforms)
        if self.of_frames:
            return self.head(embedded[1]), embedded[2]
        probabilities: Tensor = self.head(embedded[0])
        return probabilities


def export_classifier(
    classifier: Classifier,
    path: Path,
    kind: str = "onnx",
    *,
    model: str | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Agreement:
    """Write a classifier with its encoder to one file, and compare it with the classifier on the bundled recordings.

    Args:
        path: ends with ``.onnx``, ``.xml`` (OpenVINO) or ``.pt2``.
        kind: ``"onnx"``, ``"openvino"`` or ``"torch-export"``.
        model: where the encoder is now, if it is not where it was when the classifier was trained.
        on_step: called with a description of each step when it begins.

    Returns:
        the largest differences of probabilities from those of float64.

    Raises:
        ConfigError: an encoder that has no graph, a format or name that does not fit, or a library that is missing.
        ExportError: probabilities that differ by more than 1e-3 (and more than float32 does by itself).
    """
    encoder = classifier.load_encoder(model=model)
    if not isinstance(encoder, (EmbedderWindows, FrameWindows)):
        raise ConfigError(
            f"the classifier's encoder is {classifier.encoder.source}, which cannot be exported: only axlstm's own "
            "models can; train one on the windows of such a model"
        )
    embedder = check_exportable(encoder.embedder, path, kind)
    of_frames = classifier.frames is not None
    graph = ClassifierGraph(make_waveform_model(embedder), ClassifierHead(classifier), of_frames)
    about = {
        **describe_embedder(embedder),
        "labels": json.dumps(classifier.labels),
        "thresholds": json.dumps(classifier.thresholds.tolist()),
        "mode": classifier.mode,
        "window_s": f"{classifier.encoder.window_s:g}",
        "classifier": settings_of(classifier).fingerprint,
    }
    if classifier.frames is not None:
        about["frames"] = json.dumps(asdict(classifier.frames))
    outputs: Axes = {"probabilities": ["batch", None]}
    if of_frames:
        outputs = {"probabilities": ["batch", "frames", None], "timestamps_ms": ["frames"]}
    described = WaveformGraph(graph, embedder.sample_rate, embedder.logmel.config.least_samples, outputs, about)
    return export_graph(described, path, kind, partial(_compare, embedder, classifier), on_step)


def _compare(embedder: Embedder, classifier: Classifier, written: Path) -> Agreement:
    """Compare an exported file with the classifier that it was made from."""
    exported, exact = ExportedClassifier(written), ClassifierHead(classifier).double()
    differences = []
    for clip in _clips(embedder, max(classifier.encoder.window_s, _LEAST_CLIP_S)):
        found = embedder.embed(clip, embedder.sample_rate)
        with torch.no_grad():
            frames = exact_frames(embedder, torch.from_numpy(clip))  # (T, D)
            expected = exact(frames if exported.of_frames else embedder.pool(frames)[None]).numpy()  # (T or 1, L)
        own = classifier.probabilities(found.frames if exported.of_frames else found.scene[None])
        given = exported.frames(clip[None])[0][0] if exported.of_frames else exported(clip[None])
        differences.append([_largest(expected, one) for one in (given, own)])
    of_exported, of_embedder = np.max(differences, axis=0).tolist()
    return Agreement(of_exported, of_embedder, TOLERANCE)


def _largest(expected: NDArray[np.float64], found: NDArray[np.floating]) -> float:
    difference = np.abs(expected - found).max()
    return float(difference) if np.isfinite(difference) else float("inf")


def _clips(embedder: Embedder, window_s: float) -> list[NDArray[np.float32]]:
    """Take a window of each bundled recording, the shortest clip that there may be, and silence."""
    rate = embedder.sample_rate
    samples = max(round(window_s * rate), embedder.logmel.config.least_samples)
    clips = [load_audio(sample_path(name))[:samples] for name in sample_names()]
    return [*clips, clips[0][: embedder.logmel.config.least_samples], np.zeros(samples, np.float32)]
