"""Files are known by place and content: what a second run embeds, and what it finds there already."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm.audio.find import find_audio
from axlstm.embed.embedder import Embedder
from axlstm.samples import sample_paths
from axlstm.store import batch
from axlstm.store.batch import Summary, embed_files
from axlstm.store.formats import read_keys, read_paths, read_records, write_records
from axlstm.store.origin import UNKNOWN, Origin, copy_pipe, quick_digest, read_origin
from axlstm.store.records import ClipRecord
from tests.seeded import audio
from tests.store.interrupted import interrupt_at

DAY_NS = 24 * 3600 * 10**9
FORMATS = pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)


def record_card(folder: Path, seed: int, count: int = 3, seconds: float = 1.0) -> list[Path]:
    """Sounds as a recorder without a clock writes them: the same names, sizes and times on every card."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:03d}.wav" for number in range(1, count + 1)]
    for number, file in enumerate(files):
        soundfile.write(file, audio(seconds, seed + number), 16_000)
        os.utime(file, ns=(0, 315532800 * 10**9))
    return files


def counts(summary: Summary) -> tuple[int, int, int]:
    """Numbers of files that were embedded, of those with earlier rows of other content, and there already."""
    parts = (summary.embedded, summary.resumed, len(summary.skipped), sum(summary.not_sound.values()))
    assert summary.asked == sum(parts)
    return summary.embedded, summary.changed, summary.resumed


@FORMATS
@pytest.mark.parametrize("frames", [False, True])
def test_a_second_card_with_the_same_names_sizes_and_times(
    suffix: str, frames: bool, embedder: Embedder, tmp_path: Path
) -> None:
    out, mount = tmp_path / f"e{suffix}", tmp_path / "mount"

    def run() -> Summary:
        return embed_files(embedder, find_audio([mount]), out, scene=not frames or suffix != ".csv", frames=frames)

    first = record_card(mount, 1)
    assert counts(run()) == (3, 0, 0)
    early = list(read_records(out))
    facts = [(file.stat().st_size, file.stat().st_mtime_ns) for file in first]
    second = record_card(mount, 50)
    assert [(file.stat().st_size, file.stat().st_mtime_ns) for file in second] == facts
    assert counts(run()) == (3, 3, 0)
    assert counts(run()) == (0, 0, 3)
    rows = list(read_records(out))
    assert [row.path for row in rows] == 2 * [str(file) for file in first]
    for row, before in zip(rows, early, strict=False):  # the first card's embeddings are not lost
        assert row.key == before.key
        np.testing.assert_array_equal(
            row.get("frames" if frames else "scene"), before.get("frames" if frames else "scene")
        )
    newest = {row.path: row for row in rows}
    for file in second:
        expected = embedder.embed(file)
        got = newest[str(file)].get("frames" if frames else "scene")
        np.testing.assert_allclose(got, expected.frames if frames else expected.scene, atol=1e-4)
    record_card(mount, 1)
    assert counts(run()) == (0, 0, 3)  # the first card again


@FORMATS
def test_rows_keep_what_a_file_is_known_by(suffix: str, embedder: Embedder, tmp_path: Path) -> None:
    out, (file,) = tmp_path / f"e{suffix}", record_card(tmp_path / "mount", 1, 1)
    embed_files(embedder, [file], out)
    [(path, origin)] = read_keys(out)
    facts = file.stat()
    assert (path, origin.size_bytes, origin.modified) == (str(file), facts.st_size, facts.st_mtime_ns)
    assert origin.digest == blake2b(file.read_bytes(), digest_size=16).hexdigest()
    assert origin.place == blake2b(bytes(file.resolve()), digest_size=8).hexdigest()
    assert [row.origin for row in read_records(out)] == [origin]


def test_a_file_that_grew_is_embedded_again(embedder: Embedder, tmp_path: Path) -> None:
    out, (file,) = tmp_path / "e.npz", record_card(tmp_path, 1, 1)
    embed_files(embedder, [file], out)
    soundfile.write(file, audio(2.0, 1), 16_000)
    assert counts(embed_files(embedder, [file], out)) == (1, 1, 0)
    assert [row.duration_s for row in read_records(out)] == [1.0, 2.0]


