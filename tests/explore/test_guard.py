"""Who may ask, from where, and for what."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from axlstm.explore.app import make_app
from axlstm.explore.desk import Desk
from axlstm.explore.guard import MOST_BODY_BYTES, MOST_UPLOAD_BYTES, Address
from tests.explore.conftest import ADDRESS, HOME, TOKEN

ROUTES = ("/", "/page/main.js", "/api/about", "/api/map", "/api/recording/1/sound.wav?start_s=0&end_s=1", "/nothing")


@pytest.mark.parametrize("path", ROUTES)
def test_without_the_token_nothing_is_answered(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert "open the address that axlstm explore printed" in answer.json()["error"]


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], TOKEN + "t", "ü", TOKEN.upper()])
def test_a_wrong_token_is_refused(stranger: TestClient, token: str) -> None:
    assert stranger.get("/", params={"token": token}).status_code == 401
    assert stranger.get("/api/about", headers={"Authorization": f"Bearer {token}".encode()}).status_code == 401
    assert stranger.get("/api/about", headers={"Cookie": f"axlstm_8765={token}".encode()}).status_code == 401
    assert stranger.post("/api/labels/undo", params={"token": TOKEN}, json={}).status_code == 401


def test_the_token_of_the_address_becomes_a_cookie_and_leaves_the_address(stranger: TestClient) -> None:
    answer = stranger.get("/", params={"token": TOKEN, "like": "owl & co"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?like=owl+%26+co")
    cookie = answer.headers["set-cookie"]
    assert cookie == f"axlstm_8765={TOKEN}; HttpOnly; SameSite=Lax; Path=/"
    assert stranger.get("/api/about").status_code == 200  # the client keeps the cookie


@pytest.mark.parametrize(
    "host",
    ["evil.example:8765", "127.0.0.1", "127.0.0.1:8766", "127.0.0.1:8765.evil.example", "", "evil@127.0.0.1:8765"],
)
def test_a_foreign_host_is_refused_also_with_the_token(page: TestClient, host: str) -> None:
    answer = page.get("/api/about", headers={"Host": host})
    assert answer.status_code == 421
    assert "open the address that it printed" in answer.json()["error"]


@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1:8765", "http://127.0.0.1:8766", "null"])
def test_a_foreign_origin_is_refused_also_with_the_token(page: TestClient, origin: str) -> None:
    assert page.post("/api/labels/undo", json={}, headers={"Origin": origin}).status_code == 403
    assert page.get("/api/about", headers={"Origin": origin}).status_code == 403


def test_a_form_of_another_page_changes_nothing_with_the_cookie_alone(stranger: TestClient) -> None:
    stranger.get("/", params={"token": TOKEN})
    given = {"label": "wren", "verdict": "yes", "items": [{"row": 0}]}
    assert stranger.post("/api/labels", json=given).status_code == 403
    assert stranger.post("/api/labels", json=given, headers={"Origin": HOME}).status_code == 200


def test_a_page_of_a_server_that_has_ended_is_refused_by_the_next_one(page: TestClient) -> None:
    server = page.get("/api/about").headers["x-server"]
    assert TOKEN not in server
    given = {"label": "wren", "verdict": "yes", "items": [{"recording": 1, "start_s": 0, "end_s": 1}]}
    answer = page.post("/api/labels", json=given, headers={"X-Server": "0" * 16})
    assert answer.status_code == 401
    assert "open the address that axlstm explore prints now" in answer.json()["error"]
    assert page.get("/api/labels").json() == []
    assert page.post("/api/labels", json=given, headers={"X-Server": server}).status_code == 200


def test_which_hosts_are_ours() -> None:
    assert Address("MyBox", 8765).owns("mybox:8765")  # as browsers write it
    assert Address("127.0.0.1", 80).owns("127.0.0.1")  # who leave out this port
    assert Address("::1", 80).owns("[::1]")
    assert not Address("127.0.0.1", 8765).owns("127.0.0.1")
    local, everywhere, named = Address("127.0.0.1", 80), Address("0.0.0.0", 80, ("box",)), Address("fe80::1", 80)
    assert local.is_local
    assert Address("::1", 80).is_local
    assert Address("localhost", 80).is_local
    assert not everywhere.is_local
    assert not named.is_local
    assert not Address("box", 80).is_local
    assert all(local.owns(f"{name}:80") for name in ("127.0.0.1", "localhost", "[::1]"))
    assert not local.owns("192.168.1.7:80")
    assert everywhere.owns("192.168.1.7:80")
    assert everywhere.owns("box:80")
    assert not everywhere.owns("evil.example:80")
    assert named.owns("[fe80::1]:80")
    assert not named.owns("[fe80::2]:80")


def test_every_answer_says_what_the_page_may_do(page: TestClient) -> None:
    refused = page.get("/api/about", headers={"Authorization": "Bearer x"})
    for answer in (page.get("/"), page.get("/api/about"), page.get("/nothing"), refused):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers


def test_no_path_leads_out_of_the_page_or_the_collection(page: TestClient, place: Path) -> None:
    (place / "secret.txt").write_text("a secret", encoding="utf-8")
    ways = [
        "../../secret.txt",
        "../app.py",
        "/etc/passwd",
        "%2e%2e/app.py",
        "..\\app.py",
        "index.html/../../app.py",
    ]
    for way in ways:
        for prefix in ("/page/", "/api/exports/", "/api/classifier/", "/api/recording/"):
            for path in (prefix + way, prefix + quote(way, safe="")):
                answer = page.get(path)
                assert answer.status_code in (400, 404), path
                assert b"secret" not in answer.content.replace(b"secret.txt", b"")
                assert b"import" not in answer.content
                assert b"root:" not in answer.content


def test_links_out_of_the_folder_of_exports_are_not_followed(page: TestClient, place: Path) -> None:
    (place / "birds.collection/exports").mkdir()
    (place / "secret.txt").write_text("a secret", encoding="utf-8")
    (place / "birds.collection/exports/linked.csv").symlink_to(place / "secret.txt")
    (place / "birds.collection/exports/own.csv").write_text("mine", encoding="utf-8")
    assert page.get("/api/exports").json() == [{"name": "own.csv", "bytes": 4}]
    assert page.get("/api/exports/own.csv").text == "mine"
    assert page.get("/api/exports/linked.csv").status_code == 404


def test_a_folder_of_exports_that_is_a_link_is_not_followed(page: TestClient, place: Path) -> None:
    (place / "private").mkdir()
    (place / "private/secret.txt").write_text("a secret", encoding="utf-8")
    (place / "birds.collection/exports").symlink_to(place / "private")
    assert page.get("/api/exports").json() == []
    assert page.get("/api/exports/secret.txt").status_code == 404


def test_numbers_that_no_table_holds_are_refused_in_words(page: TestClient) -> None:
    number = 10**30
    for path in (f"recording/{number}", f"recording/{number}/sound.wav?start_s=0&end_s=1", f"labels?after={number}"):
        answer = page.get(f"/api/{path}")
        assert answer.status_code == 400
        assert "a request that cannot be read" in answer.json()["error"]
    stretch = {"recording": number, "start_s": 0, "end_s": 1}
    for path, body in (
        ("labels", {"label": "wren", "verdict": "yes", "items": [stretch]}),
        ("labels/undo", {"ids": [number]}),
        ("search", {"stretches": [stretch]}),
    ):
        assert page.post(f"/api/{path}", json=body).status_code == 400


def test_a_page_that_is_closed_while_it_sends_is_no_fault(desk: Desk) -> None:
    sent, coming = [], [{"type": "http.request", "body": b"RIFF", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = {"host": "127.0.0.1:8765", "authorization": f"Bearer {TOKEN}", "content-length": "1000"}
    scope = {"type": "http", "method": "POST", "path": "/api/upload", "query_string": b""}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]
    with ThreadPoolExecutor(1) as thread:  # where no loop runs, as one does beside a browser
        thread.submit(lambda: asyncio.run(make_app(desk, TOKEN, ADDRESS)(scope, receive, send))).result()
    assert sent == []
    desk.close()


def test_an_upload_that_the_disk_has_no_room_for_is_told_and_leaves_nothing(
    page: TestClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write)
    answer = page.post("/api/upload", content=b"RIFF")
    assert answer.status_code == 503
    assert "No space left" in answer.json()["error"]
    assert desk.uploads._folder is not None
    assert list(desk.uploads._folder.iterdir()) == []


def test_files_of_the_collection_itself_are_not_given(page: TestClient) -> None:
    assert page.get("/api/exports").json() == []
    assert page.get("/api/exports/collection.sqlite").status_code == 404
    assert page.get("/api/classifier/parts").status_code == 400


def test_a_body_that_is_too_large_is_refused(page: TestClient) -> None:
    answer = page.post("/api/labels", content=b"[" * (MOST_BODY_BYTES + 1))
    assert answer.status_code == 413
    pieces = (b" " * (1 << 20) for _ in range((MOST_UPLOAD_BYTES >> 20) + 1))  # without a length that is told before
    answer = page.post("/api/upload", content=pieces)
    assert answer.status_code == 413
    assert f"at most {MOST_UPLOAD_BYTES}" in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "an empty file"),
        (b"<script>alert(1)</script>", "not a sound file"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\xff\xff\xff\xff\xff\xff", "evil"),
        (b"fLaC" + bytes(100), "evil"),
    ],
)
def test_an_upload_that_is_no_sound_is_refused(page: TestClient, content: bytes, told: str) -> None:
    answer = page.post("/api/upload", params={"name": "../<img src=x>evil.wav"}, content=content)
    assert answer.status_code == 400
    assert told in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"label": 1}',
        b'{"label": "a", "verdict": "maybe", "items": [{"row": 1}]}',
        b'{"label": "a", "verdict": "yes", "items": []}',
        b'{"label": "a", "verdict": "yes", "items": [{"row": 1, "start_s": NaN}]}',
        b'{"label": "a", "verdict": "yes", "items": [{"row": 1000000}]}',
        b'{"label": "a", "verdict": "yes", "items": [{"row": -1}]}',
        b'{"label": "a\\u0000b", "verdict": "yes", "items": [{"row": 1}]}',
        b'{"label": "a", "verdict": "yes", "items": [{"recording": 1, "start_s": 1e9, "end_s": 2e9}]}',
        b'{"label": "a", "verdict": "yes", "items": [{"recording": 99, "start_s": 0, "end_s": 1}]}',
        b'{"label": "' + b"a" * 300 + b'", "verdict": "yes", "items": [{"row": 1}]}',
        b"[" * 5000,
    ],
)
def test_a_malformed_request_is_refused_in_words(page: TestClient, body: bytes) -> None:
    answer = page.post("/api/labels", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert page.get("/api/labels").json() == []


def test_html_and_script_in_names_labels_and_metadata_stay_text(page: TestClient, place: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    shutil.move(place / "sounds/bell.flac", place / f"sounds/{hostile}.flac")
    page.app.app.state.desk.search(lambda collection: collection.index([place / "sounds"], name="logmel"))  # type: ignore[attr-defined]
    page.post("/api/labels", json={"label": hostile, "verdict": "yes", "items": [{"row": 0}], "author": hostile})
    for path in (
        "/api/about",
        "/api/recordings",
        "/api/labels",
        "/api/rows?rows=0",
        f"/api/labelled?label={quote(hostile)}",
    ):
        answer = page.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert page.get("/api/about").json()["sites"] == ["<b>garden</b>"]
    assert page.get("/api/labels").json()[0]["author"] == hostile
    assert f"{hostile}.flac" in [one["path"] for one in page.get("/api/recordings").json()["recordings"]]
