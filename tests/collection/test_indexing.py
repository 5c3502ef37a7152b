"""Indexing: every file is accounted for, nothing is embedded twice or lost, and labels stay where they belong."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import axlstm
from axlstm.cli import main
from axlstm.collection import changes, work, writer
from axlstm.collection.changes import list_parts
from axlstm.collection.collection import Collection, create, open
from axlstm.collection.upkeep import remove
from axlstm.collection.verify import verify
from axlstm.errors import ConfigError, WriteError
from axlstm.locks import InUseError
from tests.collection.made import label, labelled, save_model, vectors_of
from tests.shards.made import write_sound
from tests.store.interrupted import interrupt_at


def test_everything_is_accounted_for(collection: Collection, sounds: Path, model: str, tmp_path: Path) -> None:
    (sounds / "broken.wav").write_bytes(b"no sound")
    (sounds / "notes.txt").write_text("no sound")
    outside = write_sound(tmp_path / "outside" / "far.wav", 1.0, 9)
    seen: list[float] = []
    options = {"model": model, "window_s": 1.0}
    summary = collection.index([sounds, outside, sounds / "01.wav"], progress=seen.append, **options)
    assert (summary.asked, summary.embedded, summary.there, summary.not_sound) == (9, 7, 0, {".txt": 1})
    assert [Path(path).name for path, _ in summary.skipped] == ["broken.wav"]
    assert sum(seen) == pytest.approx(8)
    found = vectors_of(collection)
    assert set(found) == {"site0/00.wav", "01.wav", "02.wav", "site0/03.wav", "04.wav", "05.wav", outside.as_posix()}
    assert summary.windows == sum(map(len, found.values()))
    again = collection.index([sounds, outside], **options)
    assert (again.asked, again.embedded, again.there, len(again.skipped)) == (9, 0, 7, 1)
    assert [tuple(row) for row in collection.tables.execute("SELECT path FROM skipped")] == [
        (str(sounds / "broken.wav"),)
    ]


def test_vectors_are_those_of_the_embedder(collection: Collection, sounds: Path, model: str) -> None:
    collection.index([sounds], model=model, window_s=1.0, hop_s=0.5)
    embedder = axlstm.load_model(model)
    for path, vectors in vectors_of(collection).items():
        (block,) = embedder.windows(sounds / path, 1.0, 0.5)
        np.testing.assert_allclose(vectors, block.embeddings, rtol=2e-3, atol=1e-3)
        number = collection.tables.execute("SELECT id FROM recordings WHERE path = ?", (path,)).fetchone()[0]
        windows = collection.windows(collection.encoder(), number)
        np.testing.assert_array_equal(windows.start_s, block.start_s)
        np.testing.assert_array_equal(windows.end_s, block.end_s)


def test_a_long_file_is_streamed_into_a_part_of_its_own(
    collection: Collection, sounds: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([sounds], model=model, name="whole", window_s=1.0)
    monkeypatch.setattr(work, "LONG_SECONDS", 2.2)
    monkeypatch.setattr("axlstm.collection.parts._MOST_IN_MEMORY", 100)  # bytes
    seen: list[float] = []
    summary = collection.index([sounds], model=model, name="streamed", window_s=1.0, progress=seen.append)
    assert summary.embedded == 6
    assert sum(seen) == pytest.approx(6)
    whole, streamed = vectors_of(collection, "whole"), vectors_of(collection, "streamed")
    assert whole.keys() == streamed.keys()
    for path in whole:
        np.testing.assert_allclose(whole[path], streamed[path], rtol=2e-3, atol=1e-3)


def test_a_run_that_ends_in_the_middle_is_taken_up(
    collection: Collection, sounds: Path, model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in (work, writer):
        monkeypatch.setattr(module, "PART_FILES", 2)
    with pytest.raises(KeyboardInterrupt):
        collection.index([sounds], model=model, window_s=1.0, progress=interrupt_at(4))
    there = collection.tables.execute("SELECT count(*) FROM recordings").fetchone()[0]
    assert 2 <= there < 6
    summary = collection.index([sounds])
    assert (summary.embedded, summary.there) == (6 - there, there)
    with create(tmp_path / "other", sounds) as undisturbed:
        undisturbed.index([sounds], model=model, window_s=1.0)
        expected = vectors_of(undisturbed)
        for mine, whole in zip(
            collection.statistics(collection.encoder()), undisturbed.statistics(undisturbed.encoder()), strict=True
        ):
            np.testing.assert_allclose(mine, whole, rtol=1e-2, atol=1e-3)
    for path, vectors in vectors_of(collection).items():
        np.testing.assert_allclose(vectors, expected[path], rtol=2e-3, atol=1e-3)
    assert len(list_parts(collection)) == 1  # small ones were merged
    collection.index([sounds])
    assert len(list((collection.folder / "parts").iterdir())) == 1  # and those they came from are gone


def test_a_killed_run_is_taken_up(sounds: Path, model: str, tmp_path: Path) -> None:
    """Whatever is there after a kill can be opened, and what its tables name is there."""
    out = tmp_path / "killed.collection"
    code = (
        "import sys\nfrom axlstm.collection import work, writer\nwork.PART_FILES = writer.PART_FILES = 1\n"
        "from axlstm.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "index", str(sounds), "-o", str(out), "-m", model, "--window-s", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(out.glob("parts/*.arrow"))) < 2:
        time.sleep(0.01)
    process.kill()
    process.wait()
    with open(out) as collection:
        found = vectors_of(collection)
        assert found
        collection.index([sounds], model=model, window_s=1.0)
        assert len(vectors_of(collection)) == 6
        assert all((vectors_of(collection)[path] == vectors).all() for path, vectors in found.items())


def test_ctrl_c_writes_what_is_computed(sounds: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / "interrupted.collection"
    code = (
        "import os, signal, sys\nfrom axlstm.cli import main\nfrom axlstm.cli.progress import Progress\n"
        "def advance(self, part):\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "Progress.advance = advance\nsys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "index", str(sounds), "-o", str(out), "-m", model, "--window-s", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 130
    assert "interrupted; a long command resumes when it is started again" in ended.stderr
    assert "Traceback" not in ended.stderr
    with open(out) as collection:
        assert vectors_of(collection)
        assert collection.statistics(collection.encoder())[0].any()
        assert collection.index([sounds], model=model, window_s=1.0).embedded < 6


def test_a_second_ctrl_c_does_not_lose_what_is_computed(sounds: Path, model: str, tmp_path: Path) -> None:
    """One more comes just before each write, and in the middle of it."""
    out = tmp_path / "interrupted.collection"
    code = (
        "import os, signal, sys\nfrom axlstm.cli import main\nfrom axlstm.cli.progress import Progress\n"
        "from axlstm.collection import work, writer\nadd_part, write = writer.add_part, work.IndexWork.write\n"
        "def interrupting(function):\n    def wrapped(*given):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n        return function(*given)\n    return wrapped\n"
        "Progress.advance = interrupting(Progress.advance)\n"
        "writer.add_part, work.IndexWork.write = interrupting(add_part), interrupting(write)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "index", str(sounds), "-o", str(out), "-m", model, "--window-s", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    with open(out) as collection:
        kept = len(vectors_of(collection))
        assert kept
        assert f"({kept} recordings of this run are kept)" in ended.stderr
        assert collection.index([sounds], model=model, window_s=1.0).embedded == 6 - kept


def test_a_changed_file_is_another_recording(collection: Collection, sounds: Path, model: str) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    label(collection, "02.wav")
    before = vectors_of(collection)
    write_sound(sounds / "02.wav", 2.5, 77)
    summary = collection.index([sounds])
    assert (summary.embedded, summary.changed, summary.there, summary.labels_left) == (1, 1, 5, 1)
    after = vectors_of(collection)
    assert {path for path in before if not np.array_equal(before[path], after[path])} == {"02.wav"}
    assert labelled(collection) == {"02.wav": False}
    assert len(collection.spans(collection.encoder())) == 6


def test_content_that_comes_back_finds_its_labels(collection: Collection, sounds: Path, model: str) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    label(collection, "02.wav")
    label(collection, "04.wav")
    before, content = vectors_of(collection), (sounds / "02.wav").read_bytes()
    write_sound(sounds / "02.wav", 2.5, 77)
    collection.index([sounds])
    (sounds / "02.wav").write_bytes(content)
    remove(collection, ["04.wav"])
    assert labelled(collection) == {"02.wav": False, "04.wav": False}
    summary = collection.index([sounds])
    assert (summary.embedded, summary.changed, summary.there) == (2, 1, 4)
    assert labelled(collection) == {"02.wav": True, "04.wav": True}
    np.testing.assert_array_equal(vectors_of(collection)["02.wav"], before["02.wav"])
    assert not list(verify(collection))


def test_a_moved_file_keeps_its_windows_and_labels(collection: Collection, sounds: Path, model: str) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    label(collection, "02.wav")
    before = vectors_of(collection)
    (sounds / "new").mkdir()
    (sounds / "02.wav").rename(sounds / "new" / "two.wav")
    shutil.copy(sounds / "01.wav", sounds / "copy.wav")  # no move: the old path is there
    summary = collection.index([sounds])
    assert (summary.embedded, summary.moved, summary.there, summary.gone) == (1, 1, 6, ())
    after = vectors_of(collection)
    np.testing.assert_array_equal(after["new/two.wav"], before["02.wav"])
    assert labelled(collection) == {"new/two.wav": True}
    assert "02.wav" not in after


def test_files_that_changed_places_are_moves(collection: Collection, sounds: Path, model: str) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    label(collection, "01.wav")
    label(collection, "05.wav")
    (sounds / "01.wav").rename(sounds / "x")
    (sounds / "02.wav").rename(sounds / "01.wav")
    (sounds / "x").rename(sounds / "02.wav")
    (sounds / "04.wav").rename(sounds / "05.wav")  # over another one, which is lost
    summary = collection.index([sounds])
    assert (summary.embedded, summary.moved, summary.there, summary.gone) == (0, 3, 5, ())
    assert summary.labels_left == 1
    assert labelled(collection) == {"02.wav": True, "05.wav": False}
    assert sorted(vectors_of(collection)) == ["01.wav", "02.wav", "05.wav", "site0/00.wav", "site0/03.wav"]


def test_a_recording_that_is_gone_is_told_and_kept(collection: Collection, sounds: Path, model: str) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    (sounds / "02.wav").unlink()
    summary = collection.index([sounds])
    assert (summary.asked, summary.there, summary.gone) == (5, 5, ("02.wav",))
    assert "02.wav" in vectors_of(collection)


def test_a_recording_behind_a_failing_disk_is_not_gone(
    collection: Collection, sounds: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    stat = Path.stat

    def fail(path: Path, **options: Any) -> os.stat_result:
        if path.name == "01.wav":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", fail)
    assert collection.index([sounds / "02.wav"]).gone == ()
    assert remove(collection, [], gone=True).paths == ()


def test_a_touched_file_is_read_once_and_kept(collection: Collection, sounds: Path, model: str) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    os.utime(sounds / "02.wav", ns=(1, 1))
    assert collection.index([sounds]).there == 6
    assert collection.tables.execute("SELECT modified FROM recordings WHERE path = '02.wav'").fetchone()[0] == 1


def test_other_settings_under_one_name_are_refused(collection: Collection, sounds: Path, model: str) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    with pytest.raises(ConfigError, match=r"window_s: 1\.0 there, 2\.0 here.*--name"):
        collection.index([sounds], window_s=2.0)
    with pytest.raises(ConfigError, match=r"pooling: None there, 'mean\+deviation' here"):
        collection.index([sounds], pooling="mean+deviation")
    collection.index([sounds], model=model, name="long", window_s=2.0)
    with pytest.raises(ConfigError, match="several encoders"):
        collection.index([sounds])
    assert collection.index([sounds], name="long").there == 6
    with pytest.raises(ConfigError, match="no encoder other"):
        collection.index([sounds], name="other")


def test_an_encoder_that_is_not_there_any_more(collection: Collection, sounds: Path, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    collection.index([sounds], model=str(folder), window_s=1.0)
    save_model(folder, seed=2)
    with pytest.raises(ConfigError, match=r"fingerprint: '\w+' there, '\w+' here"):
        collection.index([sounds])
    shutil.rmtree(folder)
    with pytest.raises(ConfigError, match=r"encoder model.*cannot be loaded any more"):
        collection.index([sounds])


def test_one_process_at_a_time(collection: Collection, sounds: Path, model: str) -> None:
    with collection.alone(), pytest.raises(InUseError, match="in use by process"):
        collection.index([sounds], model=model)


def test_a_file_that_changes_while_it_is_read_is_skipped(
    collection: Collection, sounds: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_change(file: Path, place: str) -> object:
        origin = indexing_read(file, place)
        if file.name == "02.wav":
            write_sound(file, 3.0, 5)
        if file.name == "04.wav":
            file.unlink()
        return origin

    indexing_read = work.read_origin
    monkeypatch.setattr(work, "read_origin", read_and_change)
    summary = collection.index([sounds], model=model, window_s=1.0)
    assert (summary.embedded, len(summary.skipped), summary.asked) == (4, 2, 6)
    reasons = {Path(path).name: reason for path, reason in summary.skipped}
    assert "changed while it was read" in reasons["02.wav"]
    assert "04.wav" in reasons["04.wav"]


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(
    collection: Collection, sounds: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (work, writer):
        monkeypatch.setattr(module, "PART_FILES", 2)
    calls = []

    def write(path: Path, rows: object) -> str:
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(b"half")
            raise WriteError(f"{path}: cannot be written (No space left on device)")
        return written(path, rows)

    written = changes.write_part
    monkeypatch.setattr(changes, "write_part", write)
    with pytest.raises(WriteError, match="No space left"):
        collection.index([sounds], model=model, window_s=1.0)
    assert len(vectors_of(collection)) == 2
    summary = collection.index([sounds])
    assert (summary.embedded, summary.there) == (4, 2)
    assert not calls[1].exists()


@pytest.mark.parametrize("damage", ["missing", "cut", "bit"])
def test_recordings_of_a_damaged_part_are_embedded_again(
    collection: Collection, sounds: Path, model: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    before = vectors_of(collection)
    (part,) = list_parts(collection)
    path = collection.folder / part.file
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content[:-7] if damage == "cut" else content)
    summary = collection.index([sounds])
    assert summary.embedded == 6
    assert "embedded again" in caplog.text
    for name, vectors in vectors_of(collection).items():
        np.testing.assert_array_equal(vectors, before[name])


def test_small_parts_become_large_ones(
    collection: Collection, sounds: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (work, writer):
        monkeypatch.setattr(module, "PART_FILES", 1)
    monkeypatch.setattr(changes, "MOST_ROWS", 12)
    monkeypatch.setattr(changes, "_FEW_ROWS", 6)
    collection.index([sounds], model=model, window_s=1.0)
    parts = list_parts(collection)
    assert 1 < len(parts) < 6
    assert all(part.rows <= 12 for part in parts)
    assert {path.name for path in collection.folder.glob("parts/*")} == {Path(part.file).name for part in parts}
    assert len(vectors_of(collection)) == 6


def test_statistics_are_those_of_all_windows(collection: Collection, sounds: Path, model: str) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    entry = collection.encoder()
    vectors = np.concatenate([rows.vectors for rows in collection.rows(entry)]).astype(np.float64)
    mean, deviation = collection.statistics(entry)
    np.testing.assert_allclose(mean, vectors.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(deviation, vectors.std(axis=0), rtol=1e-9)
    write_sound(sounds / "more.wav", 12.0, 50)
    collection.index([sounds])
    renewed = collection.statistics(entry)
    assert not np.array_equal(mean, renewed[0])
    write_sound(sounds / "little.wav", 0.5, 51)  # less than a tenth
    collection.index([sounds])
    np.testing.assert_array_equal(renewed[0], collection.statistics(entry)[0])


def test_from_the_command_line(
    sounds: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sounds)
    command = ["index", ".", "-o", "birds.collection"]
    assert main([*command, "-m", model, "--window-s", "1"]) == 0
    assert "birds.collection: 6 embedded (27 windows)" in capsys.readouterr().out
    (sounds / "02.wav").unlink()
    assert main(command) == 0  # and the collection itself is no entry
    out = capsys.readouterr().out
    assert "birds.collection: 0 embedded, 5 there already\n" in out
    assert "not on the disk any more, and kept: 02.wav; axlstm collection remove" in out
    assert main([*command, "--root", "/"]) == 1
    assert "relocate" in capsys.readouterr().err
    with open("birds.collection") as collection:
        assert collection.root == sounds
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.wav").write_bytes(b"no sound")
    assert main(["index", str(tmp_path / "bad"), "-o", str(tmp_path / "empty.collection"), "-m", model]) == 1


def test_pipes_are_refused(collection: Collection, model: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    summary = collection.index([tmp_path / "pipe"], model=model)
    assert summary.embedded == 0
    assert "save it as a file" in summary.skipped[0][1]
