"""Search, label, train, run and export, as the page asks for it; and what others see of it."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from axlstm.cli import main
from axlstm.collection.classifiers.classifier import load_classifier
from axlstm.collection.classifiers.heads import fit_present
from axlstm.collection.collection import open as open_collection
from axlstm.collection.detections.heard import score_windows
from axlstm.explore.desk import Desk
from axlstm.explore.jobs import Reporter
from axlstm.samples import sample_path
from tests.explore.test_page import run_job

Capture = pytest.CaptureFixture[str]


def rows_of(page: TestClient, like: str) -> list[int]:
    """The rows of the recordings with such a path."""
    rows: list[int] = []
    for one in page.get("/api/recordings", params={"like": like}).json()["recordings"]:
        facts = page.get(f"/api/recording/{one['id']}").json()
        rows += range(facts["first_row"], facts["first_row"] + facts["windows"])
    return rows


def say(page: TestClient, rows: list[int], label: str = "bird", verdict: str = "yes") -> list[int]:
    given = {"label": label, "verdict": verdict, "items": [{"row": row} for row in rows]}
    answer = page.post("/api/labels", json=given)
    assert answer.status_code == 200, answer.text
    ids: list[int] = answer.json()["ids"]
    return ids


def label_birds(page: TestClient) -> None:
    say(page, rows_of(page, "bird_song")[:6] + rows_of(page, "bird_call")[:6])
    for name in ("bell", "engine", "piano_C4", "violin", "water"):
        say(page, rows_of(page, name)[:4], verdict="no")


def test_a_search_by_windows_finds_what_the_command_finds(page: TestClient, place: Path, capsys: Capture) -> None:
    row = rows_of(page, "bird_song")[2]
    (about,) = page.get(f"/api/rows?rows={row}").json()
    found = page.post("/api/search", json={"rows": [row], "count": 5}).json()
    query = f"garden/bird_song.ogg@{about['start_s']}-{about['end_s']}"
    assert main(["search", str(place / "birds.collection"), query, "-k", "5", "-o", str(place / "hits.json")]) == 0
    capsys.readouterr()
    wanted = json.loads((place / "hits.json").read_text("utf-8"))["hits"]
    assert [(one["path"], one["start_s"], one["score"]) for one in found["hits"]] == [
        (one["path"], one["start_s"], pytest.approx(one["score"])) for one in wanted
    ]
    assert (found["compared"], found["exact"], found["encoder"]) == (131, True, "logmel")
    rows = page.get("/api/rows", params={"rows": ",".join(str(one["row"]) for one in found["hits"])}).json()
    assert [one["path"] for one in rows] == [one["path"] for one in found["hits"]]


def test_a_search_by_a_sound_that_is_sent(page: TestClient) -> None:
    content = sample_path("bird_song").read_bytes()
    upload = page.post("/api/upload?name=mine.ogg", content=content).json()
    assert (upload["name"], round(upload["duration_s"])) == ("mine.ogg", 10)
    hits = page.post("/api/search", json={"upload": upload["upload"], "count": 3}).json()["hits"]
    assert {one["path"] for one in hits} == {"garden/bird_song.ogg"}
    assert page.post("/api/search", json={"upload": "nothing"}).status_code == 404


def test_searches_by_stretch_label_filter_and_what_is_not_wanted(page: TestClient) -> None:
    song = page.get("/api/recordings?like=bird_song").json()["recordings"][0]["id"]
    place = {"recording": song, "start_s": 1, "end_s": 2}
    asked = {"stretches": [place], "filters": {"where": ["site=<b>garden</b>"], "hours": "4-5"}, "count": 50}
    found = page.post("/api/search", json=asked).json()
    assert {one["path"].split("/")[0] for one in found["hits"]} == {"garden"}
    assert any("without a time" in note for note in found["notes"]) or found["compared"] < 131
    assert page.post("/api/search", json={"label": "wren"}).status_code == 400
    say(page, rows_of(page, "bell")[:2], "bell")
    with_label = page.post("/api/search", json={"label": "bell", "unlike": rows_of(page, "water")[:1]}).json()
    assert with_label["hits"]
    for wrong in (
        {},
        {"rows": [1], "filters": {"colour": "red"}},
        {"rows": [1], "filters": {"where": [1]}},
        {"rows": [999]},
    ):
        assert page.post("/api/search", json=wrong).status_code == 400
    assert page.post("/api/search", json={"stretches": [{**place, "recording": 99}]}).status_code == 404


def test_an_encoder_that_is_missing_leaves_browsing_and_labelling(page: TestClient, place: Path) -> None:
    with open_collection(place / "birds.collection") as collection, collection.transaction():
        collection.tables.execute("UPDATE encoders SET source = ?", (str(place / "gone.safetensors"),))
    (encoder,) = page.get("/api/about").json()["encoders"]
    assert encoder["available"] is False
    assert "gone.safetensors is not there any more" in encoder["why_not"]
    assert say(page, [1, 2]) == [1, 2]
    assert page.post("/api/search", json={"rows": [1]}).status_code == 200
    upload = page.post("/api/upload", content=sample_path("bell").read_bytes()).json()["upload"]
    answer = page.post("/api/search", json={"upload": upload})
    assert answer.status_code == 400
    assert "gone.safetensors" in answer.json()["error"]
    assert "put" in answer.json()["error"]


def test_labels_are_given_and_taken_back_and_the_command_sees_them(
    page: TestClient, place: Path, capsys: Capture
) -> None:
    first, second = say(page, [5, 6]), say(page, [7], verdict="no")
    assert page.get("/api/labelled?label=bird").json() == [
        {"row": 5, "verdict": "yes"},
        {"row": 6, "verdict": "yes"},
        {"row": 7, "verdict": "no"},
    ]
    (about,) = page.get("/api/rows?rows=5").json()
    assert about["labels"] == [{"label": "bird", "verdict": "yes", "author": "ann", "id": first[0]}]
    assert main(["label", "list", str(place / "birds.collection")]) == 0
    assert "2 yes      1 no      0 unsure" in capsys.readouterr().out
    assert len(page.post("/api/labels/undo", json={"ids": second}).json()["undone"]) == 1
    assert page.post("/api/labels/undo", json={"ids": second}).status_code == 400
    assert len(page.post("/api/labels/undo", json={}).json()["undone"]) == 2  # those that were given together
    assert page.get("/api/about").json()["labels"] == []
    history = page.get("/api/labels").json()
    assert [one["id"] for one in history] == [3, 2, 1]
    assert all(one["undone_at"] for one in history)


def test_the_same_word_again_is_no_further_label(page: TestClient) -> None:
    assert say(page, [5]) == say(page, [5])
    assert len(page.get("/api/labels").json()) == 1


def test_two_tabs_and_a_command_line_write_at_once(page: TestClient, place: Path) -> None:
    mark = page.get("/api/changes").json()["mark"]
    folder, count, failures = place / "birds.collection", 25, []

    def tab(label: str) -> None:
        for row in range(count):
            answer = page.post("/api/labels", json={"label": label, "verdict": "yes", "items": [{"row": 2 * row}]})
            if answer.status_code != 200:
                failures.append(answer.text)

    def command() -> None:
        with open_collection(folder) as collection:
            for number in range(count):
                collection.label("water_river.ogg", "water", number / 10, number / 10 + 1)

    threads = [threading.Thread(target=tab, args=(name,)) for name in ("one", "two")]
    threads.append(threading.Thread(target=command))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    changes = page.get("/api/changes", params={"since": mark}).json()
    assert sorted(one["label"] for one in changes["labels"]) == ["one"] * count + ["two"] * count + ["water"] * count
    assert page.get("/api/changes", params={"since": changes["mark"]}).json()["labels"] == []
    page.post("/api/labels/undo", json={"ids": [changes["labels"][0]["id"]]})
    (undone,) = page.get("/api/changes", params={"since": changes["mark"]}).json()["labels"]
    assert undone["undone_at"]
    assert page.get("/api/changes?since=rubbish").status_code == 400


def test_suggest_train_hear_set_the_threshold_run_and_export(page: TestClient, place: Path) -> None:
    label_birds(page)
    suggested = page.post("/api/suggest", json={"label": "bird", "count": 4}).json()
    assert len(suggested["hits"]) == 4
    labelled = {one["row"] for one in page.get("/api/labelled?label=bird").json()}
    assert not labelled & {one["row"] for one in suggested["hits"]}

    job = run_job(page, "/api/train", {"labels": ["bird"]})
    assert (job["state"], job["result"]) == ("done", {"classifier": "bird"})
    (known,) = page.get("/api/about").json()["classifiers"]
    assert (known["name"], known["labels"], known["encoder"]) == ("bird", ["bird"], "logmel")
    about = page.get("/api/classifier/bird").json()
    curves = about["curves"]["bird"]
    assert len(about["grid"]) == len(curves["precision_recall"]["value"]) == len(curves["roc"]["low"]) == 51
    assert len(curves["windows"]) == 32
    assert {one["row"] for one in curves["windows"]} == labelled
    assert about["card"]["labels"]["bird"]["average_precision"] == pytest.approx(curves["average_precision"], abs=1e-3)

    answer = page.post("/api/classifier/bird/threshold", json={"label": "bird", "threshold": 0.25})
    assert answer.json() == {"labels": ["bird"], "thresholds": [0.25]}
    folder = place / "birds.collection/classifiers/bird"
    assert load_classifier(folder).thresholds.tolist() == [0.25]
    for wrong in ({"label": "wren", "threshold": 0.5}, {"label": "bird", "threshold": 1.5}):
        assert page.post("/api/classifier/bird/threshold", json=wrong).status_code == 400

    scores = np.frombuffer(page.get("/api/scores?classifier=bird").content, "<u2")
    with open_collection(place / "birds.collection") as collection:
        vectors = np.concatenate([rows.vectors for rows in collection.rows(collection.encoder())])
    wanted = load_classifier(folder).probabilities(vectors)[:, 0]
    assert np.abs(scores / 65534 - wanted).max() < 1e-4

    song = page.get("/api/recordings?like=bird_song").json()["recordings"][0]["id"]
    heard = page.get(f"/api/detections?recording={song}&classifier=bird").json()
    assert heard
    job = run_job(page, "/api/detect", {"classifier": "bird", "format": "csv"})
    written = page.get(f"/api/exports/{job['result']['file']}")
    lines = [line for line in written.text.splitlines() if line.startswith("garden/bird_song.ogg,")]
    assert len(lines) == len(heard)
    assert [one["name"] for one in page.get("/api/exports").json()] == [job["result"]["file"]]
    job = run_job(page, "/api/detect", {"classifier": "bird", "format": "audacity"})
    tracks = zipfile.ZipFile(io.BytesIO(page.get(f"/api/exports/{job['result']['file']}").content))
    assert any(name.endswith("bird_song.txt") for name in tracks.namelist())


def test_training_that_is_cancelled_between_two_fits_leaves_all_as_it_was(
    page: TestClient, desk: Desk, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label_birds(page)
    fits = []

    def fit(*arguments: Any) -> Any:
        fits.append(arguments[0])
        if len(fits) == 3:
            desk.jobs.cancel()
        return fit_present(*arguments)

    monkeypatch.setattr("axlstm.collection.classifiers.selection.fit_present", fit)
    about = page.get("/api/about").json()
    job = run_job(page, "/api/train", {"labels": ["bird"]})
    assert job["state"] == "cancelled"
    assert len(fits) < 10
    after = page.get("/api/about").json()
    assert after.pop("job") == job
    assert after == {name: value for name, value in about.items() if name != "job"}
    assert not (place / "birds.collection/classifiers/bird").exists()
    monkeypatch.undo()
    assert run_job(page, "/api/train", {"labels": ["bird"]})["result"] == {"classifier": "bird"}


def test_what_is_said_again_is_no_new_label(page: TestClient) -> None:
    (first,) = say(page, [5])
    given = {"label": "bird", "verdict": "yes", "items": [{"row": 5}]}
    assert page.post("/api/labels", json=given).json() == {"ids": [first], "new": []}


def test_the_rest_of_a_step_is_taken_back_where_somebody_else_has_taken_back_some_of_it(page: TestClient) -> None:
    ids = say(page, [1, 30, 60])
    assert page.post("/api/labels/undo", json={"ids": ids[1:2]}).status_code == 200
    assert len(page.post("/api/labels/undo", json={"ids": ids}).json()["undone"]) == 2
    assert page.post("/api/labels/undo", json={"ids": ids}).status_code == 400
    assert page.post("/api/labels/undo", json={"ids": [99]}).status_code == 400
    assert all(one["undone_at"] for one in page.get("/api/labels").json())


def test_a_job_is_asked_for_and_ended_by_its_number(page: TestClient, desk: Desk) -> None:
    go_on = threading.Event()

    def wait(report: Reporter) -> str:
        while not go_on.wait(0.01):
            report(0.5)
        return "second"

    first = desk.jobs.start("map", "first", lambda _: "first")
    while desk.jobs.find(first.id).state == "running":
        time.sleep(0.01)
    second = desk.jobs.start("train", "second", wait)
    assert page.post("/api/job/cancel", json={"number": first.id}).json()["job"]["result"] == "first"
    time.sleep(0.1)
    assert page.get("/api/job").json()["job"]["state"] == "running"
    assert page.get("/api/job", params={"number": first.id}).json()["job"]["state"] == "done"
    assert page.get("/api/job", params={"number": 99}).status_code == 404
    page.post("/api/job/cancel", json={"number": second.id})
    while (job := page.get("/api/job").json()["job"])["state"] == "running":
        time.sleep(0.01)
    assert job["state"] == "cancelled"
    go_on.set()


@pytest.mark.parametrize("format", ["csv", "parquet", "raven", "audacity"])
def test_a_run_that_is_cancelled_stops_and_leaves_no_file(
    page: TestClient, desk: Desk, place: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    label_birds(page)
    assert run_job(page, "/api/train", {"labels": ["bird"]})["state"] == "done"
    scored, shares = [], []

    def score(*arguments: Any) -> Any:
        scored.append(arguments[-1])
        latest = desk.jobs.latest
        shares.append(latest.share if latest else 0)
        if len(scored) == 3:
            desk.jobs.cancel()
        return score_windows(*arguments)

    monkeypatch.setattr("axlstm.collection.detections.of_collection.score_windows", score)
    job = run_job(page, "/api/detect", {"classifier": "bird", "format": format})
    assert (job["state"], len(scored)) == ("cancelled", 3)
    assert shares == [0, 1 / 16, 2 / 16]
    assert page.get("/api/exports").json() == []
    assert list((place / "birds.collection/exports").iterdir()) == []


def test_training_that_cannot_be_says_why(page: TestClient) -> None:
    say(page, [1, 2])
    job = run_job(page, "/api/train", {"labels": ["bird"]})
    assert job["state"] == "failed"
    assert "none is a no" in job["error"]
    assert page.get("/api/about").json()["classifiers"] == []
    for wrong in ({"labels": []}, {"labels": ["bird"], "head": "deep"}, {"labels": ["bird"], "precision": 2}):
        assert page.post("/api/train", json=wrong).status_code == 400
    assert page.get("/api/classifier/nothing").status_code == 400


def test_exports_are_files_of_other_programs(page: TestClient) -> None:
    say(page, [1, 2])
    labels = page.post("/api/export", json={"what": "labels", "format": "csv"})
    assert labels.headers["content-disposition"] == 'attachment; filename="labels.csv"'
    assert len(labels.text.splitlines()) == 3
    for format in ("raven", "kaleidoscope", "hear"):
        assert page.post("/api/export", json={"what": "labels", "format": format}).text.count("\n") >= 2
    folders = page.post("/api/export", json={"what": "labels", "format": "folders"})
    assert zipfile.ZipFile(io.BytesIO(folders.content)).testzip() is None
    hits = page.post(
        "/api/export", json={"what": "hits", "format": "json", "rows": [3, 1], "scores": [0.9, 0.8]}
    ).json()
    assert [(one["rank"], one["score"]) for one in hits["hits"]] == [(1, 0.9), (2, 0.8)]
    clips = page.post("/api/export", json={"what": "clips", "rows": [3, 1]})
    archive = zipfile.ZipFile(io.BytesIO(clips.content))
    (first,) = [name for name in archive.namelist() if name.startswith("clips/1_")]
    assert soundfile.info(io.BytesIO(archive.read(first))).duration == pytest.approx(1, abs=0.01)
    for wrong in (
        {"what": "hits", "format": "csv"},
        {"what": "hits", "format": "folders", "rows": [1]},
        {"what": "labels", "format": "csv", "labels": ["wren"]},
        {"what": "hits", "format": "csv", "rows": [1], "scores": [1, 2]},
        {"what": "everything"},
    ):
        assert page.post("/api/export", json=wrong).status_code == 400


def test_clips_of_recordings_that_are_gone_are_told(page: TestClient, place: Path) -> None:
    (place / "sounds/bell.flac").unlink()
    rows = [rows_of(page, "bell")[0], rows_of(page, "water")[0]]
    clips = page.post("/api/export", json={"what": "clips", "rows": rows})
    assert len(zipfile.ZipFile(io.BytesIO(clips.content)).namelist()) == 2  # one clip, and the list of them
    assert "hit 1: " in unquote(clips.headers["x-notes"])
    answer = page.post("/api/export", json={"what": "clips", "rows": rows[:1]})
    assert answer.status_code == 400
    assert "no clip could be cut" in answer.json()["error"]
