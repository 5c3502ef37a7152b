"""The estimate of pitch that labels of recorded notes are held against."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from axlstm.evaluate.tasks.make import TaskRecipe, make_task
from recipes.open_audio.tasks.pitch_check import estimate_key, main
from recipes.open_audio.tests.made import RATE_HZ


def note(key: float, seconds: float = 1.0) -> np.ndarray:
    """A tone with four harmonics, the third the loudest."""
    phase = 2 * np.pi * 440 * 2 ** ((key - 69) / 12) * np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    harmonics = [0.1, 0.05, 0.12, 0.05]
    return np.sum([level * np.sin(n * phase) for n, level in enumerate(harmonics, 1)], axis=0).astype(np.float32)


@pytest.mark.parametrize("key", [36, 47.3, 60, 72, 84])
def test_estimate_of_harmonic_tones(key: float) -> None:
    assert estimate_key(note(key)) == pytest.approx(key, abs=0.2)


def test_silence_has_no_pitch() -> None:
    assert np.isnan(estimate_key(np.zeros(RATE_HZ, np.float32)))


def test_wrong_labels_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = ["path,label,split"]
    for split in ("train", "valid", "test"):
        for key in (60, 62):
            soundfile.write(tmp_path / f"{split}{key}.wav", note(key if key == 60 else 74), RATE_HZ)
            lines.append(f"{split}{key}.wav,{key:03d},{split}")
    (tmp_path / "notes.csv").write_text("\n".join(lines), encoding="utf-8")
    task = make_task(tmp_path / "notes.csv", tmp_path / "tasks", TaskRecipe("notes"))
    with caplog.at_level(logging.INFO):
        main(task.path)
    assert caplog.messages == [
        "test62.wav: estimated +12.0 semitones from its label",
        "1 of 2 within 0.6 semitones",
    ]
