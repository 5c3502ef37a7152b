"""What a run leaves is exported with front end, encoder and head inside, and gives the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import axlstm
from axlstm.audio.read import load_audio
from axlstm.cli import main
from axlstm.finetuning.config import HeadConfig
from axlstm.finetuning.run import finetune
from tests.finetuning.made import small_config
from tests.finetuning.test_kinds import events_table


def test_attention_goes_into_the_file(model: Path, clips: Path, tmp_path: Path) -> None:
    config = small_config(2, head=HeadConfig(pooling="attention", begin="zeros", rate=10))
    finetune(model, clips / "table.csv", tmp_path / "run", config)
    own = axlstm.load_classifier(tmp_path / "run")
    assert np.abs(own.classifier.attention).max() > 0.01
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "tones.onnx")]) == 0
    exported = axlstm.ExportedClassifier(tmp_path / "tones.onnx")
    for path in (clips / "high" / "3.wav", clips / "noise" / "5.wav"):
        assert exported.classify(path) == pytest.approx(own.classify(path), abs=1e-3)


def test_frames_go_into_the_file(model: Path, tmp_path: Path) -> None:
    finetune(model, events_table(tmp_path), tmp_path / "run", small_config(1))
    own = axlstm.load_classifier(tmp_path / "run")
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "tones.onnx")]) == 0
    exported = axlstm.ExportedClassifier(tmp_path / "tones.onnx")
    samples = load_audio(tmp_path / "3.wav")
    probabilities, times_ms = exported.frames(samples[None])
    found = axlstm.load_model(tmp_path / "run").embed(tmp_path / "3.wav")
    assert np.allclose(times_ms, found.timestamps_ms)
    assert np.allclose(probabilities[0], own.classifier.probabilities(found.frames), atol=1e-3)
    assert exported.classify(tmp_path / "3.wav") == pytest.approx(own.classify(tmp_path / "3.wav"), abs=1e-3)
