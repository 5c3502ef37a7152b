"""Looking after a collection: what the commands do, and what they say."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from axlstm.cli import main
from axlstm.collection import changes
from axlstm.collection.changes import list_parts
from axlstm.collection.collection import Collection, create, open
from axlstm.collection.folder import CollectionFolder, EncoderEntry, Span
from axlstm.collection.labels.table import count_labels, undo
from axlstm.collection.merging import merge
from axlstm.collection.parts import Rows
from axlstm.collection.upkeep import compact, relocate, remove
from axlstm.errors import ConfigError, DamageError, DataError, WriteError
from axlstm.locks import InUseError
from tests.collection.made import label, labelled, make_sounds, vectors_of
from tests.shards.made import write_sound

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def indexed(collection: Collection, sounds: Path, model: str) -> Collection:
    collection.index([sounds], model=model, window_s=1.0)
    return collection


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[path], two[path]) for path in one)


def test_info(indexed: Collection, capsys: Capture) -> None:
    label(indexed, "01.wav")
    remove(indexed, ["02.wav"])
    for command in (["info"], ["collection", "info"]):
        assert main([*command, str(indexed.folder)]) == 0
        out = re.sub(" +", " ", capsys.readouterr().out)
        assert "recordings 5 of 0.0 h, and 1 removed" in out
        assert "labels wren (1, 1 yes)" in out
        assert "encoder small" in out
        assert "23 of 1 s, every 0.5 s" in out
        assert "without windows no recording" in out
        assert "not in use 4 windows; axlstm collection compact removes them" in out


def test_all_that_was_skipped_is_listed(collection: Collection, sounds: Path, model: str, capsys: Capture) -> None:
    for number in range(12):
        (sounds / f"broken{number:02d}.wav").write_bytes(b"no sound")
    command = ["index", str(sounds), "-o", str(collection.folder), "-m", model, "--window-s", "1"]
    assert main(command) == 0
    assert f"axlstm collection info {collection.folder} --skipped lists all" in capsys.readouterr().out
    assert main(["collection", "info", str(collection.folder), "--skipped"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert all(f"broken{number:02d}.wav: " in line for number, line in enumerate(lines))


def test_verify_finds_nothing_wrong(indexed: Collection, capsys: Capture) -> None:
    assert main(["collection", "verify", str(indexed.folder), "--recordings"]) == 0
    assert capsys.readouterr().out.endswith("birds.collection: sound\n")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE spans SET rows = rows + 1000 WHERE recording = 6", "are said to be rows"),
        ("UPDATE spans SET rows = 0 WHERE recording = 6", "are said to be rows"),
        ("UPDATE spans SET first_row = 0 WHERE recording = 6", "rows of another one|another one in the part"),
        ("UPDATE spans SET first_row = first_row + 1, rows = rows - 1 WHERE recording = 6", None),
        ("UPDATE spans SET recording = 5 WHERE recording = 6 AND 0", None),
        ("UPDATE parts SET crc32 = '00000000'", "damaged, as its checksum tells: 6 recordings; delete it"),
        ("UPDATE parts SET state = 'unused'", "part 1 is not there"),
        ("PRAGMA foreign_keys = OFF", None),
    ],
)
def test_verify_names_what_the_tables_say_wrongly(
    indexed: Collection, statement: str, told: str | None, capsys: Capture
) -> None:
    indexed.tables.execute(statement)
    assert main(["collection", "verify", str(indexed.folder)]) == (told is not None)
    assert re.search(told or "sound", capsys.readouterr().out)


def test_verify_names_foreign_keys_and_damaged_tables(indexed: Collection, capsys: Capture) -> None:
    indexed.tables.execute("PRAGMA foreign_keys = OFF")
    indexed.tables.execute("DELETE FROM recordings WHERE id = 3")
    indexed.close()
    assert main(["collection", "verify", str(indexed.folder)]) == 1
    assert "of spans is of none of recordings" in capsys.readouterr().out
    path = indexed.folder / "collection.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)
    assert main(["collection", "verify", str(indexed.folder)]) == 1
    captured = capsys.readouterr()
    assert "put back a copy of the whole collection" in captured.out + captured.err


def test_verify_reads_recordings_if_asked(indexed: Collection, sounds: Path, capsys: Capture) -> None:
    (sounds / "01.wav").unlink()
    content = bytearray((sounds / "02.wav").read_bytes())
    content[-5] ^= 1
    (sounds / "02.wav").write_bytes(content)
    assert main(["collection", "verify", str(indexed.folder)]) == 0
    assert main(["collection", "verify", str(indexed.folder), "--recordings"]) == 1
    out = capsys.readouterr().out
    assert "01.wav: not there" in out
    assert "02.wav: changed since it was indexed" in out
    assert out.endswith("2 faults\n")


def test_a_part_that_verify_names_is_made_again(indexed: Collection, sounds: Path) -> None:
    before = vectors_of(indexed)
    (part,) = list_parts(indexed)
    (indexed.folder / part.file).unlink()
    assert indexed.index([sounds]).embedded == 6
    assert same(vectors_of(indexed), before)


def test_removed_recordings_are_gone_until_they_are_asked_for(
    indexed: Collection, sounds: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(indexed, "site0/00.wav")
    monkeypatch.chdir(sounds.parent)
    assert main(["collection", "remove", str(indexed.folder), "site0", "sounds/01.wav"]) == 0
    out = capsys.readouterr().out
    assert "3 removed: " in out
    assert "1 labels are kept" in out
    assert sorted(vectors_of(indexed)) == ["02.wav", "04.wav", "05.wav"]
    assert labelled(indexed) == {"site0/00.wav": False}
    assert main(["collection", "remove", str(indexed.folder), "site0", "02.wav"]) == 0
    assert "1 removed: 02.wav; 2 had been removed before" in capsys.readouterr().out
    assert indexed.index([sounds]).embedded == 4


def test_nothing_is_removed_if_a_path_is_wrong(indexed: Collection, sounds: Path, capsys: Capture) -> None:
    assert main(["collection", "remove", str(indexed.folder), "01.wav", "bird.wav", "site"]) == 1
    assert "no recordings of bird.wav, site; nothing was removed" in capsys.readouterr().err
    assert main(["collection", "remove", str(indexed.folder)]) == 1
    assert len(vectors_of(indexed)) == 6
    (sounds / "01.wav").unlink()
    assert remove(indexed, [], gone=True).paths == ("01.wav",)
    shutil.rmtree(sounds)
    with pytest.raises(ConfigError, match="connect its disk"):
        remove(indexed, [], gone=True)
    assert len(vectors_of(indexed)) == 5


def test_a_path_that_may_be_two_is_not_removed(
    indexed: Collection, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sound(sounds / "site0" / "01.wav", 1.0, 60)
    indexed.index([sounds])
    monkeypatch.chdir(sounds / "site0")
    with pytest.raises(ConfigError, match=r"01\.wav may be below the root or below this folder"):
        remove(indexed, ["01.wav"])
    with pytest.raises(ConfigError, match="no recordings of"):
        remove(indexed, [""])
    assert remove(indexed, ["./01.wav"]).paths == ("site0/01.wav",)
    assert remove(indexed, ["01.wav"]).paths == ("01.wav",)


def test_compacting_drops_what_is_not_in_use(
    indexed: Collection, capsys: Capture, monkeypatch: pytest.MonkeyPatch, sounds: Path
) -> None:
    monkeypatch.setattr(changes, "_FEW_ROWS", 1)
    write_sound(sounds / "more.wav", 5.0, 99)
    indexed.index([sounds])
    assert len(list_parts(indexed)) == 2
    remove(indexed, ["01.wav", "more.wav"])
    before = vectors_of(indexed)
    mean = indexed.statistics(indexed.encoder())[0]
    assert main(["collection", "compact", str(indexed.folder)]) == 0
    assert "2 parts of" in capsys.readouterr().out
    (part,) = list_parts(indexed)
    assert part.rows == sum(map(len, before.values()))
    assert same(vectors_of(indexed), before)
    assert [path.name for path in (indexed.folder / "parts").iterdir()] == [Path(part.file).name]
    assert not np.array_equal(mean, indexed.statistics(indexed.encoder())[0])
    with pytest.raises(ConfigError, match="no recordings of"):
        remove(indexed, ["."])  # the folder of the disk that this runs in, not that of the recordings
    remove(indexed, [sounds])
    compact(indexed)
    assert not list_parts(indexed)
    with pytest.raises(DataError, match="no windows"):
        indexed.statistics(indexed.encoder())


def test_compacting_does_not_seal_damage(indexed: Collection) -> None:
    (part,) = list_parts(indexed)
    path = indexed.folder / part.file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    remove(indexed, ["01.wav"])
    with pytest.raises(DamageError, match="damaged, as its checksum tells; delete it, and axlstm index"):
        compact(indexed)
    assert list_parts(indexed) == [part]


def test_a_full_disk_while_compacting(indexed: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, _: object) -> str:
        raise WriteError(f"{path}: cannot be written (No space left on device)")

    remove(indexed, ["01.wav"])
    before = vectors_of(indexed)
    with monkeypatch.context() as patched:
        patched.setattr(changes, "write_part", write)
        with pytest.raises(WriteError):
            compact(indexed)
    assert same(vectors_of(indexed), before)
    compact(indexed)
    assert same(vectors_of(indexed), before)


def test_recordings_that_moved_as_a_whole(indexed: Collection, sounds: Path, tmp_path: Path, capsys: Capture) -> None:
    before = vectors_of(indexed)
    shutil.move(sounds, tmp_path / "elsewhere")
    write_sound(tmp_path / "elsewhere" / "01.wav", 0.5, 1)
    assert main(["collection", "relocate", str(indexed.folder), str(tmp_path / "elsewhere")]) == 0
    out = capsys.readouterr().out
    assert "5 of 6 recordings found in" in out
    assert "missing, or of another size: 01.wav" in out
    assert indexed.index([tmp_path / "elsewhere"]).there == 5
    after = vectors_of(indexed)
    assert {path for path in before if not np.array_equal(before[path], after[path])} == {"01.wav"}


def test_a_root_without_any_recording_is_refused(indexed: Collection, sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="none of the 6 recordings is there"):
        relocate(indexed, tmp_path / "empty")
    with pytest.raises(ConfigError, match="no folder"):
        relocate(indexed, tmp_path / "nowhere")
    assert indexed.root == sounds


def test_recordings_outside_of_the_root_come_inside(collection: Collection, model: str, tmp_path: Path) -> None:
    far = write_sound(tmp_path / "far" / "x.wav", 1.0, 1)
    collection.index([far], model=model)
    relocate(collection, tmp_path)
    assert list(vectors_of(collection)) == ["far/x.wav"]
    assert collection.index([far]).there == 1


def test_merging(indexed: Collection, sounds: Path, model: str, tmp_path: Path, capsys: Capture) -> None:
    """Recordings with the same content are there once, whatever their paths; vectors and labels come along."""
    label(indexed, "01.wav")
    theirs = make_sounds(tmp_path / "theirs", 2)
    shutil.copy(sounds / "02.wav", theirs / "same.wav")
    write_sound(theirs / "new.wav", 3.0, 70)
    with create(tmp_path / "other", theirs) as other:
        other.index([theirs], model=model, window_s=1.0)
        other.index([theirs], model="logmel", window_s=1.0)
        other.index([theirs], model=model, name="logmel-2", window_s=2.0)
        label(other, "01.wav")
        label(other, "new.wav")
        label(other, "same.wav")
        expected = vectors_of(other, "small")["new.wav"]
    indexed.index([sounds], model=model, name="logmel", window_s=3.0)
    before = vectors_of(indexed, "small")
    assert main(["collection", "merge", str(indexed.folder), str(tmp_path / "other")]) == 0
    out = capsys.readouterr().out
    assert "1 recordings, " in out
    assert "3 recordings were there" in out
    assert "its encoder logmel is another one than the one here, and is called logmel-2 now" in out
    assert "its encoder logmel-2 is another one than the one here, and is called logmel-2-2 now" in out
    new = (theirs / "new.wav").as_posix()
    after = vectors_of(indexed, "small")
    assert same({path: after[path] for path in before}, before)
    assert set(after) - set(before) == {new}
    np.testing.assert_array_equal(after[new], expected)
    assert set(vectors_of(indexed, "logmel-2")) == {"site0/00.wav", "01.wav", "02.wav", new}
    assert set(labelled(indexed)) == {"01.wav", "02.wav", new}
    assert main(["collection", "verify", str(indexed.folder), "--recordings"]) == 0
    with open(tmp_path / "other") as other:
        again = merge(indexed, other)
    assert (again.recordings, again.windows, again.labels, again.renamed) == (0, 0, 0, ())
    with pytest.raises(ConfigError, match="one collection"):
        merge(indexed, indexed)


def test_nothing_to_merge_is_told(indexed: Collection, capsys: Capture) -> None:
    assert main(["collection", "merge", str(indexed.folder)]) == 1
    assert "nothing to merge: name the other collections" in capsys.readouterr().err


def test_merging_other_content_at_the_same_path(indexed: Collection, sounds: Path, model: str, tmp_path: Path) -> None:
    before = vectors_of(indexed)
    write_sound(sounds / "01.wav", 2.0, 80)
    with create(tmp_path / "other", sounds) as other:
        other.index([sounds], model=model, window_s=1.0)
        label(other, "01.wav")
        done = merge(indexed, other)
    assert (done.recordings, done.shared, done.other_content, done.labels) == (0, 5, ("01.wav",), 1)
    assert same(vectors_of(indexed), before)
    assert labelled(indexed) == {"01.wav": False}


def test_merging_brings_back_what_was_removed_here(
    indexed: Collection, sounds: Path, model: str, tmp_path: Path
) -> None:
    """Its windows come again, and labels of its first life are its own; at a path that is taken it stays removed."""
    before = vectors_of(indexed)
    label(indexed, "01.wav")
    with create(tmp_path / "other", sounds) as other:
        other.index([sounds], model=model, window_s=1.0)
        remove(indexed, [sounds / "01.wav", "02.wav"])
        write_sound(sounds / "02.wav", 1.0, 90)
        indexed.index([sounds / "02.wav"])
        done = merge(indexed, other)
        assert (done.recordings, done.shared, done.other_content) == (1, 4, ("02.wav",))
        after = vectors_of(indexed)
        np.testing.assert_array_equal(after["01.wav"], before["01.wav"])
        assert len(after["02.wav"]) == 1
        assert labelled(indexed) == {"01.wav": True}
        again = merge(indexed, other)
    assert (again.recordings, again.shared, again.windows) == (0, 5, 0)
    assert indexed.tables.execute("SELECT count(*) FROM recordings WHERE path = '02.wav'").fetchone()[0] == 2


def test_merging_fills_what_is_not_known_here(indexed: Collection, sounds: Path, model: str, tmp_path: Path) -> None:
    table = tmp_path / "sites.csv"
    table.write_text("path,latitude,longitude,device,site\n01.wav,52.5,13.4,moth,A\n")
    with create(tmp_path / "other", sounds) as other:
        other.index([sounds], model=model, window_s=1.0, metadata=table)
        table.write_text("path,device,site\n01.wav,mine,B\n")
        indexed.index([sounds], metadata=table)
        merge(indexed, other)
    row = indexed.tables.execute("SELECT * FROM recordings WHERE path = '01.wav'").fetchone()
    assert (row["latitude"], row["longitude"], row["device"]) == (52.5, 13.4, "mine")
    assert indexed.metadata_of(row["metadata"])["site"] == "B"


def test_labels_that_were_taken_back_stay_so_when_collections_are_merged(
    indexed: Collection, sounds: Path, model: str, tmp_path: Path
) -> None:
    with create(tmp_path / "other", sounds) as other:
        other.index([sounds], model=model, window_s=1.0)
        there, here, earlier = (other.label("01.wav", name, 0, 1) for name in ("wren", "owl", "robin"))
        undo(other, [earlier])
        assert merge(indexed, other).labels == 2
        undo(other, [there])
        undo(indexed, [here])
        assert merge(indexed, other).labels == 0
    assert count_labels(indexed) == []


def test_a_collection_that_another_process_changes_is_not_merged(
    indexed: Collection, sounds: Path, tmp_path: Path
) -> None:
    with create(tmp_path / "other", sounds) as other, other.alone(), pytest.raises(InUseError, match="other"):
        merge(indexed, other)


def test_a_damaged_collection_is_not_merged(indexed: Collection, sounds: Path, model: str, tmp_path: Path) -> None:
    with create(tmp_path / "other", sounds) as other:
        other.index([sounds], model=model, window_s=2.0, name="long")
        (other.folder / list_parts(other)[0].file).unlink()
        with pytest.raises(DamageError, match="is not there; delete it"):
            merge(indexed, other)
    assert len(indexed.encoders()) == 1


def test_what_another_process_does_in_the_middle_of_an_export(
    indexed: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The windows are those of the beginning: recordings that are removed then, and parts that are rewritten, too."""
    rows = CollectionFolder.rows

    def then_compact(self: CollectionFolder, encoder: EncoderEntry) -> list[Rows]:
        found = rows(self, encoder)
        monkeypatch.undo()
        with open(indexed.folder) as other:
            remove(other, ["01.wav"])
            compact(other)
        return found

    monkeypatch.setattr(CollectionFolder, "rows", then_compact)
    out = tmp_path / "windows.parquet"
    assert main(["collection", "export", str(indexed.folder), "-o", str(out)]) == 0
    assert set(pyarrow.parquet.read_table(out, columns=["path"])["path"].to_pylist()) >= {"01.wav", "02.wav"}


