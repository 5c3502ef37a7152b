"""What the page is given of a collection: its summary, its map, its windows, its recordings."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from axlstm.collection.collection import open as open_collection
from axlstm.collection.maps.draw import draw_map
from axlstm.collection.maps.kept import read_map
from axlstm.collection.search.table import WindowTable
from axlstm.collection.upkeep import remove
from axlstm.explore.desk import Desk


def run_job(page: TestClient, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Start a job, wait for its end, and return it."""
    answer = page.post(path, json=body)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()["job"]
    while job["state"] == "running":
        job = page.get("/api/job").json()["job"]
        time.sleep(0.1)
    return job


def parse_map(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Read a map as the page does."""
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    begin = 4 + length
    assert begin % 8 == 0
    columns = {
        one["name"]: np.frombuffer(
            content, np.dtype(one["dtype"]).newbyteorder("<"), header["n"], begin + one["offset"]
        )
        for one in header["columns"]
    }
    return header, columns


def test_the_summary_says_what_is_there(page: TestClient, place: Path) -> None:
    about = page.get("/api/about").json()
    assert about["name"] == "birds.collection"
    assert about["recordings"] == 16
    assert about["windows"] == 131
    assert about["encoders"] == [
        {
            "name": "logmel",
            "source": "logmel",
            "dims": 320,
            "windows": 131,
            "window_s": 1.0,
            "hop_s": 0.5,
            "available": True,
            "why_not": None,
        }
    ]
    assert (about["encoder"], about["author"], about["has_times"]) == ("logmel", "ann", True)
    assert about["map"]["state"] == "missing"
    assert about["job"] is None
    assert about["root"] == str(place / "sounds")


def test_a_map_is_drawn_kept_and_given(page: TestClient, place: Path) -> None:
    assert page.get("/api/map").status_code == 404
    job = run_job(page, "/api/map")
    assert (job["kind"], job["state"], job["share"]) == ("map", "done", 1.0)
    assert page.get("/api/about").json()["map"]["state"] == "ready"
    header, columns = parse_map(page.get("/api/map").content)
    assert header["n"] == 131
    assert header["table"] == page.get("/api/about").json()["table"]
    assert {name: values.dtype.name for name, values in columns.items()} == {
        "x": "uint16",
        "y": "uint16",
        "recording": "uint32",
        "start_ms": "uint32",
        "site": "uint8",
        "hour": "uint8",
        "density": "uint8",
    }
    rows = page.get("/api/rows", params={"rows": ",".join(map(str, range(131)))}).json()
    assert columns["recording"].tolist() == [row["recording"] for row in rows]
    assert columns["start_ms"].tolist() == [round(1000 * row["start_s"]) for row in rows]
    sites = next(one["values"] for one in header["columns"] if one["name"] == "site")
    assert [sites[code] for code in columns["site"]] == [row["site"] or "" for row in rows]
    hours = [int(row["time"][11:13]) if row["time"] else 255 for row in rows]
    assert columns["hour"].tolist() == hours
    assert {4, 5, 255} == set(hours)  # over the full hour
    assert columns["x"].max() == 65534 or columns["y"].max() == 65534
    assert (place / "birds.collection" / "cache").is_dir()


def test_windows_that_came_later_have_no_place_and_are_counted(page: TestClient, place: Path) -> None:
    run_job(page, "/api/map")
    before = page.get("/api/about").json()
    shutil.copy(place / "sounds/bell.flac", place / "sounds/knell.flac")
    with (place / "sounds/knell.flac").open("ab") as file:
        file.write(b"other content")
    with open_collection(place / "birds.collection") as collection:
        collection.index([place / "sounds"], name="logmel")
    about = page.get("/api/about").json()
    assert (about["map"]["state"], about["map"]["points"], about["map"]["lacking"]) == ("outdated", 131, 7)
    assert about["table"] != before["table"]
    header, columns = parse_map(page.get("/api/map").content)
    assert header["n"] == 138
    assert ((columns["x"] == 65535) == (columns["y"] == 65535)).all()
    assert (columns["x"] == 65535).sum() == 7
    assert page.get("/api/changes").json()["table"] == about["table"]
    run_job(page, "/api/map")
    assert page.get("/api/about").json()["map"]["state"] == "ready"


def test_rows_of_other_windows_are_refused(page: TestClient, place: Path) -> None:
    known = page.get("/api/about").json()["table"]
    with open_collection(place / "birds.collection") as collection:
        collection.index([place / "sounds"], model="logmel", window_s=2, name="other")
    assert page.get("/api/rows?rows=1", headers={"X-Table": known}).status_code == 200  # of the encoder that is shown
    page.post("/api/encoder", json={"encoder": "other"})
    given = {"label": "wren", "verdict": "yes", "items": [{"row": 1}]}
    for answer in (
        page.get("/api/rows?rows=1", headers={"X-Table": known}),
        page.post("/api/labels", json=given, headers={"X-Table": known}),
        page.post("/api/search", json={"rows": [1]}, headers={"X-Table": known}),
    ):
        assert answer.status_code == 412
        assert "reload the page" in answer.json()["error"]
    assert page.get("/api/labels").json() == []


def test_a_map_that_is_damaged_or_of_another_encoder_is_none(page: TestClient, place: Path) -> None:
    run_job(page, "/api/map")
    (path,) = (place / "birds.collection/cache").glob("map-*")
    content = path.read_bytes()
    with open_collection(place / "birds.collection") as collection:
        table = collection.searcher().table
        for damage in (content[:-1], b"", content[:100] + b"x" + content[101:], content[4:]):
            path.write_bytes(damage)
            assert read_map(collection.folder, table) is None
        path.write_bytes(content)
        assert read_map(collection.folder, table) is not None
        other = replace(table.entry, fingerprint="another")
        table.entry = other
        assert read_map(collection.folder, table) is None


@pytest.mark.parametrize("rows", ["-1", "131", "1,,2", "1;2", "x", "1" * 30, ",".join(["1"] * 1001)])
def test_rows_that_are_none_are_refused(page: TestClient, rows: str) -> None:
    assert page.get("/api/rows", params={"rows": rows}).status_code == 400


def test_recordings_are_listed_by_page_and_by_a_part_of_their_path(page: TestClient) -> None:
    first = page.get("/api/recordings?count=10").json()
    assert first["total"] == 16
    second = page.get("/api/recordings", params={"count": 10, "after": first["recordings"][-1]["path"]}).json()
    paths = [one["path"] for one in first["recordings"] + second["recordings"]]
    assert len(paths) == 16
    assert paths == sorted(paths)
    (found,) = page.get("/api/recordings?like=BIRD_S").json()["recordings"]
    assert (found["path"], found["present"], found["site"]) == ("garden/bird_song.ogg", True, "<b>garden</b>")
    facts = page.get(f"/api/recording/{found['id']}").json()
    assert facts["windows"] == found["windows"] == len(facts["start_s"])
    assert page.get("/api/recording/99").status_code == 404


def test_a_map_that_the_command_draws_meanwhile_is_shown(page: TestClient, place: Path) -> None:
    run_job(page, "/api/map")
    shutil.copy(place / "sounds/garden/bird_song.ogg", place / "sounds/more.ogg")
    with open_collection(place / "birds.collection") as collection:
        collection.index([place / "sounds"], name="logmel")
        assert page.get("/api/about").json()["map"]["lacking"] > 0
        draw_map(collection, WindowTable(collection, collection.encoder()))
    assert page.get("/api/about").json()["map"]["lacking"] == 0


def test_windows_that_change_while_the_map_is_packed_are_not_mixed(
    page: TestClient, desk: Desk, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(page, "/api/map")
    table_of = desk.table

    def removing(*asked: Any) -> WindowTable:
        table = table_of(*asked)
        monkeypatch.setattr(desk, "table", table_of)
        with open_collection(place / "birds.collection") as collection:
            remove(collection, ["bell.flac"])
        return table

    monkeypatch.setattr(desk, "table", removing)
    header, columns = parse_map(page.get("/api/map").content)
    assert {len(values) for values in columns.values()} == {header["n"]}


def test_a_collection_without_windows_is_shown_as_such(tmp_path: Path) -> None:
    from axlstm.collection.collection import create
    from axlstm.explore.app import make_app
    from tests.explore.conftest import ADDRESS, HOME, TOKEN

    create(tmp_path / "new.collection", tmp_path).close()
    app = make_app(Desk(tmp_path / "new.collection"), TOKEN, ADDRESS)
    with TestClient(app, base_url=HOME, headers={"Authorization": f"Bearer {TOKEN}"}) as page:
        about = page.get("/api/about").json()
        assert (about["encoder"], about["windows"], about["map"]["state"]) == (None, 0, "missing")
        assert page.get("/api/changes").json()["labels"] == []
        assert page.get("/api/recordings").json() == {"recordings": [], "total": 0}
        answer = page.get("/api/map")
        assert answer.status_code == 400
        assert "index recordings first" in answer.json()["error"]


def test_what_could_not_be_indexed_is_told_and_no_folder_cannot_be_indexed_again(page: TestClient, place: Path) -> None:
    (place / "sounds" / "<b>notes.wav").write_text("no sound", encoding="utf-8")
    with open_collection(place / "birds.collection") as collection:
        collection.index([place / "sounds"], model="logmel", window_s=1)
    about = page.get("/api/about").json()
    (skipped,) = about["skipped"]["some"]
    assert about["skipped"]["count"] == 1
    assert skipped["path"] == "<b>notes.wav"  # from the folder on, and once
    assert skipped["reason"]
    assert "notes.wav" not in skipped["reason"]
    assert about["sounds"] is False
    answer = page.post("/api/index")
    assert answer.status_code == 400
    assert "no folder of sound was given" in answer.json()["error"]
