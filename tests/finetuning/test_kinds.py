"""Events with times, and numbers: what a run of each learns, and how it is used."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm.collection.classifiers.classifier import load_classifier
from axlstm.collection.detections.heard import score_windows
from axlstm.collection.detections.run import detect
from axlstm.collection.parts import to_float16
from axlstm.errors import ConfigError
from axlstm.evaluate.scoring.events import Postprocessing, find_events
from axlstm.finetuning.config import HeadConfig
from axlstm.finetuning.run import finetune
from tests.finetuning.made import RATE_HZ, small_config, sound


def events_table(folder: Path, clips: int = 20) -> Path:
    """Clips of 2 s of soft noise, with a high or a low tone of 0.6 s somewhere."""
    rng = np.random.default_rng(1)
    rows = [("path", "label", "start_ms", "end_ms", "split")]
    for number in range(clips):
        samples = 0.05 * sound("noise", 2.0, number)
        label, begin = ("high", "low")[number % 2], int(rng.integers(0, 14)) * 0.1
        tone = sound(label, 0.6, number)
        samples[round(begin * RATE_HZ) :][: len(tone)] += tone
        soundfile.write(folder / f"{number}.wav", samples, RATE_HZ)
        split = "train" if number < 12 else "valid" if number < 16 else "test"
        rows.append((f"{number}.wav", label, f"{1000 * begin:.0f}", f"{1000 * begin + 600:.0f}", split))
    with (folder / "events.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "events.csv"


def test_events_have_times(model: Path, tmp_path: Path) -> None:
    table = events_table(tmp_path)
    config = small_config(3, head=HeadConfig(begin="probe"))
    summary = finetune(model, table, tmp_path / "run", config)
    assert summary["score"] == "event_onset_200ms_fms"
    assert summary["scores"]["event_onset_200ms_fms"][0] > 0.6
    classifier = axlstm.load_classifier(tmp_path / "run")
    with table.open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    events = classifier.events(tmp_path / row["path"])
    assert events[0].label == row["label"]
    assert events[0].start_s == pytest.approx(float(row["start_ms"]) / 1000, abs=0.2)
    assert classifier.classify(tmp_path / row["path"])[row["label"]] > 0.5
    detect(tmp_path / "run", [tmp_path / row["path"]], tmp_path / "found.csv")
    with (tmp_path / "found.csv").open(newline="") as file:
        rows = [(one["label"], float(one["start_s"]), float(one["end_s"])) for one in csv.DictReader(file)]
    assert rows == [(e.label, pytest.approx(e.start_s, abs=1e-3), pytest.approx(e.end_s, abs=1e-3)) for e in events]


def test_events_of_a_recording_are_those_of_the_evaluation(model: Path, tmp_path: Path) -> None:
    """The classifier's own rule for events, against the twin that evaluation scores with."""
    finetune(model, events_table(tmp_path), tmp_path / "run", small_config(1))
    read = load_classifier(tmp_path / "run")
    for rule in (Postprocessing(0, 0, 0.5), Postprocessing(120, 125, 0.4), Postprocessing(250, 250, 0.6)):
        frames = replace(read.frames, median_ms=rule.median_filter_ms, least_ms=rule.min_duration)
        classifier = axlstm.SoundClassifier(
            replace(read, frames=frames, thresholds=np.full(len(read.labels), rule.threshold))
        )
        for number in (0, 13, 17):
            found = axlstm.load_model(tmp_path / "run").embed(tmp_path / f"{number}.wav")
            vectors = to_float16(found.frames, "clip")
            plain = replace(classifier.classifier, frames=replace(frames, median_ms=0))
            probabilities = score_windows(plain, vectors, *np.zeros((2, len(vectors))), "clip").probabilities
            times = found.timestamps_ms.astype(np.float64)
            expected = find_events(probabilities, times, read.labels, rule)
            first_s = float(times[0]) / 1000  # a frame's time lies in it, and events are told with all of their frames
            last_s = read.encoder.hop_s - first_s
            told = sorted(
                (e.start_s + first_s, e.end_s - last_s, e.label) for e in classifier.events(tmp_path / f"{number}.wav")
            )
            known = sorted((e.start_ms / 1000, e.end_ms / 1000, e.label) for e in expected)
            assert [one[2] for one in told] == [one[2] for one in known]
            assert np.allclose([one[:2] for one in told], [one[:2] for one in known], atol=2e-3)


def test_a_number_is_predicted(model: Path, tmp_path: Path) -> None:
    """The height of a tone, in kHz."""
    rng = np.random.default_rng(0)
    rows = [("path", "value", "group")]
    for number in range(40):
        khz = float(rng.uniform(0.3, 4.0))
        time = np.arange(RATE_HZ // 2) / RATE_HZ
        soundfile.write(tmp_path / f"{number}.wav", 0.3 * np.sin(2000 * np.pi * khz * time), RATE_HZ)
        rows.append((f"{number}.wav", f"{khz:.3f}", f"place{number // 2}"))
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    summary = finetune(model, tmp_path / "table.csv", tmp_path / "run", small_config(2))
    assert summary["score"] == "r2"
    assert summary["scores"]["r2"][0] > 0.5
    found = axlstm.load_classifier(tmp_path / "run").classify(tmp_path / "7.wav")
    assert found["value"] == pytest.approx(float(rows[8][1]), abs=1.0)
    with pytest.raises(ConfigError, match=r"a regression, which predicts the value of a clip and hears no events"):
        detect(tmp_path / "run", [tmp_path / "7.wav"], tmp_path / "found.csv")
