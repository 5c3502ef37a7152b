"""A collection that is made in parts is the one that is made without them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from axlstm.cli import main
from axlstm.collection import planned, work
from axlstm.collection.collection import Collection, open
from axlstm.collection.planned import IndexParts
from axlstm.collection.verify import verify
from axlstm.parts import choice
from axlstm.parts.opening import find_planned
from axlstm.parts.run import PartOf
from axlstm.parts.runners import in_turn
from axlstm.store import planned as reading
from tests.collection.made import label, labelled, vectors_of
from tests.shards.made import write_sound

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have parts done in this process."""
    monkeypatch.setattr(choice, "choose_runner", lambda *_: in_turn)


def content(folder: Path) -> tuple[list[tuple[object, ...]], dict[str, np.ndarray]]:  # type: ignore[type-arg]
    """All that a collection holds, but for the times when it was entered."""
    with open(folder) as collection:
        columns = "id, path, size_bytes, modified, digest, duration_s, channels, recorded_at, device, metadata"
        rows = [tuple(row) for row in collection.tables.execute(f"SELECT {columns} FROM recordings ORDER BY id")]
        rows += [tuple(row) for row in collection.tables.execute("SELECT * FROM spans ORDER BY recording")]
        rows += [tuple(row) for row in collection.tables.execute("SELECT path, reason FROM skipped ORDER BY path")]
        return rows, vectors_of(collection)


def same(ours: Path, theirs: Path) -> None:
    (our_rows, our_vectors), (their_rows, their_vectors) = content(ours), content(theirs)
    assert our_rows == their_rows
    for path, vectors in our_vectors.items():
        np.testing.assert_array_equal(vectors, their_vectors[path])


@pytest.mark.parametrize("long_s", [600.0, 2.5], ids=["short", "some long"])
def test_parts_make_the_same_collection(
    sounds: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, long_s: float
) -> None:
    for module in (reading, work, planned):
        monkeypatch.setattr(module, "LONG_SECONDS", long_s)
    (sounds / "20240102_030405.wav").write_bytes((sounds / "01.wav").read_bytes())
    (sounds / "broken.wav").write_bytes(b"no sound")
    (sounds / "notes.txt").touch()
    table = tmp_path / "sites.csv"
    table.write_text("path,site\n02.wav,pond\nnowhere.wav,hill\n")
    told = []
    for name, more in (("plain", []), ("parts", ["--runner", "processes", "--part-files", "3"])):
        command = ["index", str(sounds), "-o", str(tmp_path / name), "-m", model, "--metadata", str(table), *more]
        assert main([*command, "--window-s", "1"]) == 0
        told.append(capsys.readouterr().out.replace(str(tmp_path / name), "OUT").replace(str(table), "the table"))
    same(tmp_path / "parts", tmp_path / "plain")
    assert told[0] == told[1]
    assert not (tmp_path / "parts.work").exists()
    with open(tmp_path / "parts") as collection:
        assert list(verify(collection)) == []


def test_a_second_run_follows_what_moved_and_changed(
    collection: Collection, sounds: Path, model: str, tmp_path: Path
) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    label(collection, "01.wav")
    twin = tmp_path / "twin.collection"
    shutil.copytree(collection.folder, twin)
    (sounds / "01.wav").rename(sounds / "moved.wav")
    write_sound(sounds / "02.wav", 2.0, 99)
    write_sound(sounds / "new.wav", 2.0, 98)
    for out, more in ((collection.folder, []), (twin, ["--runner", "processes", "--part-files", "1"])):
        assert main(["index", str(sounds), "-o", str(out), *more]) == 0
    same(twin, collection.folder)
    with open(twin) as made:
        assert labelled(made) == {"moved.wav": True}


def test_parts_that_wait_are_entered_by_collect(sounds: Path, model: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out.collection"
    command = ["index", str(sounds), "-o", str(out), "-m", model, "--part-files", "4", "--runner"]
    assert main([*command, "slurm"]) == 0
    capsys.readouterr()
    folder, plan = find_planned(str(out))
    assert (plan.parts, plan.entries) == (2, 6)
    part_of = PartOf(folder.name, plan.id, IndexParts)
    part_of(1)
    assert main(["collect", str(out)]) == 1
    assert capsys.readouterr().out == f"{out}: 1 of 2 parts are missing; the same command does them\n"
    assert main(["work", str(out)]) == 0
    (sounds / "01.wav").write_bytes((sounds / "02.wav").read_bytes())
    (sounds / "late.wav").write_bytes((sounds / "04.wav").read_bytes())
    assert main(["collect", str(out)]) == 0
    told = capsys.readouterr().out
    assert "5 embedded" in told
    assert "01.wav: changed since it was embedded; the same command embeds it again" in told
    assert main([*command, "processes"]) == 0
    assert "2 embedded" in capsys.readouterr().out


def test_other_settings_and_another_model_are_refused(
    sounds: Path, model: str, tmp_path: Path, capsys: Capture
) -> None:
    command = ["index", str(sounds), "-o", str(tmp_path / "c"), "-m", model, "--runner", "slurm"]
    assert main(command) == 0
    assert main([*command, "--window-s", "2"]) == 1
    assert "was planned otherwise (windows" in capsys.readouterr().err
    assert main(["index", str(sounds), "-o", str(tmp_path / "c"), "--workers", "2"]) == 1
    assert "--workers is for work in parts: add --runner" in capsys.readouterr().err
