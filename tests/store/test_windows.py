"""Files with a row for each window: three formats with one content, whole or not at all, in flat memory."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

import axlstm
from axlstm.embed.embedder import Embedder
from axlstm.embed.windows import Windows
from axlstm.errors import AudioError, AxlstmError, ConfigError
from axlstm.model.pooling import pool
from axlstm.show.describe import describe
from axlstm.store import batch
from axlstm.store.batch import embed_files
from axlstm.store.formats import (
    check_whole,
    count_rows,
    read_paths,
    read_pieces,
    read_records,
    read_settings,
    write_records,
)
from axlstm.store.origin import Origin
from axlstm.store.records import ClipRecord, StoreSettings
from tests.seeded import audio
from tests.store.interrupted import interrupt_at

RATE = 16_000
SUFFIXES = (".parquet", ".npz", ".csv")
SETTINGS = StoreSettings("m", "f00d", 6, window_s=2.0, hop_s=0.5)
WINDOWS = Windows(1.0, 0.4)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Sounds of less than a window, of several, and of two minutes."""
    files = []
    for name, seconds in (("a", 0.6), ("b", 3.1), ("c", 130.0), ("d", 2.2)):
        files.append(tmp_path / f"{name}.wav")
        soundfile.write(files[-1], audio(seconds, len(files)), RATE, "FLOAT")
    return files


def record(name: str, count: int) -> ClipRecord:
    start_s = 0.5 * np.arange(count)
    end_s = np.minimum(start_s + 2, 0.5 * count + 1)
    scene = np.random.default_rng(count).standard_normal((count, 6)).astype(np.float32)
    return ClipRecord(name, end_s[-1], scene, origin=Origin(1, 2, "p", name, "d"), start_s=start_s, end_s=end_s)


def cut(one: ClipRecord, begin: int, end: int) -> ClipRecord:
    arrays = {name: one.get(name)[begin:end] for name in ("scene", "start_s", "end_s")}
    return ClipRecord(one.path, one.duration_s, origin=one.origin, **arrays)


WHOLE = [record("a, with comma.wav", 3), record("ünï.wav", 1), record("c.wav", 400)]
PIECES = [cut(one, begin, begin + 7) for one in WHOLE for begin in range(0, one.windows, 7)]


def assert_same(got: ClipRecord, want: ClipRecord) -> None:
    assert (got.key, got.duration_s) == (want.key, want.duration_s)
    for name in ("scene", "start_s", "end_s"):
        np.testing.assert_array_equal(got.get(name), want.get(name))
        assert got.get(name).dtype == want.get(name).dtype


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_windows_come_and_go_in_pieces(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"axlstm.store{suffix}.PIECE_FRAMES", 50)
    path = tmp_path / f"e{suffix}"
    write_records(path, SETTINGS, iter(PIECES))
    assert read_settings(path) == SETTINGS
    assert read_paths(path) == [one.path for one in WHOLE]
    assert count_rows(path) == 404
    assert max(piece.windows for piece in read_pieces(path)) <= 50
    for got, want in zip(read_records(path), WHOLE, strict=True):
        assert_same(got, want)