def test_parts_that_another_process_merges_while_they_are_mapped(
    indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = np.concatenate([rows.vectors for rows in indexed.rows(indexed.encoder())])
    read = CollectionFolder._read_spans

    def then_compact(self: CollectionFolder, encoder: EncoderEntry) -> tuple[list[Span], list[Any]]:
        found = read(self, encoder)
        monkeypatch.undo()
        with open(indexed.folder) as other:
            remove(other, ["05.wav"])
            compact(other)
        return found

    monkeypatch.setattr(CollectionFolder, "_read_spans", then_compact)
    after = np.concatenate([rows.vectors for rows in indexed.rows(indexed.encoder())])
    assert len(after) < len(before)
    assert {vector.tobytes() for vector in after} < {vector.tobytes() for vector in before}


def test_parquet(indexed: Collection, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axlstm.collection.exporting._BLOCK_ROWS", 4)
    out = tmp_path / "windows.parquet"
    assert main(["collection", "export", str(indexed.folder), "-o", str(out)]) == 0
    assert f"{out}: 27 windows" in capsys.readouterr().out
    table = pyarrow.parquet.read_table(out)
    rows = [row for row in table.to_pylist() if row["path"] == "02.wav"]
    np.testing.assert_array_equal([row["vector"] for row in rows], vectors_of(indexed)["02.wav"])
    assert [(row["start_s"], row["end_s"]) for row in rows] == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.5)]
    assert {row["metadata"] for row in rows} == {"{}"}
    about = json.loads(table.schema.metadata[b"axlstm"])
    assert about["encoder"]["fingerprint"] == indexed.encoder().fingerprint
    assert main(["collection", "export", str(indexed.folder), "-o", str(tmp_path / "windows.csv")]) == 1
    assert "ends with .parquet" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["lancedb", "hoplite"])
