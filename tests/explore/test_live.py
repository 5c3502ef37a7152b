"""What a microphone hears is scored as it comes in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from axlstm.collection.classifiers.classifier import load_classifier
from axlstm.collection.collection import create
from axlstm.collection.detections import ClassifierStream
from axlstm.explore.app import make_app
from axlstm.explore.desk import Desk
from tests.collection.made import make_sounds, save_model
from tests.explore.conftest import ADDRESS, HOME, TOKEN
from tests.explore.test_page import run_job


@pytest.fixture
def live(tmp_path: Path) -> Iterator[TestClient]:
    """The page of a collection of a small model of ours, with the classifier ``wren``."""
    sounds, model = make_sounds(tmp_path / "sounds"), save_model(tmp_path / "small")
    with create(tmp_path / "live.collection", sounds) as made:
        made.index([sounds], model=str(model), window_s=1)
    app = make_app(Desk(tmp_path / "live.collection"), TOKEN, ADDRESS)
    with TestClient(app, base_url=HOME, headers={"Authorization": f"Bearer {TOKEN}"}) as page:
        for verdict, rows in (("yes", (0, 3)), ("no", (6, 12))):
            items = [{"row": row} for row in range(*rows)]
            assert (
                page.post("/api/labels", json={"label": "wren", "verdict": verdict, "items": items}).status_code == 200
            )
        assert run_job(page, "/api/train", {"labels": ["wren"]})["state"] == "done"
        yield page


def test_a_stream_of_the_page_scores_as_one_of_python(live: TestClient, tmp_path: Path) -> None:
    samples, rate_hz = soundfile.read(tmp_path / "sounds/05.wav", dtype="float32")
    begun = live.post("/api/live/begin", json={"classifier": "wren", "rate_hz": rate_hz}).json()
    assert begun["labels"] == ["wren"]
    found = []
    blocks = np.array_split(samples, 9)
    for number, block in enumerate(blocks):
        asked = {"stream": begun["stream"], "last": number == len(blocks) - 1}
        answer = live.post("/api/live", params=asked, content=block.astype("<f4").tobytes())
        found += answer.json()["windows"]
    stream = ClassifierStream(load_classifier(tmp_path / "live.collection/classifiers/wren"), rate_hz)
    wanted = [window for block in stream.over(blocks) for window in zip(*block, strict=True)]
    assert len(found) == len(wanted) > 3
    for one, (start_s, end_s, scores) in zip(found, wanted, strict=True):
        assert (one["start_s"], one["end_s"]) == (start_s, end_s)
        assert one["probabilities"] == pytest.approx(scores.tolist(), abs=1e-4)
    assert live.post("/api/live", params={"stream": begun["stream"]}).status_code == 404  # it has ended


def test_streams_that_cannot_be_are_refused(live: TestClient) -> None:
    for wrong in (
        {"classifier": "robin", "rate_hz": 16000},
        {"classifier": "wren", "rate_hz": 10},
        {"classifier": "wren"},
    ):
        assert live.post("/api/live/begin", json=wrong).status_code == 400
    begun = live.post("/api/live/begin", json={"classifier": "wren", "rate_hz": 8000}).json()
    for content in (b"123", bytes(4 * 8000 * 31), np.array([np.nan], "<f4").tobytes()):
        assert live.post("/api/live", params={"stream": begun["stream"]}, content=content).status_code == 400
    first = [live.post("/api/live/begin", json={"classifier": "wren", "rate_hz": 8000}).json() for _ in range(2)]
    assert live.post("/api/live", params={"stream": begun["stream"]}).status_code == 404  # two others have begun
    assert live.post("/api/live", params={"stream": first[0]["stream"]}).json()["windows"] == []