def test_a_touched_file_is_known(embedder: Embedder, tmp_path: Path) -> None:
    out, files = tmp_path / "e.csv", record_card(tmp_path, 1)
    embed_files(embedder, files, out)
    before = out.read_bytes()
    for file in files:
        file.touch()
    shutil.copy(files[0], tmp_path / "copy.wav")
    (tmp_path / "copy.wav").replace(files[0])  # as programs save: a new file of the same content
    assert counts(embed_files(embedder, files, out)) == (0, 0, 3)
    assert out.read_bytes() == before


@pytest.mark.parametrize("is_touched", [False, True])
def test_a_change_within_a_large_file(is_touched: bool, embedder: Embedder, tmp_path: Path) -> None:
    """At another time the whole content decides; at the same time, sixteen blocks of it."""
    out, (file,) = tmp_path / "e.npz", record_card(tmp_path, 1, 1, seconds=10.0)
    embed_files(embedder, [file], out)
    facts, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)  # between two blocks
    file.write_bytes(content)
    os.utime(file, ns=(0, facts.st_mtime_ns + is_touched * DAY_NS))
    assert counts(embed_files(embedder, [file], out)) == ((1, 1, 0) if is_touched else (0, 0, 1))
    content[-2000:] = bytes(2000)
    file.write_bytes(content)
    os.utime(file, ns=(0, facts.st_mtime_ns))
    assert counts(embed_files(embedder, [file], out)) == (1, 1, 0)


@FORMATS
def test_other_spellings_and_working_directories(
    suffix: str, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"e{suffix}"
    for seed, place in enumerate(("here", "there")):
        record_card(tmp_path / place / "sounds", 10 * seed)
    (tmp_path / "link").symlink_to(tmp_path / "here")

    def run(*sources: str | Path) -> tuple[int, int, int]:
        return counts(embed_files(embedder, find_audio(map(Path, sources)), out))

    monkeypatch.chdir(tmp_path / "here")
    assert run("sounds") == (3, 0, 0)
    assert run("sounds/../sounds", tmp_path / "here" / "sounds", tmp_path / "link") == (0, 0, 3)
    monkeypatch.chdir(tmp_path / "here" / "sounds")
    assert run(".") == (0, 0, 3)
    names = [f"sounds/{number:03d}.wav" for number in (1, 2, 3)]
    assert read_paths(out) == names
    monkeypatch.chdir(tmp_path / "there")  # the same names for other files
    assert run("sounds") == (3, 0, 0)
    assert run("sounds") == run(tmp_path / "there") == (0, 0, 3)
    assert read_paths(out) == names + [str(tmp_path / "there" / name) for name in names]


def test_links_to_files_are_files_of_their_own(embedder: Embedder, tmp_path: Path) -> None:
    """git-annex has two links to one content where two files are equal; their names tell different things."""
    (file,) = record_card(tmp_path / "objects", 1, 1)
    for name in ("monday.wav", "tuesday.wav"):
        (tmp_path / name).symlink_to(file)
    links = [tmp_path / "monday.wav", tmp_path / "tuesday.wav"]
    assert counts(embed_files(embedder, links, tmp_path / "e.npz")) == (2, 0, 0)
    assert counts(embed_files(embedder, links, tmp_path / "e.npz")) == (0, 0, 2)
    assert read_paths(tmp_path / "e.npz") == [str(link) for link in links]


def without_origin(file: Path) -> None:
    """Take away the columns that earlier versions did not write."""
    if file.suffix == ".npz":
        with np.load(file) as loaded:
            columns = {name: loaded[name] for name in loaded.files if not hasattr(UNKNOWN, name)}
        np.savez(file, **columns)
    elif file.suffix == ".csv":
        rows = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()]
        file.write_text("".join(",".join(row[:4] + row[10:]) + "\n" for row in rows), encoding="utf-8")
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(file)
        pq.write_table(table.drop_columns([name for name in table.column_names if hasattr(UNKNOWN, name)]), file)


