"""Folders of files: what cannot be read is skipped and told, and nothing is done twice or lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm import batch
from axlstm.batch import embed_files
from axlstm.embedder import Embedder
from axlstm.errors import AxlstmError, ConfigError
from axlstm.samples import sample_paths
from axlstm.store import read_paths, read_pieces, read_records
from tests.seeded import audio


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for path in sample_paths()[:6]:
        shutil.copy(path, folder)
    (folder / "broken.wav").write_text("no sound")
    (folder / "empty.flac").touch()
    return sorted(folder.iterdir())


def test_unreadable_files_are_skipped_and_listed(embedder: Embedder, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "e.parquet"
    seen: list[float] = []
    summary = embed_files(embedder, files, out, frames=True, progress=seen.append)
    assert (summary.embedded, summary.resumed, len(summary.skipped)) == (6, 0, 2)
    assert sum(seen) == len(files)
    lines = [json.loads(line) for line in (tmp_path / "e.parquet.skipped.jsonl").read_text().splitlines()]
    assert {Path(line["path"]).name for line in lines} == {"broken.wav", "empty.flac"}
    assert any("not a sound file" in line["reason"] for line in lines)
    for record in read_records(out):
        expected = embedder.embed(record.path)
        np.testing.assert_allclose(record.scene, expected.scene, atol=1e-5)
        np.testing.assert_allclose(record.frames, expected.frames, atol=1e-4)
        np.testing.assert_array_equal(record.timestamps_ms, expected.timestamps_ms)
        assert record.duration_s == expected.duration_s
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.parquet", "e.parquet.skipped.jsonl", "sounds"]


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_interrupted_runs_go_on(
    suffix: str, embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_PART_CLIPS", 2)
    out, whole = tmp_path / f"e{suffix}", tmp_path / f"whole{suffix}"
    count = 0

    def interrupt(_: float) -> None:
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_files(embedder, files, out, progress=interrupt)
    assert not out.exists()
    summary = embed_files(embedder, files, out)
    assert summary.resumed >= 2
    assert summary.embedded + summary.resumed == 6
    embed_files(embedder, files, whole)
    got = {record.path: record.scene for record in read_records(out)}
    for record in read_records(whole):
        np.testing.assert_allclose(got.pop(record.path), record.scene, atol=1e-5)
    assert not got
    assert not (tmp_path / f"e{suffix}.parts").exists()


def test_a_second_run_does_only_what_is_new(embedder: Embedder, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "e.parquet"
    embed_files(embedder, files[:4], out)
    before = out.stat().st_mtime_ns
    assert embed_files(embedder, files[:4], out).embedded == 0
    assert out.stat().st_mtime_ns == before
    summary = embed_files(embedder, files, out)
    assert summary.resumed + summary.embedded == 6
    assert len(list(read_records(out))) == 6


def test_a_repaired_file_is_taken_up_and_the_report_goes(embedder: Embedder, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "e.npz"
    broken = [path for path in files if path.stat().st_size < 10]
    assert len(embed_files(embedder, files, out).skipped) == 2
    for path in broken:
        shutil.copy(sample_paths()[0], path)
    assert embed_files(embedder, files, out).embedded == 2
    assert not (tmp_path / "e.npz.skipped.jsonl").exists()


@pytest.mark.parametrize("frames", [False, True])
def test_long_files_are_streamed_to_the_same_record(
    frames: bool, embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_files(embedder, files, tmp_path / "whole.npz", frames=frames)
    monkeypatch.setattr(batch, "_LONG_SECONDS", 3.5)
    assert len(embed_files(embedder, files, tmp_path / "streamed.npz", frames=frames).skipped) == 2
    streamed = {record.path: record for record in read_records(tmp_path / "streamed.npz")}
    for whole in read_records(tmp_path / "whole.npz"):
        np.testing.assert_allclose(streamed[whole.path].scene, whole.scene, atol=1e-4)
        assert streamed[whole.path].duration_s == pytest.approx(whole.duration_s, abs=1e-4)
        if frames:
            np.testing.assert_allclose(streamed[whole.path].frames, whole.frames, atol=2e-4)
            np.testing.assert_array_equal(streamed[whole.path].timestamps_ms, whole.timestamps_ms)


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_frames_of_a_long_file_are_never_all_in_memory(
    suffix: str, embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made of 140 s, written and merged in pieces of 40 s, and read as one clip."""
    monkeypatch.setattr(batch, "_LONG_SECONDS", 100.0)
    monkeypatch.setattr("axlstm.store.PIECE_FRAMES", 1000)
    long_file, out = tmp_path / "long.wav", tmp_path / f"e{suffix}"
    wave = audio(140, 1)
    soundfile.write(long_file, wave, 16_000, "FLOAT")
    scene = suffix != ".csv"
    assert embed_files(embedder, [files[0], long_file], out, scene=scene, frames=True).embedded == 2
    assert embed_files(embedder, [*files[:3], long_file], out, scene=scene, frames=True).resumed == 2
    assert max(len(piece.frames) for piece in read_pieces(out)) == 1000
    record = {record.path: record for record in read_records(out)}[str(long_file)]
    expected = embedder.embed(wave, 16_000)
    np.testing.assert_allclose(record.frames, expected.frames, atol=2e-4)
    np.testing.assert_array_equal(record.timestamps_ms, expected.timestamps_ms)
    if scene:
        np.testing.assert_allclose(record.scene, expected.scene, atol=1e-4)
    assert read_paths(out).count(str(long_file)) == 1


def test_a_long_file_that_is_damaged_is_skipped(
    embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged.flac"
    soundfile.write(damaged, audio(100, 1), 16_000)
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    monkeypatch.setattr(batch, "_LONG_SECONDS", 50.0)
    summary = embed_files(embedder, [files[0], damaged, files[1]], tmp_path / "e.npz", frames=True)
    assert summary.embedded == 2
    assert [path for path, _ in summary.skipped] == [str(damaged)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "damaged.flac",
        "e.npz",
        "e.npz.skipped.jsonl",
        "sounds",
    ]


def test_nothing_readable_writes_no_output(embedder: Embedder, files: list[Path], tmp_path: Path) -> None:
    broken = [path for path in files if path.stat().st_size < 10]
    summary = embed_files(embedder, broken, tmp_path / "e.parquet")
    assert (summary.embedded, len(summary.skipped)) == (0, 2)
    assert not (tmp_path / "e.parquet").exists()


def test_other_settings_and_foreign_files_are_not_overwritten(
    embedder: Embedder, files: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "e.parquet"
    embed_files(embedder, files[:3], out)
    other = axlstm.create_model("axlstm-tiny", seed=1, depth=1, width=16, heads=2)
    with pytest.raises(ConfigError, match=r"made with other settings.*fingerprint is .* choose another OUT"):
        embed_files(other, files, out)
    with pytest.raises(ConfigError, match="frames is False there, True now"):
        embed_files(embedder, files, out, frames=True)
    foreign = tmp_path / "table.parquet"
    foreign.write_text("mine")
    with pytest.raises(AxlstmError, match="not a file of embeddings"):
        embed_files(embedder, files, foreign)
    assert foreign.read_text() == "mine"


def test_an_output_that_cannot_be_written(embedder: Embedder, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"e\.parquet: cannot be written"):
        embed_files(embedder, files, tmp_path / "file" / "e.parquet")
