"""The server as a process: its port, its link, its end, and what a kill leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axlstm.cli import main
from axlstm.collection.collection import open as open_collection
from axlstm.errors import ConfigError
from axlstm.explore.serve import bind

Capture = pytest.CaptureFixture[str]


class Running:
    """A server in a process of its own."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "axlstm", "explore", *words, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        self.told = ""
        for line in self.process.stdout:
            self.told += line
            if "Ctrl-C" in line:
                break
        found = re.search(r"(http://[^/]+)/\?token=(\S+)", self.told)
        assert found is not None, self.told
        self.home, self.token = found.groups()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.home + path, content, headers), timeout=60) as answer:
            return json.load(answer)

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.told += self.process.communicate(timeout=60)[0]
        return self.process.returncode


@pytest.fixture
def running(place: Path) -> Iterator[Running]:
    server = Running(str(place / "birds.collection"))
    yield server
    server.end()


def test_a_kill_in_the_middle_of_labelling_loses_nothing_that_was_answered(running: Running, place: Path) -> None:
    answered: list[int] = []

    def label_until_it_is_gone() -> None:
        for number in range(10_000):
            items = [{"recording": 1, "start_s": number / 10_000, "end_s": number / 10_000 + 0.5}]
            answered.extend(
                running.ask("/api/labels", {"label": f"l{number}", "verdict": "yes", "items": items})["ids"]
            )
            if number == 20:
                running.process.send_signal(signal.SIGKILL)

    with pytest.raises(OSError, match=r"refused|reset|closed"):
        label_until_it_is_gone()
    assert len(answered) > 20
    with open_collection(place / "birds.collection") as collection:
        there = [row["id"] for row in collection.tables.execute("SELECT id FROM labels WHERE undone_at IS NULL")]
    assert set(answered) <= set(there)
    assert len(there) <= len(answered) + 1  # one may have been written whose answer was lost
    again = Running(str(place / "birds.collection"))
    assert len(again.ask("/api/labels?count=1000")) == len(there)
    assert again.end() == 0


def test_the_map_is_drawn_without_being_asked_for_and_ctrl_c_ends_the_server(running: Running) -> None:
    while (job := running.ask("/api/job")["job"])["state"] == "running":
        assert job["kind"] == "map"
    assert running.ask("/api/about")["map"]["state"] == "ready"
    assert "Ctrl-C ends it" in running.told
    assert "It listens" not in running.told
    assert running.end() == 0


def test_a_folder_of_sound_is_indexed_first(place: Path) -> None:
    new = place / "owls & co"
    new.mkdir()
    for name in ("bell.flac", "water_river.ogg"):
        (place / "sounds" / name).rename(new / name)
    (new / "broken.wav").write_bytes(b"RIFF")
    server = Running(str(new), "--model", "logmel")
    assert f"indexed into {new}.collection" in server.told
    while (job := server.ask("/api/job")["job"])["state"] == "running":
        assert job["kind"] == "index"
    assert (job["state"], job["result"]["embedded"]) == ("done", 2)
    about = server.ask("/api/about")
    assert (about["recordings"], about["map"]["state"]) == (2, "ready")
    assert server.end() == 0
    assert re.search(r"owls & co\.collection: 2 embedded \(\d+ windows\), 1 skipped\n", server.told)
    assert "broken.wav" in server.told
    again = Running(str(new))
    while (job := again.ask("/api/job")["job"])["state"] == "running":
        pass
    assert (job["result"]["embedded"], job["result"]["there"]) == (0, 2)
    assert again.end() == 0


def test_a_server_for_others_says_what_that_means(place: Path) -> None:
    server = Running(str(place / "birds.collection"), "--host", "0.0.0.0")
    assert "whoever reaches this machine and has the token" in server.told
    assert "not encrypted" in server.told
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{server.home.rsplit(':', 1)[1]}/", timeout=60)
    assert refused.value.code == 401
    refused.value.close()
    assert server.end() == 0


def test_the_first_view_waits_for_no_library_that_computes() -> None:
    modules = "axlstm.cli.explore, axlstm.explore.serve, axlstm.explore.opening, axlstm.explore.views"
    told = f"import sys, {modules}; print(*sorted({{'torch', 'scipy', 'sklearn', 'matplotlib'}} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_a_port_in_use_is_told_with_one_that_is_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} is in use; (\d+) is free: --port \1") as told:
            bind("127.0.0.1", port)
        found = re.search(r"--port (\d+)", str(told.value))
        assert found is not None
        bind("127.0.0.1", int(found[1])).close()


def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be listened at"):
        bind("192.0.2.1", 0)  # of nobody (RFC 5737)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nothing", "not there; expected a collection, or a folder with sound files"),
        ("empty", "no sound files in "),
        ("sounds/bell.flac", "a file; expected a collection"),
        ("half.collection", "a half-copied collection"),
    ],
)
def test_what_cannot_be_shown_is_told(place: Path, capsys: Capture, given: str, told: str) -> None:
    (place / "empty").mkdir()
    (place / "half.collection").mkdir()
    (place / "half.collection" / "collection.sqlite").touch()
    assert main(["explore", str(place / given)]) == 1
    assert told in capsys.readouterr().err
    assert not (place / "empty.collection").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("-m", "logmel"), "--model logmel: "),
        (("--encoder", "nothing"), "nothing"),
    ],
)
def test_options_that_do_not_fit_are_told_before_anything_is_served(
    place: Path, capsys: Capture, options: tuple[str, ...], told: str
) -> None:
    assert main(["explore", str(place / "birds.collection"), *options, "--port", "-1"]) == 1
    assert told in capsys.readouterr().err