@FORMATS
def test_an_output_of_an_earlier_version_goes_on_by_path(
    suffix: str, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out, files = Path(f"e{suffix}"), record_card(Path("sounds"), 1)
    embed_files(embedder, files[:2], out)
    scenes = [row.get("scene") for row in read_records(out)]
    without_origin(out)
    assert read_keys(out) == [(str(file), UNKNOWN) for file in files[:2]]
    spellings = [file.absolute() for file in files[:1]] + files
    assert counts(embed_files(embedder, spellings, out)) == (1, 0, 2)
    assert [origin == UNKNOWN for _, origin in read_keys(out)] == [True, True, False]
    for row, scene in zip(read_records(out), scenes, strict=False):
        np.testing.assert_array_equal(row.get("scene"), scene)
    assert counts(embed_files(embedder, files, out)) == (0, 0, 3)


@FORMATS
def test_a_killed_run_knows_its_parts_by_content(
    suffix: str, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_PART_CLIPS", 2)
    out, files = tmp_path / f"e{suffix}", record_card(tmp_path / "mount", 1, 5)
    with pytest.raises(KeyboardInterrupt):
        embed_files(embedder, files, out, progress=interrupt_at(5))
    kept = sum(len(read_keys(part)) for part in (tmp_path / f"e{suffix}.parts").glob("part-*.npz"))
    assert kept >= 2
    record_card(tmp_path / "mount", 50, 1)  # the first file is another now
    assert counts(embed_files(embedder, files, out)) == (5 - kept + 1, 1, kept - 1)
    assert sorted(read_paths(out)) == sorted([str(file) for file in files] + [str(files[0])])
    assert counts(embed_files(embedder, files, out)) == (0, 0, 5)


@pytest.mark.parametrize("long_seconds", [0.5, 600.0])
def test_a_file_that_changes_while_it_is_read_is_skipped(
    long_seconds: float, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder that still writes: digest and sound could be of different contents."""
    monkeypatch.setattr(batch, "LONG_SECONDS", long_seconds)
    files, out = record_card(tmp_path, 1, 2), tmp_path / "e.npz"

    def read_and_write(file: Path, place: str) -> Origin:
        origin = read_origin(file, place)
        if file == files[0]:
            with file.open("ab") as opened:
                opened.write(bytes(100))
        return origin

    monkeypatch.setattr(batch, "read_origin", read_and_write)
    summary = embed_files(embedder, files, out)
    assert counts(summary) == (1, 0, 0)
    [(path, reason)] = summary.skipped
    assert path == str(files[0])
    assert "changed while it was read" in reason
    monkeypatch.undo()
    assert counts(embed_files(embedder, files, out)) == (1, 0, 1)


@contextmanager
def piped(content: bytes) -> Iterator[Path]:
    """A path that gives its bytes once, as ``<(cat FILE)`` does."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)
        writer.join()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
@pytest.mark.parametrize("long_seconds", [0.5, 600.0])
def test_a_pipe_is_read_once_and_known_by_its_content(
    long_seconds: float, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "LONG_SECONDS", long_seconds)
    out, files = tmp_path / "e.parquet", record_card(tmp_path / "sounds", 1, 2)
    contents = [file.read_bytes() for file in files]
    with piped(contents[0]) as pipe:
        assert counts(embed_files(embedder, find_audio([pipe]), out, frames=True)) == (1, 0, 0)
    with piped(contents[0]) as pipe:
        assert counts(embed_files(embedder, [pipe], out, frames=True)) == (0, 0, 1)
    with piped(contents[1]) as pipe:
        assert counts(embed_files(embedder, [pipe], out, frames=True)) == (1, 0, 0)
    for row, file, content in zip(read_records(out), files, contents, strict=True):
        np.testing.assert_allclose(row.get("frames"), embedder.embed(file).frames, atol=2e-4)
        assert row.path.startswith("/dev/fd/")
        assert row.origin == Origin(len(content), digest=blake2b(content, digest_size=16).hexdigest())
    with piped(b"no sound") as pipe:
        [(path, reason)] = embed_files(embedder, [pipe], out, frames=True).skipped
    assert path == str(pipe)
    assert reason.startswith(f"{pipe}: not a sound file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.parquet", "e.parquet.skipped.jsonl", "sounds"]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs sockets with names")
def test_a_socket_that_cannot_be_read_costs_itself_only(embedder: Embedder, tmp_path: Path) -> None:
    files = record_card(tmp_path / "sounds", 1, 2)
    with socket.socket(socket.AF_UNIX) as server, chdir(tmp_path):
        server.bind("line.wav")
        summary = embed_files(embedder, [Path("line.wav"), *files], tmp_path / "e.npz")
    assert (summary.asked, summary.embedded, summary.resumed) == (3, 2, 0)
    [(path, reason)] = summary.skipped
    assert (path, "line.wav: a pipe that cannot be read" in reason) == ("line.wav", True)


def test_a_copy_of_a_pipe_that_fails_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("axlstm.store.origin.read_origin", lambda *_: 1 / 0)
    with piped(b"RIFF") as pipe, pytest.raises(ZeroDivisionError):
        copy_pipe(pipe)
    assert list(tmp_path.iterdir()) == []


def test_everything_that_was_asked_for_is_accounted_for(embedder: Embedder, tmp_path: Path) -> None:
    out, folder = tmp_path / "e.parquet", tmp_path / "folder"
    files = record_card(folder, 1, 4)
    embed_files(embedder, files[:1], out)
    (folder / "notes.txt").write_text("words")
    (folder / "REC0001").write_bytes(sample_paths()[0].read_bytes())
    (folder / "broken.wav").write_text("words")
    (folder / "unfetched.wav").symlink_to("gone.wav")
    (folder / "up").symlink_to(folder)
    settled: list[float] = []
    summary = embed_files(embedder, find_audio([folder, files[2], folder / "up"]), out, progress=settled.append)
    assert counts(summary) == (4, 0, 1)
    assert (summary.asked, len(summary.skipped), summary.not_sound) == (8, 2, {".txt": 1})
    lines = (tmp_path / "e.parquet.skipped.jsonl").read_text().splitlines()
    assert [Path(json.loads(line)["path"]).name for line in lines] == ["unfetched.wav", "broken.wav"]
    assert sum(settled) == 6  # the files
    again = embed_files(embedder, [*files, *files, folder / "broken.wav"], out)
    assert counts(again) == (0, 0, 4)
    assert again.asked == 5  # what is named twice is one


def test_pointers_to_what_is_not_fetched_say_how_to_fetch_it(embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "annex.wav").write_text("/annex/objects/SHA256E-s32044--0123456789abcdef.wav\n")
    (tmp_path / "lfs.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 32044\n")
    summary = embed_files(embedder, find_audio([tmp_path]), tmp_path / "e.npz")
    assert counts(summary) == (0, 0, 0)
    assert ["git annex get" in reason for _, reason in summary.skipped] == [True, False]
    assert "git lfs pull" in summary.skipped[1][1]


def test_the_quick_digest_sees_head_tail_size_and_all_of_a_small_file(tmp_path: Path) -> None:
    def quick(content: bytes) -> str:
        (tmp_path / "x").write_bytes(content)
        with (tmp_path / "x").open("rb") as file:
            return quick_digest(file, len(content))

    rng = np.random.default_rng(0)
    for size in (0, 1, 4096, 5000, 65_536, 65_537, 1_000_000):
        content = bytearray(rng.bytes(size))
        seen = {quick(bytes(content)), quick(bytes(content) + b"x")}
        steps = range(0, size, 997) if size <= 65_536 else (0, 4095, size - 4096, size - 1)
        for at in steps:
            content[at] ^= 1
            seen.add(quick(bytes(content)))
        assert len(seen) == 2 + len(steps)


@FORMATS
def test_rows_of_one_path_and_different_contents_stay_apart(suffix: str, tmp_path: Path) -> None:
    settings = batch.StoreSettings("m", "f00d", 4, suffix != ".csv", True)
    values = np.arange(24, dtype=np.float32).reshape(6, 4)
    times = np.arange(6, dtype=np.float32)
    clip = ClipRecord("a.wav", 1.0, values[0], values, times, Origin(10, 5, "p", "q", "d1"))
    pieces = [
        replace(clip, frames=values[part], timestamps_ms=times[part], origin=origin)
        for origin in (clip.origin, replace(clip.origin, digest="d2"), UNKNOWN)
        for part in (slice(0, 4), slice(4, 6))
    ]
    write_records(tmp_path / f"e{suffix}", settings, pieces)
    rows = list(read_records(tmp_path / f"e{suffix}"))
    assert [row.origin.digest for row in rows] == ["d1", "d2", ""]
    assert read_keys(tmp_path / f"e{suffix}") == [row.key for row in rows]
    for row in rows:
        np.testing.assert_array_equal(row.get("frames"), values)


def test_a_second_run_decodes_nothing(embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, files = tmp_path / "e.parquet", record_card(tmp_path / "mount", 1)
    embed_files(embedder, files, out)
    monkeypatch.delattr(batch, "file_facts")
    monkeypatch.delattr(batch, "read_origin")
    assert counts(embed_files(embedder, files, out)) == (0, 0, 3)
