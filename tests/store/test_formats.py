"""Embeddings on the disk: three formats with one content."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from axlstm.errors import AxlstmError, ConfigError, WriteError
from axlstm.store.formats import read_paths, read_pieces, read_records, read_settings, write_records
from axlstm.store.records import ClipRecord, StoreSettings

RNG = np.random.default_rng(0)


def record(name: str, frames: int) -> ClipRecord:
    values = RNG.standard_normal((frames, 6)).astype(np.float32)
    times = np.arange(frames, dtype=np.float32) * 40 + 15
    return ClipRecord(name, 0.04 * frames, values.mean(axis=0), values, times)


def records(scene: bool, frames: bool) -> list[ClipRecord]:
    full = [record("a, with comma.wav", 3), record("ünï.wav", 1), record("c.wav", 400)]
    return [
        ClipRecord(
            one.path,
            one.duration_s,
            one.scene if scene else None,
            one.frames if frames else None,
            one.timestamps_ms if frames else None,
        )
        for one in full
    ]


@pytest.mark.parametrize(
    ("suffix", "scene", "frames"),
    [
        *((suffix, scene, frames) for suffix in (".parquet", ".npz") for scene, frames in [(1, 0), (0, 1), (1, 1)]),
        (".csv", 1, 0),
        (".csv", 0, 1),
    ],
)
def test_round_trip(suffix: str, scene: int, frames: int, tmp_path: Path) -> None:
    settings = StoreSettings("model", "f00d", 6, bool(scene), bool(frames))
    expected = records(bool(scene), bool(frames))
    path = tmp_path / f"out{suffix}"
    write_records(path, settings, iter(expected))
    assert read_settings(path) == settings
    for got, want in zip(read_records(path), expected, strict=True):
        assert (got.path, got.duration_s) == (want.path, want.duration_s)
        for a, b in ((got.scene, want.scene), (got.frames, want.frames), (got.timestamps_ms, want.timestamps_ms)):
            if b is None:
                assert a is None
            else:
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_clips_come_and_go_in_pieces(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 7 frames are written, and pieces of at most 50 are read; joined, they are the same clip."""
    monkeypatch.setattr(f"axlstm.store{suffix}.PIECE_FRAMES", 50)
    settings = StoreSettings("model", "f00d", 6, suffix != ".csv", True)
    whole = records(settings.scene, True)
    pieces = [
        ClipRecord(
            one.path, one.duration_s, one.scene, one.frames[start : start + 7], one.timestamps_ms[start : start + 7]
        )
        for one in whole
        for start in range(0, len(one.frames), 7)
    ]
    path = tmp_path / f"e{suffix}"
    write_records(path, settings, iter(pieces))
    assert max(len(piece.frames) for piece in read_pieces(path)) <= 50
    assert read_paths(path) == [one.path for one in whole]
    for got, want in zip(read_records(path), whole, strict=True):
        assert (got.path, got.duration_s) == (want.path, want.duration_s)
        np.testing.assert_array_equal(got.frames, want.frames)
        np.testing.assert_array_equal(got.timestamps_ms, want.timestamps_ms)
        np.testing.assert_array_equal(got.scene, want.scene)
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            assert file["path"].tolist() == read_paths(path)
            assert file["frame_offsets"].tolist() == [0, 3, 4, 404]


def test_parquet_is_for_everybody(tmp_path: Path) -> None:
    write_records(tmp_path / "e.parquet", StoreSettings("m", "f00d", 6, True, True), records(True, True))
    table = pq.read_table(tmp_path / "e.parquet")
    facts = ["path", "duration_s", "model", "fingerprint", "size_bytes", "modified", "place", "quick_digest", "digest"]
    assert table.column_names == [*facts, "scene", "timestamps_ms", "frames"]
    assert table["fingerprint"].to_pylist() == ["f00d"] * 3
    assert np.array(table["frames"][2].as_py()).shape == (400, 6)


def test_csv_has_a_row_a_frame(tmp_path: Path) -> None:
    write_records(tmp_path / "e.csv", StoreSettings("m", "f00d", 6, False, True), records(False, True))
    with (tmp_path / "e.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 404
    assert rows[1]["timestamp_ms"] == "55.0"


def test_npz_holds_no_pickles(tmp_path: Path) -> None:
    write_records(tmp_path / "e.npz", StoreSettings("m", "f00d", 6, True, True), records(True, True))
    with np.load(tmp_path / "e.npz", allow_pickle=False) as file:
        assert file["frame_offsets"].tolist() == [0, 3, 4, 404]
        assert file["frames"].shape == (404, 6)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path, settings = tmp_path / "e.parquet", StoreSettings("m", "f00d", 6)
    write_records(path, settings, records(True, False))
    before = path.read_bytes()

    def broken():
        yield records(True, False)[0]
        raise OSError("no space left")

    with pytest.raises(WriteError, match=r"e\.parquet: cannot be written \(no space left\)"):
        write_records(path, settings, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_format_cannot_hold() -> None:
    with pytest.raises(ConfigError, match=r"expected a name that ends with \.parquet, \.npz, \.csv"):
        write_records(Path("e.xlsx"), StoreSettings("m", "f", 6), [])
    with pytest.raises(ConfigError, match="not both"):
        write_records(Path("e.csv"), StoreSettings("m", "f", 6, True, True), [])
    with pytest.raises(ConfigError, match="nothing to keep"):
        StoreSettings("m", "f", 6, False, False)


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_foreign_files_are_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(AxlstmError, match="not a file of embeddings"):
        read_settings(path)


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_a_record_without_what_is_kept_is_refused(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.wav: the record has no scene"):
        write_records(tmp_path / f"e{suffix}", StoreSettings("m", "f", 6), [ClipRecord("a.wav", 1.0)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_files_of_earlier_versions_are_read(suffix: str) -> None:
    """Files in the folder ``earlier`` were written by version 0.1 and are never written again."""
    path = Path(__file__).parent / "earlier" / f"e{suffix}"
    assert read_settings(path) == StoreSettings("model", "f00d", 4, scene=suffix != ".csv", frames=True)
    assert read_paths(path) == ["a.wav", "ünï.wav"]
    for got, frames in zip(read_records(path), (2, 3), strict=True):
        values = np.arange(4 * frames, dtype=np.float32).reshape(frames, 4)
        np.testing.assert_array_equal(got.frames, values)
        np.testing.assert_array_equal(got.timestamps_ms, 40 * np.arange(frames) + 15)
        if suffix != ".csv":
            np.testing.assert_array_equal(got.scene, 2 * values[0])
