"""Detections of files and of collections: what is written, what is told, and what an interruption costs."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import soundfile

from axlstm.cli import main
from axlstm.collection.collection import Collection
from axlstm.collection.detections import detect, parts, run, work
from axlstm.collection.detections.parts import ScoreParts
from axlstm.collection.encoders import EmbedderWindows
from axlstm.errors import ConfigError, DataError, WriteError
from tests.collection.detections.made import make_classifier, save_classifier
from tests.shards.made import write_sound

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def classifier(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("classifier") / "wren.model", model)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def by_name(rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
    """Return detections without the folders of their recordings, in any order."""
    return sorted((Path(row["path"]).name, row["label"], row["start_s"], row["end_s"]) for row in rows)


def test_files_and_a_collection_of_them_give_the_same(
    classifier: Path, collection: Collection, sounds: Path, model: str, tmp_path: Path
) -> None:
    collection.index([sounds], model=model, window_s=1.0, hop_s=0.5)
    of_files = detect(classifier, [sounds], tmp_path / "files.csv")
    of_vectors = detect(classifier, [collection.folder], tmp_path / "vectors.csv", scores=tmp_path / "s.parquet")
    assert (of_files.asked, of_files.scored, of_files.there) == (6, 6, 0)
    assert (of_vectors.asked, of_vectors.scored, of_vectors.windows) == (6, 6, of_files.windows)
    found = read(tmp_path / "files.csv")
    assert found
    assert by_name(found) == by_name(read(tmp_path / "vectors.csv"))
    assert sum(one.detections for one in of_files.findings) == len(found)
    scores = pyarrow.parquet.read_table(tmp_path / "s.parquet").to_pylist()
    assert len(scores) == of_files.windows
    best = max((one for one in scores if one["path"] == "01.wav"), key=lambda one: one["probability_wren"])
    assert any(
        row["path"].endswith("01.wav")
        and row["label"] == "wren"
        and float(row["start_s"]) <= best["start_s"]
        and float(row["score"]) == pytest.approx(best["probability_wren"], abs=1e-3)
        for row in found
    )


def test_everything_that_was_asked_for_is_accounted_for(
    classifier: Path, sounds: Path, tmp_path: Path, capsys: Capture
) -> None:
    (sounds / "text.wav").write_bytes(b"no sound")
    (sounds / "notes.txt").write_text("notes")
    soundfile.write(sounds / "short.wav", np.zeros(100), 16_000)
    soundfile.write(sounds / "silence.wav", np.zeros(32_000), 16_000)
    soundfile.write(sounds / "fast.wav", np.random.default_rng(0).normal(size=(96_000, 2)) / 9, 48_000)
    os.mkfifo(tmp_path / "pipe")
    out = tmp_path / "out.csv"
    command = ["detect", str(classifier), str(sounds), str(sounds / "01.wav"), str(tmp_path / "pipe"), "-o", str(out)]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert f"8 scored, 3 skipped ({out}.skipped.jsonl), 1 not sound (1 .txt)" in told
    skipped = [json.loads(line) for line in Path(f"{out}.skipped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(Path(one["path"]).name for one in skipped) == ["pipe", "short.wav", "text.wav"]
    assert "axlstm stream --classifier takes it" in next(one["reason"] for one in skipped if "pipe" in one["path"])
    assert not Path(f"{out}.parts").exists()
    for name in ("text.wav", "short.wav"):
        (sounds / name).unlink()
    assert main([*command[:3], "-o", str(out)]) == 0
    assert not Path(f"{out}.skipped.jsonl").exists()


def test_the_status_says_whether_anything_was_scored(classifier: Path, tmp_path: Path, capsys: Capture) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    assert main(["detect", str(classifier), str(broken), "-o", str(tmp_path / "out.csv")]) == 1
    told = capsys.readouterr().out
    assert "out.csv: not written, 0 scored, 1 skipped" in told
    assert "highest probability" not in told
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("format", ["csv", "parquet", "raven", "audacity", "kaleidoscope"])
def test_nothing_heard_is_an_answer(model: str, tmp_path: Path, format: str, capsys: Capture) -> None:
    replace(make_classifier(model), offset=np.full(2, -60.0)).save(tmp_path / "deaf.model")
    soundfile.write(tmp_path / "silence.wav", np.zeros(32_000), 16_000)
    out = tmp_path / "out"
    command = ["detect", str(tmp_path / "deaf.model"), str(tmp_path / "silence.wav"), "-o", str(out)]
    assert main([*command, "--format", format]) == 0
    told = capsys.readouterr().out
    assert "0 detections in 3 windows" in told
    assert "wren: none at 0.700 or above; the highest probability is 0.000" in told
    assert out.exists()


def test_a_threshold_and_a_peak_near_it_are_told_apart(model: str, tmp_path: Path, capsys: Capture) -> None:
    replace(make_classifier(model), offset=np.full(2, -60.0)).save(tmp_path / "deaf.model")
    soundfile.write(tmp_path / "silence.wav", np.zeros(32_000), 16_000)
    command = ["detect", str(tmp_path / "deaf.model"), str(tmp_path / "silence.wav"), "-o", str(tmp_path / "out.csv")]
    assert main([*command, "--threshold", "0.0001"]) == 0
    assert "wren: none at 0.0001 or above; the highest probability is 0.0000" in capsys.readouterr().out


def interrupt_after(monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    """Let Ctrl-C come when so many files have been computed, one by one."""
    embed, done = EmbedderWindows.embed, 0

    def interrupted(self: EmbedderWindows, prepared: Any) -> Any:
        nonlocal done
        if done >= files:
            raise KeyboardInterrupt
        done += 1
        return embed(self, prepared)

    monkeypatch.setattr(EmbedderWindows, "embed", interrupted)
    monkeypatch.setattr(work, "_PART_FILES", 1)


def test_an_interrupted_run_goes_on(
    classifier: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect(classifier, [sounds], tmp_path / "whole.csv")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        with pytest.raises(KeyboardInterrupt, match="4 recordings of this run are kept"):
            detect(classifier, [sounds], tmp_path / "out.csv")
    assert len(list((tmp_path / "out.csv.parts").glob("*.parquet"))) == 4
    assert not (tmp_path / "out.csv").exists()
    (tmp_path / "out.csv.parts" / "part-000001.parquet").write_bytes(b"damaged")
    summary = detect(classifier, [sounds], tmp_path / "out.csv")
    assert (summary.asked, summary.scored, summary.there) == (6, 3, 3)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "sounds", "whole.csv"]


def test_parts_of_another_classifier_are_refused_and_other_thresholds_are_not(
    classifier: Path, model: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            detect(classifier, [sounds], out)
    others = {"labels": ("wren", "jay")}, {"hop_s": 0.25}
    for changes, told in zip(others, ("labels: .*'robin'.* there, .*'jay'.* here", "hop_s: 0.5 there"), strict=True):
        with pytest.raises(ConfigError, match=rf"another classifier \(.*{told}.*choose another output"):
            detect(make_classifier(model, **changes), [sounds], out)
    summary = detect(classifier, [sounds], tmp_path / "out.csv", threshold=0.9, gap_s=1.0)
    assert summary.there == 2
    detect(classifier, [sounds], tmp_path / "anew.csv", threshold=0.9, gap_s=1.0)
    assert out.read_bytes() == (tmp_path / "anew.csv").read_bytes()


def test_scores_that_are_kept_are_not_computed_again(
    classifier: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"scores": tmp_path / "scores.parquet"}
    detect(classifier, [sounds], tmp_path / "out.csv", **kept)
    first = kept["scores"].read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(EmbedderWindows, "embed", None)
        summary = detect(classifier, [sounds], tmp_path / "out.txt", format="raven", threshold=0.5, **kept)
    assert (summary.scored, summary.there) == (0, 6)
    assert kept["scores"].read_bytes() == first
    write_sound(sounds / "01.wav", 2.0, 50)
    write_sound(sounds / "new.wav", 1.0, 51)
    summary = detect(classifier, [sounds], tmp_path / "out.csv", **kept)
    assert (summary.scored, summary.there) == (2, 5)
    detect(classifier, [sounds], tmp_path / "anew.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "anew.csv").read_bytes()
    rows = pyarrow.parquet.read_table(kept["scores"]).to_pylist()
    assert sum(row["path"].endswith("01.wav") for row in rows) == 3  # of its content now
    content = bytearray(kept["scores"].read_bytes())
    content[len(content) // 2] ^= 1
    kept["scores"].write_bytes(content)
    with pytest.raises(DataError, match=r"scores.parquet: damaged.*Move it away, and run the same command again"):
        detect(classifier, [sounds], tmp_path / "out.csv", **kept)
    assert kept["scores"].read_bytes() == content


def test_a_changed_file_in_the_middle_of_scores_leaves_the_others_as_they_are(classifier: Path, tmp_path: Path) -> None:
    for number in range(4):
        write_sound(tmp_path / "in" / f"{number}.wav", 6.0, number)
    kept = {"scores": tmp_path / "scores.parquet", "threshold": 0.5}
    detect(classifier, [tmp_path / "in"], tmp_path / "out.csv", **kept)
    write_sound(tmp_path / "in" / "1.wav", 2.0, 50)
    assert detect(classifier, [tmp_path / "in"], tmp_path / "out.csv", **kept).there == 3
    detect(classifier, [tmp_path / "in"], tmp_path / "anew.csv", threshold=0.5)
    assert {row["path"][-5:] for row in read(tmp_path / "anew.csv")} == {f"{number}.wav" for number in range(4)}
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "anew.csv").read_bytes()


def test_a_file_of_scores_takes_a_collection_and_files(
    classifier: Path, collection: Collection, sounds: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([sounds], model=model, window_s=1.0, hop_s=0.5)
    kept = {"scores": tmp_path / "scores.parquet"}
    whole = detect(classifier, [collection.folder], tmp_path / "out.csv", **kept)
    with monkeypatch.context() as patch:
        patch.setattr(EmbedderWindows, "embed", None)
        again = detect(classifier, [sounds], tmp_path / "files.csv", **kept)
    assert (again.scored, again.there, again.windows) == (0, 6, whole.windows)
    assert by_name(read(tmp_path / "files.csv")) == by_name(read(tmp_path / "out.csv"))
    write_sound(tmp_path / "other.wav", 2.0, 50)
    more = detect(classifier, [tmp_path / "other.wav"], tmp_path / "other.csv", **kept)
    detect(classifier, [collection.folder], tmp_path / "out.csv", **kept)  # what it does not have stays
    rows = pyarrow.parquet.read_table(kept["scores"]).to_pylist()
    assert len({(row["place"], row["start_s"]) for row in rows}) == len(rows) == whole.windows + more.windows


def test_a_collection_does_not_replace_a_file_of_something_else(
    classifier: Path, collection: Collection, sounds: Path, model: str, tmp_path: Path
) -> None:
    collection.index([sounds], model=model, window_s=1.0, hop_s=0.5)
    scores, foreign = tmp_path / "scores.parquet", tmp_path / "mine.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"mine": [1]}), foreign)
    detect(make_classifier(model, labels=("jay",)), [collection.folder], tmp_path / "out.csv", scores=scores)
    before = scores.read_bytes(), foreign.read_bytes()
    for path, told in ((scores, "of another classifier"), (foreign, "or no file of scores")):
        with pytest.raises((ConfigError, DataError), match=told):
            detect(classifier, [collection.folder], tmp_path / "new.csv", scores=path)
    assert (scores.read_bytes(), foreign.read_bytes()) == before
    assert not (tmp_path / "new.csv").exists()


def test_long_files_are_streamed(
    classifier: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect(classifier, [sounds], tmp_path / "whole.csv")
    monkeypatch.setattr(work, "LONG_SECONDS", 2.2)
    monkeypatch.setattr(EmbedderWindows, "prepare", lambda *_: pytest.fail("held in memory"))
    for short in ("01.wav", "site0/00.wav"):
        (sounds / short).unlink()
    done: list[float] = []
    summary = detect(
        classifier, [sounds], tmp_path / "out.csv", progress=lambda part, _: done.append(part), batch_windows=1
    )
    assert summary.scored == 4
    assert done == sorted(done)
    assert done[-1] == pytest.approx(4)
    long = [row for row in by_name(read(tmp_path / "whole.csv")) if row[0] not in ("00.wav", "01.wav")]
    assert by_name(read(tmp_path / "out.csv")) == long


def test_a_file_that_vanishes_or_changes_meanwhile_is_skipped(
    classifier: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = EmbedderWindows.prepare

    def meanwhile(self: EmbedderWindows, file: Path) -> Any:
        if file.name == "01.wav":
            write_sound(file, 2.0, 77)
        if file.name == "02.wav":
            file.unlink()
        return prepare(self, file)

    monkeypatch.setattr(EmbedderWindows, "prepare", meanwhile)
    summary = detect(classifier, [sounds], tmp_path / "out.csv")
    assert (summary.asked, summary.scored) == (6, 4)
    reasons = {Path(path).name: reason for path, reason in summary.skipped}
    assert "changed while it was read" in reasons["01.wav"]
    assert "02.wav" in reasons["02.wav"]


def test_times_on_the_clock(classifier: Path, tmp_path: Path) -> None:
    write_sound(tmp_path / "20240501_235959.WAV", 3.0, 3)
    detect(classifier, [tmp_path / "20240501_235959.WAV"], tmp_path / "out.csv", threshold=0.3)
    rows = read(tmp_path / "out.csv")
    assert rows
    for row in rows:
        begin = np.datetime64("2024-05-01T23:59:59") + np.timedelta64(round(1000 * float(row["start_s"])), "ms")
        assert np.datetime64(row["recorded_at"]) == begin


def test_a_collection_without_the_windows_is_refused_with_what_to_do(
    classifier: Path, collection: Collection, sounds: Path, model: str, tmp_path: Path
) -> None:
    collection.index([sounds], model=model, window_s=1.0, hop_s=1.0)
    with pytest.raises(ConfigError, match=rf"axlstm index .* -m {model} --window-s 1 --hop-s 0.5 --name"):
        detect(classifier, [collection.folder], tmp_path / "out.csv")
    with pytest.raises(ConfigError, match="is a collection: give it alone"):
        detect(classifier, [collection.folder, sounds], tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["birds.collection", "sounds"]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--model", "nowhere"], "model=nowhere"),
        (["--revision", "main"], "revision=main"),
        (["--batch-windows", "3"], "batch_windows=3"),
    ],
)
def test_options_of_the_encoder_are_refused_with_a_collection(
    classifier: Path, collection: Collection, tmp_path: Path, capsys: Capture, option: list[str], told: str
) -> None:
    assert main(["detect", str(classifier), str(collection.folder), "-o", str(tmp_path / "out.csv"), *option]) == 1
    assert f"{told}: {collection.folder} is a collection, which is scored without an encoder" in capsys.readouterr().err


def test_recordings_of_a_collection_without_windows_are_skipped(
    classifier: Path, collection: Collection, sounds: Path, model: str, tmp_path: Path, capsys: Capture
) -> None:
    collection.index([sounds], model=model, window_s=1.0, hop_s=0.5)
    write_sound(sounds / "new.wav", 2.0, 9)
    collection.index([sounds / "new.wav"], model="logmel", window_s=1.0)
    shutil.rmtree(sounds)  # not needed
    assert main(["detect", str(classifier), str(collection.folder), "-o", str(tmp_path / "out.csv")]) == 0
    told = capsys.readouterr().out
    assert "6 scored, 1 skipped" in told
    assert "new.wav: no windows of small in the collection; axlstm index makes them" in told


def test_an_encoder_that_is_not_there_any_more_is_told(sounds: Path, model: str, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(model, tmp_path / "here")
    classifier = save_classifier(tmp_path / "wren.model", str(tmp_path / "here"))
    shutil.move(tmp_path / "here", moved)
    with pytest.raises(ConfigError, match="name the model"):
        detect(classifier, [sounds], tmp_path / "out.csv")
    assert detect(classifier, [sounds], tmp_path / "out.csv", model=str(moved)).scored == 6
    assert not (tmp_path / "out.csv.parts").exists()


def test_the_encoder_s_own_options_hold(sounds: Path, model: str, tmp_path: Path) -> None:
    classifier = save_classifier(tmp_path / "wren.model", model, pooling="mean+deviation")
    for more in ([], ["--model", model], ["--batch-windows", "1"]):
        assert main(["detect", str(classifier), str(sounds), "-o", str(tmp_path / "out.csv"), *more]) == 0


@pytest.mark.parametrize(
    ("out", "options", "told"),
    [
        ("out.doc", {}, "tells no format; end it with .csv or .parquet, or say --format"),
        ("out.csv", {"format": "excel"}, "expected one of csv, parquet"),
        ("out.csv", {"scores": "out.csv"}, "ends with .parquet"),
        ("out.parquet", {"scores": "out.parquet"}, "a name of its own"),
        ("out.csv", {"threshold": 2.0}, "threshold=2"),
    ],
)
def test_options_that_do_not_fit(
    classifier: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, options: Any, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=told):
        detect(classifier, [sounds], out, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["sounds"]


def test_a_damaged_classifier_and_a_missing_file_are_told(classifier: Path, sounds: Path, tmp_path: Path) -> None:
    shutil.copytree(classifier, tmp_path / "wren.model")
    (tmp_path / "wren.model" / "head.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=r"head\.safetensors: damaged"):
        detect(tmp_path / "wren.model", [sounds], tmp_path / "out.csv")
    with pytest.raises(ValueError, match=r"nowhere\.wav"):
        detect(classifier, [sounds / "nowhere.wav"], tmp_path / "out.csv")


def test_an_interrupted_run_that_had_written_its_tracks_is_done(
    classifier: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tracks"

    def fail(*_: Any) -> None:
        raise WriteError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(ScoreParts, "clear", fail)
        with pytest.raises(WriteError, match="killed"):
            detect(classifier, [sounds], out, format="audacity")
    assert detect(classifier, [sounds], out, format="audacity").there == 6
    assert detect(classifier, [sounds], out, format="audacity").there == 0
    with pytest.raises(ConfigError, match="other label tracks are there already"):
        detect(classifier, [sounds], out, format="audacity", threshold=0.99)
    (out / "mine.wav").write_bytes(b"")
    with pytest.raises(ConfigError, match="there already"):
        detect(classifier, [sounds], out, format="audacity")


def test_parts_of_another_command_stay(classifier: Path, sounds: Path, tmp_path: Path) -> None:
    others = tmp_path / "out.parquet.parts" / "part-000000.npz"
    others.parent.mkdir()
    others.write_bytes(b"of axlstm embed")
    detect(classifier, [sounds], tmp_path / "out.parquet")
    assert [path.name for path in others.parent.glob("part*")] == [others.name]


def test_a_full_disk_keeps_what_is_finished(
    classifier: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = parts.write_scores, 0

    def full(*given: Any) -> int:
        nonlocal written
        written += 1
        if written > 2:
            raise OSError(28, "No space left on device")
        return write(*given)

    monkeypatch.setattr(work, "_PART_FILES", 1)
    with monkeypatch.context() as patch:
        patch.setattr(parts, "write_scores", full)
        with pytest.raises(WriteError, match=r"run the same command again.* Finished parts are kept in .*parts"):
            detect(classifier, [sounds], tmp_path / "out.csv")
    assert run.detect(classifier, [sounds], tmp_path / "out.csv").there == 2
