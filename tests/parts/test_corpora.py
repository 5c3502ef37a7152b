"""Recordings inside tar, zip and parquet files: each is found once, read alone, and damage is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from axlstm.errors import AudioError
from axlstm.parts.contents import fetch
from axlstm.parts.entries import Entry
from axlstm.parts.listing import Listing
from tests.parts.corpora import write_bytes_column, write_hub, write_tar, write_zip

CONTENTS = {f"deep/{number}.wav": bytes([number]) * (1000 + 300_000 * (number == 3)) for number in range(7)}
WRITERS = [
    (write_tar, "a.tar"),
    (write_zip, "a.zip"),
    (write_hub, "a.parquet"),
    (write_bytes_column, "b.parquet"),
]
every_kind = pytest.mark.parametrize(("write", "name"), WRITERS, ids=["tar", "zip", "hub", "bytes"])
Write = Callable[[Path, dict[str, bytes]], Path]


def listed(*sources: Path) -> tuple[list[Entry], dict[str, int]]:
    listing = Listing([str(source) for source in sources], without="out")
    return list(listing), dict(listing.not_sound)


def content(entry: Entry, tmp_path: Path) -> bytes:
    copy = fetch(entry, "/", tmp_path)
    found = copy.read_bytes()
    copy.unlink()
    return found


@every_kind
def test_each_recording_is_found_once_and_read_in_any_order(tmp_path: Path, write: Write, name: str) -> None:
    entries, _ = listed(write(tmp_path / name, CONTENTS))
    assert len({entry.path for entry in entries}) == len(entries) == 7
    order = [3, 0, 6, 5, 1, 2, 4]
    assert [content(entries[at], tmp_path) for at in order] == [list(CONTENTS.values())[at] for at in order]
    assert entries == [Entry.from_line(entry.to_line()) for entry in entries]


def test_names(tmp_path: Path) -> None:
    paths = [
        [entry.path.removeprefix(f"{tmp_path}/") for entry in listed(write(tmp_path / name, CONTENTS))[0]]
        for write, name in WRITERS
    ]
    assert [found[2] for found in paths] == [
        *("a.tar/deep/2.wav", "a.zip/deep/2.wav", "a.parquet/2-2.wav", "b.parquet/2"),
    ]


def test_members_that_are_not_sound_are_counted(tmp_path: Path) -> None:
    contents = {"a.wav": b"1", "a.json": b"2", "b.wav": b"3", "b.json": b"4", "c.cls": b"5", "__MACOSX/._a.wav": b"6"}
    expected = {".json": 2, ".cls": 1, "._*": 1}
    for file in (write_tar(tmp_path / "a.tar", contents), write_zip(tmp_path / "a.zip", contents)):
        entries, not_sound = listed(file)
        assert ([Path(entry.path).name for entry in entries], not_sound) == (["a.wav", "b.wav"], expected)


@every_kind
def test_a_file_that_is_cut_short_is_told(tmp_path: Path, write: Write, name: str) -> None:
    path = write(tmp_path / name, CONTENTS)
    os.truncate(path, path.stat().st_size // 2)
    entries, _ = listed(path)
    assert entries[-1].path == str(path)
    assert "file that can be read to its end" in entries[-1].skip
    assert len(entries) == (5 if name == "a.tar" else 1)


@pytest.mark.parametrize("keep", ["without the end mark", "with a damaged header"])
def test_a_tar_that_may_have_lost_members_is_told(tmp_path: Path, keep: str) -> None:
    path = write_tar(tmp_path / "a.tar", CONTENTS)
    raw = bytearray(path.read_bytes())
    if keep == "without the end mark":
        last = raw.rindex(b"deep/6.wav")
        path.write_bytes(raw[: last + 512 + 1024])
    else:
        at = raw.rindex(b"deep/6.wav")
        raw[at + 150] ^= 0xFF
        path.write_bytes(raw)
    entries, _ = listed(path)
    assert "a tar file that can be read to its end" in entries[-1].skip
    assert len([entry for entry in entries if not entry.skip]) == (7 if keep == "without the end mark" else 6)


def test_a_damaged_member_is_skipped_and_no_other(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", CONTENTS)
    entries, _ = listed(path)
    raw = path.read_bytes()
    facts = path.stat()
    path.write_bytes(raw.replace(b"\x04" * 1000, b"\x05" * 1000))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    with pytest.raises(AudioError, match=r"a.zip/deep/4.wav: cannot be read \(Bad CRC-32"):
        content(entries[4], tmp_path)
    assert content(entries[5], tmp_path) == CONTENTS["deep/5.wav"]


@every_kind
def test_a_file_that_changed_or_is_gone_is_told(tmp_path: Path, write: Write, name: str) -> None:
    path = write(tmp_path / name, CONTENTS)
    entries, _ = listed(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(AudioError, match="changed since it was planned"):
        content(entries[0], tmp_path)
    path.unlink()
    with pytest.raises(AudioError, match="not there any more"):
        content(entries[1], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_links_and_encrypted_members_are_skipped_with_a_reason(tmp_path: Path) -> None:
    import tarfile

    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("a.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    (entry,), _ = listed(path)
    assert entry.skip.startswith("a link or a device")


def test_a_table_without_audio_is_told(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"label": [1]}), tmp_path / "a.parquet")
    (entry,), _ = listed(tmp_path / "a.parquet")
    assert "no column with the bytes of sounds among label" in entry.skip


def test_a_row_without_bytes_is_told(tmp_path: Path) -> None:
    path = write_hub(tmp_path / "a.parquet", {"a.wav": b"1", "b.wav": None})  # type: ignore[dict-item]
    entries, _ = listed(path)
    assert content(entries[0], tmp_path) == b"1"
    with pytest.raises(AudioError, match="a row without bytes"):
        content(entries[1], tmp_path)