def test_a_library_that_is_missing_is_named(
    indexed: Collection, tmp_path: Path, format: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    monkeypatch.setitem(sys.modules, "perch_hoplite", None)
    out = tmp_path / "out"
    assert main(["collection", "export", str(indexed.folder), "-f", format, "-o", str(out)]) == 1
    assert f'this format needs the extra {format}: pip install "axlstm[{format}]"' in capsys.readouterr().err
    assert not out.exists()


def test_lancedb(indexed: Collection, tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb")
    out = tmp_path / "lance"
    command = ["collection", "export", str(indexed.folder), "-f", "lancedb", "-o", str(out)]
    assert main(command) == 0
    table = lancedb.connect(str(out)).open_table("windows")
    assert table.count_rows() == 27
    vectors = vectors_of(indexed)["02.wav"].astype(np.float32)
    (nearest,) = table.search(vectors[1]).limit(1).to_list()
    assert (nearest["path"], nearest["start_s"]) == ("02.wav", 0.5)
    assert main(command) == 1  # it is there


def test_hoplite(indexed: Collection, tmp_path: Path) -> None:
    hoplite = pytest.importorskip("perch_hoplite.db.sqlite_usearch_impl")
    label(indexed, "02.wav")
    out = tmp_path / "hoplite"
    assert main(["collection", "export", str(indexed.folder), "-f", "hoplite", "-o", str(out)]) == 0
    database = hoplite.SQLiteUSearchDB.create(str(out))
    assert database.count_embeddings() == 27
    (recording,) = [one for one in database.get_all_recordings() if one.filename == "02.wav"]
    windows = [one for one in database.get_all_windows() if one.recording_id == recording.id]
    assert [list(window.offsets) for window in windows] == [[0, 1], [0.5, 1.5], [1, 2], [1.5, 2.5]]
    stored = [database.get_embedding(window.id) for window in windows]
    np.testing.assert_array_equal(stored, vectors_of(indexed)["02.wav"])
    (annotation,) = database.get_all_annotations()
    assert (annotation.label, int(annotation.label_type), annotation.recording_id) == ("wren", 1, recording.id)
    database.db.close()


def test_one_process_at_a_time(indexed: Collection, tmp_path: Path) -> None:
    with indexed.alone():
        for change in (
            lambda: compact(indexed),
            lambda: remove(indexed, ["01.wav"]),
            lambda: relocate(indexed, tmp_path),
        ):
            with pytest.raises(InUseError):
                change()
