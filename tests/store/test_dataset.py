"""Folders of parts hold the rows that one file would, and other libraries read them as they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm.cli import main
from axlstm.embed.window_lengths import Windows
from axlstm.errors import AudioError, ConfigError
from axlstm.parts.accounts import account_name, rows_name
from axlstm.parts.drive import Report
from axlstm.parts.folders import LocalFolder
from axlstm.parts.plan import Limits
from axlstm.store import dataset, planned
from axlstm.store.batch import embed_files
from axlstm.store.dataset import embed_dataset
from axlstm.store.formats import read_records
from axlstm.store.records import ClipRecord
from tests.parts.corpora import write_bytes_column, write_hub, write_tar, write_zip
from tests.parts.made import one_by_one
from tests.shards.made import write_sound


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(folder))


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    for number in range(7):
        write_sound(folder / f"{number}.wav", 1.0 + 0.3 * number, number)
    (folder / "broken.wav").write_text("no sound")
    (folder / "notes.txt").touch()
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    return folder


def embed(sounds: Path, out: Path, model: str, **options: Any) -> Report:
    options = {"runner": one_by_one, "limits": Limits(3, 100.0), **options}
    return embed_dataset(model, [str(sounds)], str(out), **options)


def rows(paths: Iterable[Path]) -> list[ClipRecord]:
    return [record for path in sorted(paths) for record in read_records(path)]


def same(ours: list[ClipRecord], theirs: list[ClipRecord]) -> None:
    assert [(one.key, one.duration_s) for one in ours] == [(one.key, one.duration_s) for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        for name in ("scene", "frames", "timestamps_ms", "start_s", "end_s"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    "kept", [{}, {"frames": True}, {"windows": Windows(0.8, 0.4)}], ids=["scene", "frames", "windows"]
)
@pytest.mark.parametrize("long_s", [600.0, 2.0], ids=["short", "some long"])
def test_parts_hold_the_rows_of_one_file(
    model: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: dict[str, Any], long_s: float
) -> None:
    for module in ("planned", "batch"):
        monkeypatch.setattr(f"axlstm.store.{module}.LONG_SECONDS", long_s)
    report = embed(sounds, tmp_path / "out", model, **kept)
    embed_files(axlstm.load_model(model), sorted(sounds.glob("?.wav")), tmp_path / "one.parquet", **kept)
    ours = rows((tmp_path / "out").glob("*.parquet"))
    same(ours, rows([tmp_path / "one.parquet"]))
    summary = report.summary
    assert (summary.parts, summary.asked, summary.embedded, summary.skipped) == (3, 9, 7, 2)
    assert summary.not_sound == {".txt": 1}
    assert summary.rows == sum(max(1, record.windows) for record in ours)
    skipped = [json.loads(line) for line in (tmp_path / "out/_skipped.jsonl").read_text().splitlines()]
    assert {Path(line["path"]).name for line in skipped} == {"broken.wav", "gone.wav"}


@pytest.mark.parametrize("long_s", [600.0, 2.0], ids=["short", "some long"])
@pytest.mark.parametrize(
    ("write", "name"),
    [(write_tar, "a.tar"), (write_zip, "a.zip"), (write_hub, "a.parquet"), (write_bytes_column, "b.parquet")],
)
def test_tar_zip_and_parquet_give_the_rows_of_files(
    model: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, name: str, long_s: float
) -> None:
    monkeypatch.setattr(planned, "LONG_SECONDS", long_s)
    (sounds / "gone.wav").unlink()
    contents = {path.name: path.read_bytes() for path in sorted(sounds.glob("*.wav"))}
    embed(sounds, tmp_path / "files", model)
    summary = embed(write(tmp_path / name, contents), tmp_path / "out", model).summary
    assert (summary.asked, summary.embedded, summary.skipped, summary.missing) == (8, 7, 1, ())
    ours, theirs = (
        {row.origin.digest: row for row in rows((tmp_path / out).glob("*.parquet"))} for out in ("out", "files")
    )
    assert ours.keys() == theirs.keys()
    for digest, row in ours.items():
        np.testing.assert_array_equal(row.get("scene"), theirs[digest].get("scene"))
    (line,) = (tmp_path / "out/_skipped.jsonl").read_text().splitlines()
    assert str(tmp_path / name) in json.loads(line)["path"]
    assert "axlstm-" not in line  # the name of the copy


def test_a_part_twice_gives_the_same_bytes(model: str, sounds: Path, tmp_path: Path) -> None:
    embed(sounds, tmp_path / "out", model)
    part = tmp_path / "out" / rows_name(1)
    before = part.read_bytes()
    (tmp_path / "out" / account_name(1)).unlink()
    assert embed(sounds, tmp_path / "out", model).there == 6
    assert part.read_bytes() == before


def test_a_fault_in_a_long_recording_leaves_none_of_its_rows(
    model: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "LONG_SECONDS", 2.0)
    real = dataset.stream_records

    def records(*arguments: Any) -> Any:
        for record in real(*arguments):
            yield record
            if arguments[1].name == "5.wav":
                raise OSError("the disk is gone")

    monkeypatch.setattr(dataset, "stream_records", records)
    report = embed(sounds, tmp_path / "out", model, windows=Windows(0.5))
    assert {Path(row.path).name for row in rows((tmp_path / "out").glob("*.parquet"))} == {
        f"{number}.wav" for number in (0, 1, 2, 3, 4, 6)
    }
    assert report.summary.reasons["cannot be read any more"] == 1


def test_a_recording_that_changed_since_the_plan_is_skipped_and_told(model: str, sounds: Path, tmp_path: Path) -> None:
    def changing(part_of: Any, parts: Any) -> Any:
        write_sound(sounds / "4.wav", 3.0, 50)
        (sounds / "5.wav").unlink()
        return one_by_one(part_of, parts)

    summary = embed(sounds, tmp_path / "out", model, runner=changing).summary
    assert (summary.embedded, summary.skipped) == (5, 4)
    assert summary.reasons["changed since it was planned"] == 1


def test_other_libraries_read_the_folder_as_it_is(model: str, sounds: Path, tmp_path: Path) -> None:
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    from pyarrow.dataset import dataset as arrow_dataset

    out = tmp_path / "out"
    embed(sounds, out, model)
    expected = {row.path: row.scene for row in rows(out.glob("*.parquet"))}
    found = {
        "duckdb": duckdb.sql(f"SELECT path, scene FROM '{out}/*.parquet'").fetchall(),
        "polars": polars.read_parquet(out / "*.parquet").select("path", "scene").rows(),
        "pyarrow": [(row["path"], row["scene"]) for row in arrow_dataset(out).to_table().to_pylist()],
    }
    for name, table in found.items():
        assert len(table) == len(expected), name
        for path, scene in table:
            np.testing.assert_array_equal(np.array(scene, dtype=np.float32), expected[path], err_msg=name)


def test_a_listing_that_fails_leaves_nothing(tmp_path: Path, model: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match="no sound files"):
        embed(tmp_path / "empty", tmp_path / "out", model)
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_refused(model: str, sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    embed(sounds, out, model)
    with pytest.raises(ConfigError, match=r"planned otherwise .*settings"):
        embed(sounds, out, model, frames=True)
    with pytest.raises(ConfigError, match="a folder that holds"):
        embed(sounds, sounds, model)
    with pytest.raises(ConfigError, match="have processes of their own"):
        embed(sounds, tmp_path / "other", model, engine="processes")
    LocalFolder(out).remove(account_name(0))
    other = axlstm.create_model("axlstm-tiny", seed=1, depth=1, width=16, heads=2)
    kept = tmp_path / "kept"
    shutil.copytree(model, kept)
    try:
        other.save_pretrained(model)
        with pytest.raises(ConfigError, match="settings"):
            embed(sounds, out, model)
    finally:
        shutil.copytree(kept, model, dirs_exist_ok=True)


@pytest.mark.usefixtures("sounds")
def test_the_command_and_its_status(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["embed", "sounds", "-o", "out", "-m", model, "--part-files", "4", "--workers", "2"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert told.startswith("out: 7 embedded in 3 parts, 2 skipped (out/_skipped.jsonl), 1 not sound (1 .txt)\n")
    assert "skipped 1: not a sound file that can be read" in told
    assert main(["status", "out"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("out: complete, 3 of 3 parts\n  9 recordings: 7 done, 2 skipped, 0 to come\n")
    Path("out", rows_name(1)).unlink()
    assert main(command) == 0
    assert "(5 of these recordings were there already)" in capsys.readouterr().out


def test_a_further_run_says_that_the_list_is_the_first_one(
    model: str, sounds: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["embed", "sounds", "-o", "out", "-m", model, "--part-files", "4", "--workers", "1"]
    assert main(command) == 0
    assert "another OUT" not in caplog.text
    write_sound(sounds / "broken.wav", 1.0, 20)
    write_sound(sounds / "new.wav", 1.0, 21)
    assert main(command) == 0
    assert "out: these are the recordings that were listed at first; what has come or changed" in caplog.text
    summary = json.loads(Path("out/_summary.json").read_bytes())
    assert (summary["asked"], summary["embedded"]) == (9, 7)


def test_reasons_that_are_not_shown_are_counted(
    model: str, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        (sounds / f"empty-{name}.wav").touch()
    write_sound(sounds / "short.wav", 0.01, 5)
    soundfile.write(sounds / "nan.wav", np.full(16_000, np.nan, np.float32), 16_000, "FLOAT")
    assert main(["embed", str(sounds), "-o", str(tmp_path / "out"), "-m", model, "--workers", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [int(line.split()[1].rstrip(":")) for line in lines if line.startswith("  skipped ")]
    (more,) = (int(line.split()[1]) for line in lines if line.startswith("  and "))
    assert sum(shown) + more == 6


def test_a_source_that_is_not_there_is_told_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "load_model", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(AudioError, match="nowhere: no such file or folder"):
        embed(tmp_path / "nowhere", tmp_path / "out", "axlstm-tiny")
    assert not (tmp_path / "out").exists()


def test_options_of_parts_need_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", "sounds", "-o", "out.parquet", "--part-files", "4"]) == 1
    assert "--part-files is for parts: give a folder for OUT" in capsys.readouterr().err
    assert main(["embed", "sounds", "-o", "out", "--workers", "0"]) == 1
    assert "--workers 0: expected 1 or more" in capsys.readouterr().err
