"""A classifier in one file gives the probabilities that it gives by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import axlstm
from axlstm.audio.read import load_audio
from axlstm.cli import main
from axlstm.collection.classifiers.classifier import Classifier, Layer
from axlstm.collection.detections.exporting import ClassifierHead, export_classifier
from axlstm.engines.runtimes import Session
from axlstm.errors import CheckpointError, ConfigError, ExportError
from axlstm.export.write import export_model
from axlstm.samples import sample_path
from tests.collection.detections.made import make_classifier, save_classifier


@pytest.fixture(scope="module")
def classifier(model: str) -> Classifier:
    return make_classifier(model, pooling="mean+deviation")


def with_hidden(classifier: Classifier, **changes: Any) -> Classifier:
    rng = np.random.default_rng(1)
    first = Layer(rng.normal(size=(5, classifier.encoder.size)).astype(np.float32), np.ones(5, np.float32))
    last = Layer(rng.normal(size=(2, 5)).astype(np.float32), np.ones(2, np.float32))
    deviation = classifier.deviation.copy()
    deviation[3] = np.inf
    return replace(classifier, layers=(first, last), deviation=deviation, **changes)


@pytest.mark.parametrize("changes", [{}, {"mode": "multiclass"}, {"mode": "multiclass", "background": True}], ids=str)
def test_the_head_as_a_graph_is_the_classifier(classifier: Classifier, changes: Any) -> None:
    made = with_hidden(classifier, slope=np.array([0.7, -1.2]), offset=np.array([0.3, 0.1]), **changes)
    vectors = np.random.default_rng(2).normal(size=(40, classifier.encoder.size)).astype(np.float32)
    with torch.no_grad():
        found = ClassifierHead(made)(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(found, made.probabilities(vectors), atol=1e-5)


def test_waveforms_become_probabilities(classifier: Classifier, tmp_path: Path) -> None:
    agreement = export_classifier(classifier, tmp_path / "wren.onnx")
    assert agreement.exported <= 1e-3
    exported = axlstm.ExportedClassifier(tmp_path / "wren.onnx")
    assert (exported.labels, exported.thresholds, exported.window_s) == (("wren", "robin"), (0.7, 0.7), 1.0)
    clip = load_audio(sample_path("bird_song"))[:16_000]
    embedder = classifier.load_encoder().embedder
    own = classifier.probabilities(embedder.embed(clip, 16_000).scene[None])[0]
    assert exported.classify(clip, 16_000) == pytest.approx(dict(zip(classifier.labels, own, strict=True)), abs=1e-3)
    assert exported(np.stack([clip, clip[::-1]])).shape == (2, 2)
    with pytest.raises(CheckpointError, match=r"a classifier.*ExportedClassifier runs it"):
        axlstm.ExportedModel(tmp_path / "wren.onnx")


def test_a_file_that_gives_something_else_is_not_written(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axlstm.collection.detections.exporting.make_waveform_model", _loud)
    with pytest.raises(ExportError, match=r"wren\.pt2: not written"):
        export_classifier(classifier, tmp_path / "wren.pt2", "torch-export")
    assert list(tmp_path.iterdir()) == []


def _loud(embedder: axlstm.Embedder) -> torch.nn.Module:
    from axlstm.export.write import make_waveform_model

    class Loud(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = make_waveform_model(embedder)

        def forward(self, waveforms: torch.Tensor) -> tuple[torch.Tensor]:
            return (1.5 * self.inner(waveforms)[0],)

    return Loud()


def test_other_encoders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="encoder is logmel, which cannot be exported: only axlstm's own"):
        export_classifier(make_classifier("logmel"), tmp_path / "wren.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = save_classifier(tmp_path / "wren.model", model), tmp_path / "wren.pt2"
    assert main(["export", str(folder), str(out), "-f", "torch-export", "--encoder", model]) == 0
    assert "probabilities within" in capsys.readouterr().out
    assert main(["info", str(out)]) == 0
    assert "ExportedClassifier in Python" in capsys.readouterr().out
    assert main(["export", str(folder), str(out), "-f", "torch-export", "--layers", "1"]) == 1
    assert "has its layers" in capsys.readouterr().err
    assert main(["export", model, str(out), "-f", "torch-export", "--encoder", model]) == 1
    assert "is no classifier" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": "wren"}, "Expecting value"),
        ({"labels": '{"wren": 1}'}, "labels that are none"),
        ({"labels": '["wren", 1]'}, "labels that are none"),
        ({"labels": '["wren", "wren"]'}, "a label that is there twice"),
        ({"labels": "[" * 10_000}, "nested|deep"),
        ({"thresholds": "[0.5]"}, "1 thresholds of 2 labels"),
        ({"thresholds": "[0.5, NaN]"}, "thresholds that are none"),
        ({"thresholds": None}, "thresholds"),
        ({"window_s": None}, "window_s"),
        ({"window_s": "long"}, "could not convert"),
        ({"window_s": "nan"}, "windows of nan s"),
    ],
)
def test_descriptions_that_nobody_wrote_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str | None], told: str
) -> None:
    whole = {"axlstm_version": "1", "sample_rate_hz": "16000", "least_samples": "400", "window_s": "1.0"}
    whole |= {"labels": '["wren", "robin"]', "thresholds": "[0.5, 0.7]"}
    changed = {name: text for name, text in {**whole, **change}.items() if text is not None}
    monkeypatch.setattr("axlstm.export.exported._open", lambda *_: Session(lambda *_: [], changed))
    with pytest.raises(CheckpointError, match=rf"wren\.onnx: not written by axlstm export \(.*({told})"):
        axlstm.ExportedClassifier(tmp_path / "wren.onnx")


def test_an_encoder_is_no_classifier(model: str, tmp_path: Path) -> None:
    export_model(axlstm.load_model(model), tmp_path / "model.pt2", "torch-export")
    with pytest.raises(CheckpointError, match="without labels"):
        axlstm.ExportedClassifier(tmp_path / "model.pt2")
