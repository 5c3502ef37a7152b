"""A classifier on a stream: windows as they come, whatever the blocks, and stretches when they have ended."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axlstm.cli import main
from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.detections import ClassifierStream
from axlstm.collection.detections.scores import ScoreBlock
from axlstm.collection.detections.segments import Segmenter, make_rule
from axlstm.collection.parts import to_float16
from axlstm.embed.batching import FrameBlock
from axlstm.embed.windows import Windows, pool_windows
from axlstm.errors import AudioError, ConfigError
from tests.collection.detections.made import make_classifier
from tests.seeded import audio

RATE = 16_000


@pytest.fixture(scope="module")
def classifier(model: str) -> Classifier:
    return make_classifier(model, window_s=1.5, hop_s=0.7)


def joined(blocks: list[ScoreBlock]) -> ScoreBlock:
    return ScoreBlock(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def expected_of(classifier: Classifier, sound: np.ndarray, rate: int, hop_ms: float) -> ScoreBlock:
    """The probabilities of windows that are pooled when all frames of the stream are there."""
    embedder = classifier.load_encoder().embedder
    times_ms, frames = zip(*embedder.stream(rate, hop_ms=hop_ms).over([sound]), strict=True)
    held = FrameBlock(np.stack(frames), np.array(times_ms), len(sound) / rate)
    windows = Windows(classifier.encoder.window_s, classifier.encoder.hop_s)
    (block,) = pool_windows([held], windows, embedder.layout, embedder.pooling)
    vectors = to_float16(block.embeddings, "sound")
    return ScoreBlock(block.start_s, block.end_s, classifier.probabilities(vectors).astype(np.float32))


@pytest.mark.parametrize(
    ("seconds", "rate", "hop_ms"), [(7.3, RATE, 2000), (5.02, 44_100, 400), (2.2, RATE, 1000), (0.4, RATE, 2000)]
)
def test_windows_are_those_of_the_stream_s_frames(
    classifier: Classifier, seconds: float, rate: int, hop_ms: float
) -> None:
    sound = audio(seconds, 1, rate)
    blocks = ClassifierStream(classifier, rate, hop_ms=hop_ms).over(np.array_split(sound, 23))
    found, expected = joined(list(blocks)), expected_of(classifier, sound, rate, hop_ms)
    np.testing.assert_allclose(found.start_s, expected.start_s)
    np.testing.assert_allclose(found.end_s, expected.end_s, atol=1e-3)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=2e-3)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 5 * RATE), max_size=6))
def test_the_blocks_make_no_difference(classifier: Classifier, cuts: list[int]) -> None:
    sound = audio(5, 2)
    whole = joined(list(ClassifierStream(classifier, RATE).over([sound])))
    parts = joined(list(ClassifierStream(classifier, RATE).over(np.split(sound, sorted(cuts)))))
    np.testing.assert_array_equal(whole.start_s, parts.start_s)
    np.testing.assert_allclose(whole.probabilities, parts.probabilities, atol=2e-3)


def test_windows_come_when_they_are_complete(classifier: Classifier) -> None:
    live, sound = ClassifierStream(classifier, RATE, hop_ms=400), audio(6, 3)
    for second in range(6):
        block = live.push(sound[second * RATE : (second + 1) * RATE])
        assert all(second - 1.0 < end_s <= second + 1 for end_s in block.end_s)
    assert live.latency.hop_ms == 400


def test_memory_does_not_grow(classifier: Classifier) -> None:
    live = ClassifierStream(classifier, RATE)
    for _ in range(20):
        live.push(audio(1, 3))
        assert len(live._frames) <= 50 + 40  # a window of the encoder, and one of the classifier


def test_what_is_no_stream_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match="encoder is logmel, which does not stream"):
        ClassifierStream(make_classifier("logmel"), RATE)
    live = ClassifierStream(make_classifier(model), RATE)
    with pytest.raises(AudioError, match="nan"):
        live.push(np.full(100, np.nan, np.float32))
    assert len(live.flush().start_s) == 0


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(arguments) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_command(classifier: Classifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classifier.save(tmp_path / "wren.model")
    sound = audio(7, 4)
    soundfile.write(tmp_path / "a.wav", sound, RATE, "FLOAT")
    command = ["stream", str(tmp_path / "a.wav"), "--classifier", str(tmp_path / "wren.model")]
    found = joined(list(ClassifierStream(classifier, RATE).over([sound])))
    windows = run([*command, "--each", "window"], capsys)
    assert len(windows) == 2 * len(found.start_s)
    assert windows[3]["time_ms"] == pytest.approx(500 * (found.start_s[1] + found.end_s[1]))
    assert (windows[3]["label"], windows[3]["probability"]) == ("robin", pytest.approx(found.probabilities[1, 1]))
    segmenter = Segmenter(make_rule(classifier.thresholds))
    expected = sorted(segmenter.add(*found) + segmenter.finish())
    assert expected
    lines = sorted(run(command, capsys), key=lambda one: (one["start_ms"], one["end_ms"]))
    assert [(one["start_ms"], one["end_ms"], one["label"]) for one in lines] == [
        (pytest.approx(1000 * start_s), pytest.approx(1000 * end_s), classifier.labels[label])
        for start_s, end_s, label, _ in expected
    ]
    replace(classifier, offset=np.full(2, -60.0)).save(tmp_path / "deaf.model")
    assert run([*command[:3], str(tmp_path / "deaf.model")], capsys) == []


def test_ctrl_c_tells_what_is_heard_at_that_moment(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(classifier, offset=np.full(2, 60.0)).save(tmp_path / "all.model")

    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            content = super().read(size)
            if not content:
                raise KeyboardInterrupt
            return content

        read1 = read

        def readinto(self, buffer: Any) -> int:
            count = super().readinto(buffer)
            if not count:
                raise KeyboardInterrupt
            return count

    pcm = (audio(5, 5) * 2**15).astype("<i2").tobytes()
    monkeypatch.setattr("sys.stdin", type("Input", (), {"buffer": Interrupted(pcm)}))
    lines = run(["stream", "--raw", "s16le", "--classifier", str(tmp_path / "all.model")], capsys)
    assert [one["label"] for one in lines] == ["wren", "robin"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--threshold", "0.5"], "name a --classifier"),
        (["--classifier", "nowhere.model"], "nowhere.model: no classifier"),
        (["--classifier", "wren.model", "--each", "frame"], "probabilities of windows only"),
        (["--classifier", "wren.model", "--each", "window", "--threshold", "0.5"], "leave them or --each window out"),
        (["--classifier", "wren.model", "--each", "window", "--gap-s", "1"], "--gap-s are for detections"),
        (["--classifier", "wren.model", "--hop-ms", "0"], "hop_ms=0"),
        (["--classifier", "wren.model", "--low", "0.9"], "low=0.9: above a threshold"),
    ],
)
def test_options_that_do_not_fit(
    classifier: Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    classifier.save(tmp_path / "wren.model")
    soundfile.write("a.wav", audio(1, 4), RATE)
    assert main(["stream", "a.wav", *options]) == 1
    assert told in capsys.readouterr().err
