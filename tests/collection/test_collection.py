"""Opening a collection: whole, half-copied, damaged, of another version, and by several at once."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from axlstm.cli import main
from axlstm.collection import schema
from axlstm.collection.collection import Collection, create, open
from axlstm.collection.description import is_collection
from axlstm.collection.parts import Rows, Waiting, map_part, to_float16, write_part
from axlstm.collection.upkeep import relocate
from axlstm.errors import AudioError, ConfigError, DamageError, DataError, WriteError
from axlstm.locks import InUseError, locked
from axlstm.seals import seal_object


def change_description(folder: Path, **values: object) -> None:
    path = folder / "collection.json"
    about = {**json.loads(path.read_text()), **values}
    about.pop("crc32")
    path.write_text(json.dumps(seal_object(about)))


def test_a_collection_of_a_newer_version(collection: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    collection.close()
    change_description(collection.folder, version=99)
    with pytest.raises(DataError, match="version 99, and this package knows 1: install a newer axlstm"):
        open(collection.folder)
    assert main(["collection", "verify", str(collection.folder)]) == 1
    assert "install a newer axlstm" in capsys.readouterr().err


def test_tables_of_a_newer_version(collection: Collection) -> None:
    collection.tables.execute("PRAGMA user_version = 99")
    collection.close()
    with pytest.raises(DataError, match=r"tables of version 99.*install a newer axlstm"):
        open(collection.folder)


@pytest.mark.parametrize(
    ("name", "told"),
    [("collection.json", "half-copied collection; copy the whole"), ("collection.sqlite", "half-copied collection")],
)
def test_a_half_copied_collection(collection: Collection, name: str, told: str) -> None:
    collection.close()
    (collection.folder / name).unlink()
    with pytest.raises(DataError, match=told):
        open(collection.folder)


def test_a_collection_on_a_disk_that_cannot_be_written(
    collection: Collection, sounds: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    collection.close()
    monkeypatch.setattr(schema, "_is_read_only", lambda _: True)
    before = sorted(collection.folder.rglob("*"))
    with open(collection.folder) as opened:
        assert len(opened.search("01.wav", count=3)) == 3
        assert sorted(path for path in collection.folder.rglob("*") if "cache" not in path.parts) == before
        with pytest.raises(WriteError, match=r"cannot be written.*Allow it"):
            opened.label("01.wav", "wren", 0, 1)
    Path(f"{collection.folder / 'collection.sqlite'}-wal").write_bytes(b"something")
    with pytest.raises(DataError, match="copied while it was open"):
        open(collection.folder)


def test_a_copy_without_parts(collection: Collection, sounds: Path, model: str) -> None:
    collection.index([sounds], model=model, window_s=1.0)
    for part in (collection.folder / "parts").iterdir():
        part.unlink()
    with pytest.raises(DamageError, match="is not there: copy the whole collection, or index its recordings again"):
        list(collection.rows(collection.encoder()))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"format": "other", "version": 1}'])
def test_a_damaged_description(collection: Collection, content: bytes) -> None:
    collection.close()
    (collection.folder / "collection.json").write_bytes(content)
    with pytest.raises(DamageError, match=r"collection\.json: damaged"):
        open(collection.folder)


def test_a_description_with_another_checksum(collection: Collection) -> None:
    collection.close()
    path = collection.folder / "collection.json"
    path.write_text(path.read_text().replace("created_at", "created_On"))
    with pytest.raises(DamageError, match="checksum"):
        open(collection.folder)


def test_tables_that_are_no_database(collection: Collection) -> None:
    collection.close()
    for leftover in collection.folder.glob("collection.sqlite-*"):
        leftover.unlink()
    (collection.folder / "collection.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(DamageError, match="put back a copy of the whole collection"):
        open(collection.folder)


def test_tables_whose_damage_is_quoted(collection: Collection) -> None:
    """SQLite quotes what it cannot read, which may be no text."""
    collection.close()
    path = collection.folder / "collection.sqlite"
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE labels (", b"CREATE TABLE labels \xdf"))
    with pytest.raises(DamageError, match=r"collection\.sqlite: damaged .*put back a copy"):
        open(collection.folder)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no collection"):
        open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="a file"):
        open(tmp_path / "file")
    assert not is_collection(tmp_path)
    with pytest.raises(ConfigError, match="not empty"):
        create(tmp_path, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"file"}
    create(tmp_path / "made", tmp_path).close()
    with pytest.raises(ConfigError, match="a collection already"):
        create(tmp_path / "made", tmp_path)
    with pytest.raises(ConfigError, match="expected a folder"):
        create(tmp_path / "new", tmp_path / "file")


def test_a_collection_whose_making_was_killed_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    create(folder, tmp_path).close()
    (folder / "collection.json").unlink()  # which is written last
    with create(folder, tmp_path) as collection:
        assert collection.root == tmp_path.resolve()


def test_two_processes_do_not_make_one_collection(tmp_path: Path) -> None:
    with locked(tmp_path / "c"), pytest.raises(InUseError):
        create(tmp_path / "c", tmp_path)


def test_another_process_holds_the_tables(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_BUSY_MS", 50)
    other = sqlite3.connect(collection.folder / "collection.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        open(collection.folder) as waiting,
        pytest.raises(WriteError, match="wait for it to end"),
        waiting.transaction(),
    ):
        pass
    other.close()


def test_a_transaction_is_whole_or_nothing(collection: Collection) -> None:
    def change() -> None:
        with collection.transaction():
            collection.tables.execute("INSERT INTO skipped VALUES ('a', 'b', 'c')")
            raise KeyError

    with pytest.raises(KeyError):
        change()
    assert not collection.tables.execute("SELECT * FROM skipped").fetchall()


def test_names_with_other_bytes(tmp_path: Path) -> None:
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    with create(tmp_path / "c", tmp_path) as collection:
        assert collection.name_of(tmp_path / name) == "caf\\xe9.wav"
        assert collection.place_of("caf\\xe9.wav") == tmp_path / name


def test_a_root_with_other_bytes(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        root.mkdir()
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    with create(tmp_path / "c", root) as collection:
        assert collection.root == root
        assert collection.name_of(root / "a.wav") == "a.wav"
        assert collection.place_of("a.wav") == root / "a.wav"
        relocate(collection, tmp_path)
        relocate(collection, root)
        assert collection.root == root


def rows(count: int, size: int = 4) -> Rows:
    rng = np.random.default_rng(0)
    start = np.arange(count, dtype=np.float64)
    return Rows(np.arange(count), start, start + 1, rng.standard_normal((count, size)).astype(np.float16))


@pytest.mark.parametrize("in_memory", [1 << 20, 10])
def test_rows_that_waited_are_those_that_were_added(
    tmp_path: Path, in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axlstm.collection.parts._MOST_IN_MEMORY", in_memory)
    whole = rows(10)
    with Waiting(4, tmp_path) as waiting:
        waiting.add(whole.cut(0, 3))
        waiting.add(whole.cut(3, 7))
        write_part(tmp_path / "part", waiting.rows())
    read = map_part(tmp_path / "part", 10, 4)
    np.testing.assert_array_equal(read.vectors, whole.vectors)
    np.testing.assert_array_equal(read.recording, whole.recording)
    np.testing.assert_array_equal(read.end_s, whole.end_s)
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


@pytest.mark.parametrize(("count", "size"), [(9, 4), (10, 5)])
def test_a_part_of_another_form(tmp_path: Path, count: int, size: int) -> None:
    write_part(tmp_path / "part", rows(10))
    with pytest.raises(DamageError, match="damaged"):
        map_part(tmp_path / "part", count, size)


def test_vectors_that_float16_cannot_hold() -> None:
    with pytest.raises(AudioError, match=r"x\.wav"):
        to_float16(np.array([[1e6]], dtype=np.float32), "x.wav")
    with pytest.raises(AudioError, match="no numbers"):
        to_float16(np.array([[np.nan]], dtype=np.float32), "x.wav")
