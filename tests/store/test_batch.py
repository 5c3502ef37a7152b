"""Embedding folders of files: unreadable files are skipped and listed, and nothing is done twice or lost."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm.cli import main
from axlstm.embed.embedder import Embedder
from axlstm.errors import AudioError, AxlstmError, ConfigError, DataError, WriteError
from axlstm.locks import InUseError
from axlstm.samples import sample_paths
from axlstm.store import batch, parts
from axlstm.store.batch import embed_files
from axlstm.store.formats import read_paths, read_pieces, read_records
from tests.seeded import audio
from tests.store.interrupted import interrupt_at


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


def test_an_embedding_that_is_no_number_costs_its_own_file_only(
    embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = next(file for file in files if file.suffix == ".ogg")

    def check(_: object, *names: str) -> None:
        if str(bad) in names:
            raise AudioError(f"{bad}: its embedding holds NaN")

    monkeypatch.setattr("axlstm.embed.embedder.check_frames", check)
    seen: list[float] = []
    summary = embed_files(embedder, files, tmp_path / "e.npz", progress=seen.append)
    assert summary.embedded == 5
    assert (str(bad), f"{bad}: its embedding holds NaN") in summary.skipped
    assert sum(seen) == summary.asked == summary.embedded + len(summary.skipped)
    assert str(bad) not in read_paths(tmp_path / "e.npz")


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_interrupted_runs_go_on(
    suffix: str, embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_PART_CLIPS", 2)
    out, whole = tmp_path / f"e{suffix}", tmp_path / f"whole{suffix}"
    with pytest.raises(KeyboardInterrupt):
        embed_files(embedder, files, out, progress=interrupt_at(5))
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
    monkeypatch.setattr(batch, "LONG_SECONDS", 3.5)
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
    """A clip of 140 s is written and merged in pieces of 40 s, and read as one clip."""
    monkeypatch.setattr(batch, "LONG_SECONDS", 100.0)
    for store_format in {suffix, ".npz"}:  # parts are npz
        monkeypatch.setattr(f"axlstm.store{store_format}.PIECE_FRAMES", 1000)
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
    monkeypatch.setattr(batch, "LONG_SECONDS", 50.0)
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
    told = r"made with other settings \(the weights called '\S+' are other ones; fingerprint: .* choose another OUT"
    with pytest.raises(ConfigError, match=told):
        embed_files(other, files, out)
    with pytest.raises(ConfigError, match="frames: False there, True here"):
        embed_files(embedder, files, out, frames=True)
    foreign = tmp_path / "table.parquet"
    foreign.write_text("mine")
    with pytest.raises(AxlstmError, match="not a file of embeddings"):
        embed_files(embedder, files, foreign)
    assert foreign.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"layout": "published"}, "layout: 'time' there, 'published' here"),
        ({"layers": [0, 1]}, "layers: 'last' there, '0, 1' here; size: 80 there, 160 here"),
        ({"dtype": "bfloat16"}, "dtype: 'float32' there, 'bfloat16' here"),
        ({"engine": "openvino"}, "engine: 'torch' there, 'openvino' here"),
        ({"pooling": "mean+deviation"}, "pooling: 'mean' there, 'mean+deviation' here; size: 80 there, 160 here"),
    ],
)
@pytest.mark.parametrize("suffix", ["parquet", "npz", "csv"])
def test_the_settings_that_differ_are_named(
    suffix: str, options: dict[str, Any], told: str, embedder: Embedder, files: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / f"e.{suffix}"
    embed_files(embedder, files[:2], out)
    other = Embedder(embedder.checkpoint, **options)
    if suffix == "csv":  # which has no place for them
        told = "the file does not hold which: the weights, layout, padding, layers, dtype, engine, pooling"
    with pytest.raises(ConfigError, match=re.escape(f"made with other settings ({told}")):
        embed_files(other, files[:2], out)
    named = Embedder(replace(embedder.checkpoint, name="mine"), layers=[0])
    with pytest.raises(ConfigError, match=r"\(model: 'axlstm-tiny-untrained' there, 'mine' here"):
        embed_files(named, files[:2], out)


def test_an_output_that_cannot_be_written(embedder: Embedder, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"e\.parquet: cannot be written"):
        embed_files(embedder, files, tmp_path / "file" / "e.parquet")


def interrupt_after_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    """End the next run between its merge and the removal of its parts."""

    def stop(_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(batch.Parts, "clear", stop)


@pytest.mark.parametrize(("suffix", "frames"), [(".parquet", True), (".npz", True), (".csv", False)])
def test_an_interruption_after_the_merge_doubles_nothing(
    suffix: str, frames: bool, embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"e{suffix}"
    interrupt_after_merge(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        embed_files(embedder, files[:4], out, frames=frames)
    before = list(read_records(out))
    assert embed_files(embedder, files, out, frames=frames).resumed == len(before)
    after = list(read_records(out))
    assert len({record.path for record in after}) == len(after) > len(before)
    for old, new in zip(before, after, strict=False):
        assert old.path == new.path
        if frames:
            np.testing.assert_array_equal(new.frames, old.frames)
    assert not (tmp_path / f"e{suffix}.parts").exists()


def test_two_runs_on_one_output_do_not_meet(embedder: Embedder, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "e.npz"
    code = (
        "import sys; from pathlib import Path; from axlstm.store.claims import claimed\n"
        "with claimed(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(out)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InUseError, match=rf"e\.npz: another run works on it .*process {other.pid} on "):
            embed_files(embedder, files[:3], out)
        other.communicate()
    assert not (tmp_path / "e.npz.parts").exists()
    assert embed_files(embedder, files[:3], out).embedded
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.npz", "sounds"]


def test_parts_are_never_written_over(
    embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_PART_CLIPS", 1)
    out = tmp_path / "e.npz"
    interrupt_after_merge(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        embed_files(embedder, files[:5], out)
    out.unlink()
    parts = sorted((tmp_path / "e.npz.parts").glob("part-*.npz"))
    parts[0].unlink()
    summary = embed_files(embedder, files, out)
    assert summary.embedded + summary.resumed == len(read_paths(out)) == 6


def flip_the_middle(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "empty": lambda _: b"",
    "cut": lambda content: content[:-100],
    "another file": lambda _: b"not a zip file" * 100,
    "a changed byte": flip_the_middle,
    "zeros": lambda content: content[:64] + bytes(len(content) - 128) + content[-64:],
}


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_named_and_redone(
    damage: str,
    frames: bool,
    embedder: Embedder,
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(batch, "_PART_CLIPS", 2)
    out = tmp_path / "e.parquet"
    interrupt_after_merge(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        embed_files(embedder, files, out, frames=frames)
    whole = list(read_records(out))
    out.unlink()
    parts = sorted((tmp_path / "e.parquet.parts").glob("part-*.npz"))
    lost = len(read_paths(parts[1]))
    parts[1].write_bytes(DAMAGES[damage](parts[1].read_bytes()))

    summary = embed_files(embedder, files, out, frames=frames)
    assert (summary.embedded, summary.resumed) == (lost, len(whole) - lost)
    assert f"{parts[1]}: " in caplog.text
    assert "embedded again" in caplog.text
    again = {record.path: record for record in read_records(out)}
    assert len(again) == len(whole)
    for record in whole:
        np.testing.assert_allclose(again[record.path].scene, record.scene, atol=1e-5)
        if frames:
            np.testing.assert_allclose(again[record.path].frames, record.frames, atol=1e-4)
    assert not (tmp_path / "e.parquet.parts").exists()


def test_a_part_that_the_disk_does_not_give_is_kept(
    embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "e.npz"
    interrupt_after_merge(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        embed_files(embedder, files, out)
    out.unlink()
    (part,) = (tmp_path / "e.npz.parts").glob("part-*.npz")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("axlstm.store.npz.read_npy", fail)
    with pytest.raises(DataError, match=rf"{part}: cannot be read .*Input/output error"):
        embed_files(embedder, files, out)
    monkeypatch.undo()
    assert embed_files(embedder, files, out).resumed == 6


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_a_damaged_output_is_named_and_kept(suffix: str, embedder: Embedder, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / f"e{suffix}"
    embed_files(embedder, files[:4], out, scene=False, frames=True)
    content = out.read_bytes()
    for damaged in (flip_the_middle(content), content[:-40], content.replace(b"1", b"2", 1)):
        out.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"e\{suffix}: .*damaged .*Move a damaged output away"):
            embed_files(embedder, files, out, scene=False, frames=True, progress=lambda _: pytest.fail("computed"))
        assert out.read_bytes() == damaged
    out.unlink()
    assert embed_files(embedder, files, out, scene=False, frames=True).embedded == 6
    assert len(read_paths(out)) == 6


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_a_file_named_twice_is_one_row(
    suffix: str, embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, sound = tmp_path / f"e{suffix}", next(file for file in files if file.stat().st_size > 10)
    (tmp_path / "linked").symlink_to(tmp_path / "sounds")
    monkeypatch.chdir(tmp_path)
    spellings = [
        sound,
        sound,
        Path("sounds", sound.name),
        tmp_path / "sounds" / ".." / "sounds" / sound.name,
        tmp_path / "linked" / sound.name,
    ]
    settled: list[float] = []
    scene = suffix != ".csv"
    summary = embed_files(embedder, spellings, out, scene=scene, frames=True, progress=settled.append)
    assert (summary.embedded, summary.resumed, sum(settled)) == (1, 0, 5)
    (record,) = read_records(out)
    assert record.path == str(sound)
    assert len(record.frames) == len(embedder.embed(sound).frames)
    summary = embed_files(embedder, spellings[::-1], out, scene=scene, frames=True)
    assert (summary.embedded, summary.resumed) == (0, 1)
    assert read_paths(out) == [str(sound)]
    copy = shutil.copy(sound, tmp_path / "sounds" / "copy.flac")
    assert embed_files(embedder, [sound, Path(copy)], out, scene=scene, frames=True).embedded == 1


@pytest.mark.parametrize("long_seconds", [0.1, 600.0])
def test_a_full_disk_ends_the_run_and_keeps_what_is_finished(
    long_seconds: float,
    embedder: Embedder,
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "_PART_CLIPS", 2)
    monkeypatch.setattr(batch, "LONG_SECONDS", long_seconds)
    out, write = tmp_path / "e.npz", parts.write_records
    written: list[Path] = []

    def full_after_one(path, settings, records):
        if written:
            list(records)
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, settings, records)
        written.append(path)

    monkeypatch.setattr(parts, "write_records", full_after_one)
    with pytest.raises(WriteError, match=r"cannot be written \(No space left on device\).*run the same command again"):
        embed_files(embedder, files, out)
    monkeypatch.setattr(parts, "write_records", write)
    summary = embed_files(embedder, files, out)
    assert summary.resumed >= 1
    assert summary.embedded + summary.resumed == 6
    assert {Path(path).name for path, _ in summary.skipped} == {"broken.wav", "empty.flac"}


def test_a_file_that_goes_while_it_is_read_is_skipped(
    embedder: Embedder, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "LONG_SECONDS", 0.1)
    sounds = [path for path in files if path.stat().st_size > 10]
    gone, prepare = sounds[2], batch._Work.prepare

    def prepare_and_remove(self, file):
        clip = prepare(self, file)
        gone.unlink(missing_ok=True)
        return clip

    monkeypatch.setattr(batch._Work, "prepare", prepare_and_remove)
    summary = embed_files(embedder, [gone, *sounds[3:]], tmp_path / "e.npz")
    assert [path for path, _ in summary.skipped] == [str(gone)]
    assert summary.embedded == len(sounds[3:])


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_names_that_are_not_utf8(suffix: str, embedder: Embedder, files: list[Path], tmp_path: Path) -> None:
    sound, junk = (Path(os.fsdecode(os.fsencode(files[0].parent) + name)) for name in (b"/caf\xe9.wav", b"/n\xe9.wav"))
    shutil.copy(sample_paths()[0], sound)
    junk.write_text("junk")
    out = tmp_path / f"e{suffix}"
    assert embed_files(embedder, [sound, junk], out).embedded == 1
    assert [Path(path).name for path in read_paths(out)] == [r"caf\xe9.wav"]
    summary = embed_files(embedder, [sound, junk, *files[:3]], out)
    assert summary.resumed == 1
    (name, reason), *_ = [pair for pair in summary.skipped if "xe9" in pair[0]]
    assert r"n\xe9.wav" in name
    assert r"n\xe9.wav" in reason
    assert reason.isprintable()


def test_a_long_flac_that_does_not_say_how_long_it_is(
    embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, piped = tmp_path / "plain.flac", tmp_path / "piped.flac"
    soundfile.write(plain, audio(5.0, 1), 16_000)
    raw = plain.read_bytes()
    fields = int.from_bytes(raw[18:26], "big") >> 36 << 36
    piped.write_bytes(raw[:18] + fields.to_bytes(8, "big") + raw[26:])
    monkeypatch.setattr(batch, "LONG_SECONDS", 1.0)
    assert embed_files(embedder, [plain, piped], tmp_path / "e.npz").embedded == 2
    one, other = read_records(tmp_path / "e.npz")
    assert one.duration_s == other.duration_s == 5.0
    np.testing.assert_array_equal(one.scene, other.scene)


def test_a_name_that_leaves_no_room_for_the_report_is_refused_first(
    embedder: Embedder, files: list[Path], tmp_path: Path
) -> None:
    done: list[float] = []
    with pytest.raises(ConfigError, match=r"cannot be written .*too long"):
        embed_files(embedder, files, tmp_path / ("n" * 245 + ".npz"), progress=done.append)
    assert not done
    assert [path.name for path in tmp_path.iterdir()] == ["sounds"]


def test_the_command_tells_of_names_that_are_not_utf8(
    embedder: Embedder, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xe9j\xe0"))
    folder.mkdir()
    shutil.copy(files[0], folder / "ok.flac")
    (folder / "junk.wav").write_text("junk")
    embedder.save_pretrained(tmp_path / "model")
    assert main(["embed", str(folder), "-o", str(folder / "e.csv"), "-m", str(tmp_path / "model")]) == 0
    told = capsys.readouterr().out
    assert r"d\xe9j\xe0/e.csv: 1 embedded, 1 skipped" in told
    assert r"d\xe9j\xe0/junk.wav: not a sound file" in told