def test_every_format_has_a_row_a_window(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        write_records(tmp_path / f"e{suffix}", SETTINGS, PIECES)
    facts = ["path", "duration_s", "model", "fingerprint", "size_bytes", "modified", "place", "quick_digest", "digest"]
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.column_names == [*facts, "start_s", "end_s", "scene"]
    with (tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lengths = ["window_s", "hop_s", "start_s", "end_s"]
    assert [name for name in rows[0] if "crc32" not in name] == [*facts, *lengths, *(f"e{i}" for i in range(6))]
    with np.load(tmp_path / "e.npz", allow_pickle=False) as arrays:
        assert {name: len(arrays[name]) for name in arrays.files if arrays[name].ndim} == dict.fromkeys(
            ["path", "duration_s", *facts[4:], "start_s", "end_s", "scene"], 404
        )
        paths = [one.path for one in WHOLE for _ in range(one.windows)]
        assert arrays["path"].tolist() == table["path"].to_pylist() == [row["path"] for row in rows] == paths
        starts = arrays["start_s"].tolist()
        assert table["start_s"].to_pylist() == [float(row["start_s"]) for row in rows] == starts
        assert starts[:4] == [0, 0.5, 1, 0]
        assert rows[403]["hop_s"] == "0.5"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("pooling", ["mean", "mean+deviation"])
def test_rows_are_the_windows_of_each_file(
    suffix: str, pooling: Any, embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long files are streamed into the same rows as short ones are, and runs go on."""
    embedder = Embedder(embedder.checkpoint, pooling=pooling)
    monkeypatch.setattr(batch, "LONG_SECONDS", 100.0)
    out = tmp_path / f"e{suffix}"
    summary = embed_files(embedder, files[:3], out, windows=WINDOWS)
    rows = 1 + 7 + 324
    assert (summary.embedded, summary.windows) == (3, rows)
    assert embed_files(embedder, files[:3], out, windows=WINDOWS).windows == 0
    assert embed_files(embedder, files, out, windows=WINDOWS).resumed == 3
    assert count_rows(out) == rows + 4
    assert describe(str(out))["windows"] == f"{rows + 4} of 1 s, every 0.4 s"
    assert describe(str(out))["clips"] == 4
    for path, stored in zip(files, read_records(out), strict=True):
        assert stored.path == str(path)
        clip = embedder.embed(path)
        assert stored.duration_s == stored.get("end_s")[-1] == clip.duration_s
        for row, start_s, end_s in zip(stored.get("scene"), stored.get("start_s"), stored.get("end_s"), strict=True):
            # In ms, which all bounds and times here are whole numbers of: 400 k is not always 1000 * (0.4 * k).
            inside = (clip.timestamps_ms >= round(1000 * start_s)) & (clip.timestamps_ms < round(1000 * end_s))
            assert inside.any()
            np.testing.assert_allclose(row, pool(torch.from_numpy(clip.frames[inside]), pooling), atol=2e-4)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_windows_of_other_lengths_are_refused(
    suffix: str, embedder: Embedder, files: list[Path], tmp_path: Path
) -> None:
    out, plain = tmp_path / f"e{suffix}", tmp_path / f"plain{suffix}"
    embed_files(embedder, files[:2], out, windows=WINDOWS)
    embed_files(embedder, files[:2], plain)
    for path, windows, told in (
        (out, Windows(2, 0.4), "(window_s: 1.0 there, 2.0 here)"),
        (out, Windows(1, 1), "(hop_s: 0.4 there, 1.0 here)"),
        (out, None, "(window_s: 1.0 there, None here; hop_s: 0.4 there, None here)"),
        (plain, WINDOWS, "(window_s: None there, 1.0 here; hop_s: None there, 0.4 here)"),
    ):
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=re.escape(f"{path} was made with other settings {told}: choose")):
            embed_files(embedder, files, path, windows=windows)
        assert path.read_bytes() == before


def test_an_interrupted_run_keeps_files_whole(
    embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "LONG_SECONDS", 100.0)
    monkeypatch.setattr(batch, "_PART_CLIPS", 1)
    out = tmp_path / "e.parquet"
    with pytest.raises(KeyboardInterrupt):
        embed_files(embedder, files, out, windows=WINDOWS, progress=interrupt_at(4))
    with pytest.raises(ConfigError, match=r"part-\d+\.npz was made with other settings \(window_s: 1.0 there, 3.0"):
        embed_files(embedder, files, out, windows=Windows(3))
    summary = embed_files(embedder, files, out, windows=WINDOWS)
    assert summary.resumed >= 2
    assert [one.windows for one in read_records(out)] == [1, 7, 324, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav", "c.wav", "d.wav", "e.parquet"]


def test_a_long_file_that_fails_leaves_no_window(
    embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "LONG_SECONDS", 100.0)
    given = Embedder.windows

    def broken(*arguments: Any) -> Any:
        yield next(given(*arguments))
        raise AudioError("damaged in its second minute")

    monkeypatch.setattr(Embedder, "windows", broken)
    summary = embed_files(embedder, files, tmp_path / "e.npz", windows=WINDOWS)
    assert (summary.embedded, summary.windows) == (3, 12)
    assert summary.skipped == ((str(files[2]), "damaged in its second minute"),)
    assert read_paths(tmp_path / "e.npz") == [str(file) for file in files if file.name != "c.wav"]


def test_what_makes_no_sense_beside_windows_is_refused(embedder: Embedder, files: list[Path], tmp_path: Path) -> None:
    kept = r"each row is the scene embedding of a window: leave out --frames and --no-scene"
    for more in ({"frames": True}, {"scene": False, "frames": True}):
        with pytest.raises(ConfigError, match=kept):
            embed_files(embedder, files, tmp_path / "e.npz", windows=WINDOWS, **more)
    published = Embedder(embedder.checkpoint, layout="published")
    with pytest.raises(ConfigError, match="layout='published': its frames mix moments"):
        embed_files(published, files, tmp_path / "e.npz", windows=WINDOWS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav", "c.wav", "d.wav"]


def test_settings_without_windows_are_written_as_they_always_were() -> None:
    plain = StoreSettings("m", "f00d", 6, options={"layout": "time"})
    values = {"model": "m", "fingerprint": "f00d", "size": 6, "scene": True, "frames": False, "frame_size": None}
    assert plain.to_json() == json.dumps({**values, "options": {"layout": "time"}})
    assert StoreSettings.from_json(plain.to_json()) == plain
    assert StoreSettings.from_json(SETTINGS.to_json()) == SETTINGS


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hop_s": None}, "expected both or neither"),
        ({"window_s": None}, "expected both or neither"),
        ({"window_s": 0.1}, "expected 0.2 seconds or more"),
        ({"hop_s": 3.0}, "hop_s=3 is longer than window_s=2"),
        ({"hop_s": "1"}, "hop_s is '1', expected"),
        ({"window_s": float("nan")}, "window_s is nan, expected"),
        ({"frames": True}, "each row is the scene embedding of a window"),
    ],
)
def test_settings_of_windows_that_are_none_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        StoreSettings.from_json(json.dumps({**asdict(SETTINGS), **changes}))


def change_npz(path: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays[name])
    np.savez(path, **arrays)


def change_parquet(path: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    table = pq.read_table(path)
    values = table[name].to_numpy().copy()
    change(values)
    pq.write_table(table.set_column(table.column_names.index(name), name, pa.array(values)), path)


def change_csv(path: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    values = np.array([row[header.index(name)] for row in rows], dtype=np.float64)
    change(values)
    for row, value in zip(rows, values.tolist(), strict=True):
        row[header.index(name)] = str(value)
    seal = next(index for index, column in enumerate(header) if column.startswith("crc32_"))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*row[:seal], *row[seal + 1 :]] for row in (header, *rows))


CHANGES: dict[str, tuple[str, int, float]] = {
    "a start that is no number": ("start_s", 2, np.nan),
    "an end that is no number": ("end_s", 5, np.nan),
    "a start before the recording": ("start_s", 0, -0.5),
    "an end before its start": ("end_s", 9, 0.25),
    "an end behind the recording": ("end_s", 403, 1e6),
    "an end at infinity": ("end_s", 7, np.inf),
    "windows that go back": ("start_s", 20, 0.0),
}


@pytest.mark.parametrize("wrong", CHANGES)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bounds_that_are_none_are_told(suffix: str, wrong: str, tmp_path: Path) -> None:
    """Checksums fit: the file was changed by something that knows the format."""
    path = tmp_path / f"e{suffix}"
    write_records(path, SETTINGS, PIECES)
    name, index, value = CHANGES[wrong]

    def change(values: np.ndarray) -> None:
        values[index] = value

    {".npz": change_npz, ".parquet": change_parquet, ".csv": change_csv}[suffix](path, name, change)
    check_whole(path)
    with pytest.raises(AxlstmError, match=rf"e\{suffix}: .*damaged \(.*: window \d+ from \S+ to \S+ s of a recording"):
        list(read_records(path))


def test_records_of_windows_that_do_not_fit_are_refused() -> None:
    one = WHOLE[0]
    parts = {"scene": one.scene, "start_s": one.start_s, "end_s": one.end_s}
    for name in parts:
        with pytest.raises(ConfigError, match=rf"a\.wav: (the record has no {name}|.* starts and)"):
            ClipRecord("a.wav", one.duration_s, **{**parts, name: None})
        with pytest.raises(ConfigError, match=r"a\.wav: \d starts and \d ends of \d windows"):
            ClipRecord("a.wav", one.duration_s, **{**parts, name: parts[name][:2]})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_record_without_windows_is_refused(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.wav: the record has no start_s, which the settings of the file keep"):
        write_records(tmp_path / f"e{suffix}", SETTINGS, [ClipRecord("a.wav", 1.0, np.zeros(6, np.float32))])
    assert not list(tmp_path.iterdir())
