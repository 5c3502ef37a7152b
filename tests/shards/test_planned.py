"""Shards that are made in parts are, byte by byte, those that are made without them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from axlstm.cli import main
from axlstm.parts import choice
from axlstm.parts.runners import in_turn
from tests.parts.corpora import write_tar
from tests.shards.made import facts_of, write_sound

Capture = pytest.CaptureFixture[str]
PARTS = ["--runner", "processes", "--part-files", "3"]
SETTINGS = ["--record-seconds", "1", "--shard-records", "4", "--held-out", "0.2"]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have parts done in this process."""
    monkeypatch.setattr(choice, "choose_runner", lambda *_: in_turn)


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sounds"
    for number in range(8):
        write_sound(folder / f"{number}.wav", 0.4 + 0.5 * number, number, rate_hz=22_050 if number % 2 else 16_000)
    (folder / "twin.wav").write_bytes((folder / "3.wav").read_bytes())
    (folder / "broken.wav").write_text("no sound")
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    (folder / "notes.txt").touch()
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("lock")}


@pytest.mark.usefixtures("sounds")
@pytest.mark.parametrize("kind", ["logmel", "audio"])
def test_parts_give_the_same_shards(tmp_path: Path, capsys: Capture, kind: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text("path,start,end,label\nsounds/7.wav,0.5,2.5,wren\nsounds/7.wav,2.5,,\nsounds/none.wav,,,\n")
    told = []
    for name, more in (("plain", ["--processes", "1"]), ("parts", PARTS)):
        assert main(["prepare", "sounds", "table.csv", name, "--content", kind, *SETTINGS, *more]) == 0
        told.append(capsys.readouterr().out.replace(name, "OUT"))
    assert told[0] == told[1]
    ours, theirs = content(tmp_path / "parts"), content(tmp_path / "plain")
    begun = [json.loads(files.pop("journal.jsonl").splitlines()[0]) for files in (ours, theirs)]
    assert begun[0]["sources"] == begun[1]["sources"]
    assert ours == theirs
    assert not (tmp_path / "parts.work").exists()
    assert main(["prepare", "sounds", "table.csv", "plain", "--content", kind, *SETTINGS, *PARTS]) == 0
    assert content(tmp_path / "plain") == theirs | {"journal.jsonl": content(tmp_path / "plain")["journal.jsonl"]}


@pytest.mark.usefixtures("sounds")
def test_shards_that_were_cut_short_go_on_from_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from axlstm.data.journal import Journal

    assert main(["prepare", "sounds", "plain", *SETTINGS, "--processes", "1"]) == 0
    assert main(["prepare", "sounds", "parts", *SETTINGS, "--runner", "slurm"]) == 0
    assert main(["work", "parts"]) == 0
    note, noted = Journal.note, []

    def once(self: Journal, *given: object) -> None:
        note(self, *given)  # type: ignore[arg-type]
        noted.append(1)
        if len(noted) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "note", once)
    assert main(["collect", "parts"]) == 130
    assert main(["collect", "parts"]) == 0
    ours, theirs = content(tmp_path / "parts"), content(tmp_path / "plain")
    del ours["journal.jsonl"], theirs["journal.jsonl"]
    assert ours == theirs


def test_a_tar_is_read_without_unpacking_it(sounds: Path, tmp_path: Path) -> None:
    names = [f"{number}.wav" for number in range(8)]
    write_tar(tmp_path / "sounds.tar", {name: (sounds / name).read_bytes() for name in names})
    assert main(["prepare", "sounds.tar", "shards", *SETTINGS, *PARTS]) == 0
    facts = facts_of(tmp_path / "shards", "train") + facts_of(tmp_path / "shards", "valid")
    assert {one["source"] for one in facts} == {f"sounds.tar/{name}" for name in names[1:]}


def test_a_url_needs_parts(capsys: Capture) -> None:
    assert main(["prepare", "s3://bucket/in", "shards"]) == 1
    assert "s3://bucket/in: a URL needs parts: add --runner" in capsys.readouterr().err
