"""Labels that are exported and imported again are the same, in every format as far as it can hold them."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axlstm.cli import main
from axlstm.collection.collection import Collection
from axlstm.collection.labels.exporting import export_labels, list_marks, write_tracks
from axlstm.collection.labels.importing import ImportOptions, import_labels
from axlstm.collection.labels.marks import Mark
from axlstm.collection.labels.table import Label, add_labels, undo
from axlstm.errors import ConfigError, DataError
from axlstm.evaluate.tasks.make import TaskRecipe, make_task
from axlstm.options import LabelFormat
from tests.collection.labels.conftest import said
from tests.collection.vectors import add_recording, make_collection
from tests.seeded import audio

PATHS = ("a.wav", "b.c.wav", "north/a.wav", "north/a.flac", "north/b c.wav", "ünïcode/é.wav")
SECONDS = 4.0


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    folder = tmp_path_factory.mktemp("trips")
    with make_collection(folder / "c", folder / "sounds") as made:
        for number, path in enumerate(PATHS):
            (folder / "sounds" / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / "sounds" / path, audio(SECONDS, number), 16_000)
            add_recording(made, path, SECONDS)
        yield made


NAMES = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12).filter(
    lambda name: name.strip() and name.isprintable()
)
TIMES = st.integers(0, 3990)
LABELS = st.lists(
    st.builds(
        lambda recording, begin, length, name, verdict, band: Label(
            recording, begin / 1000, min(4000, begin + length) / 1000, name.strip(), verdict, *band
        ),
        st.integers(1, len(PATHS)),
        TIMES,
        st.integers(10, 2000),
        st.one_of(NAMES, st.sampled_from(["wren", "wren (no)", "-wren", "a, b; c", 'say "x"', "\\", "=1+1", "noise"])),
        st.sampled_from(["yes", "no", "unsure"]),
        st.sampled_from([(None, None), (100.5, None), (None, 4000.25), (12.5, 7000.0)]),
    ),
    min_size=1,
    max_size=8,
)


def _import_anew(
    collection: Collection, labels: list[Label], format: LabelFormat, name: str
) -> tuple[Counter, Counter]:
    """The labels before they were exported, and after they were imported into a collection without labels."""
    _forget(collection)
    add_labels(collection, [(label, "ann", "test") for label in labels])
    before = Counter(said(collection))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / name
        export_labels(collection, out, format)
        _forget(collection)
        import_labels(collection, [out])
    return before, Counter(said(collection))


def _forget(collection: Collection) -> None:
    with collection.transaction():
        collection.tables.execute("DELETE FROM labels")


def _once(labels: Counter) -> set[tuple[object, ...]]:
    """Each label once: those that are the same in all are not imported twice."""
    return set(labels)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(labels=LABELS, format=st.sampled_from(["csv", "raven", "audacity"]))
def test_tables_and_tracks_hold_all_of_a_label(
    collection: Collection, labels: list[Label], format: LabelFormat
) -> None:
    before, after = _import_anew(collection, labels, format, {"csv": "l.csv", "raven": "l.txt"}.get(format, "tracks"))
    assert _once(after) == _once(before)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(labels=LABELS)
def test_kaleidoscope_holds_all_but_bands(collection: Collection, labels: list[Label]) -> None:
    before, after = _import_anew(collection, labels, "kaleidoscope", "l.csv")
    assert _once(after) == {(*label[:5], None, None) for label in before}


def test_the_author_is_kept_by_tables_that_have_one(collection: Collection, tmp_path: Path) -> None:
    for format, name in (("csv", "l.csv"), ("raven", "l.txt")):
        _import_anew(collection, [Label(1, 0, 1, "wren")], format, name)  # type: ignore[arg-type]
        [row] = collection.tables.execute("SELECT author FROM labels").fetchall()
        assert row["author"] == "ann"
    assert not list(tmp_path.iterdir())


def test_folders_of_clips(collection: Collection) -> None:
    labels = [
        Label(1, 0, 1.5, "wren"),
        Label(3, 0, 1.5, "wren"),  # of the same name and stretch
        Label(1, 0.25, 0.75, "robin", "yes", 200.0, 3000.0),
        Label(1, 0.25, 0.75, "wren", "yes", 100.0, 4000.0),  # of the same stretch, and of another band
        Label(2, 1, 2, "wren", "no"),
        Label(6, 0, 4, "wren"),
    ]
    before, after = _import_anew(collection, labels, "folders", "folders")
    assert after == before


def test_a_clip_that_was_moved_says_something_else(collection: Collection, tmp_path: Path) -> None:
    _forget(collection)
    add_labels(collection, [(Label(5, 1, 2.5, name), "ann", "test") for name in ("wren", "robin")])
    export_labels(collection, tmp_path / "out", "folders", ["wren"])
    [clip] = (tmp_path / "out" / "wren").iterdir()
    assert soundfile.info(clip).duration == 1.5
    (tmp_path / "out" / "-wren").mkdir()
    clip.rename(tmp_path / "out" / "-wren" / clip.name)
    import_labels(collection, [tmp_path / "out"])
    assert said(collection)[-1] == ("north/b c.wav", 1.0, 2.5, "wren", "no", None, None)


def test_a_path_that_would_break_a_selection_table_is_told(tmp_path: Path) -> None:
    with make_collection(tmp_path / "c", tmp_path / "sounds") as collection:
        add_recording(collection, "new\nline.wav", SECONDS)
        collection.label("new\nline.wav", "wren", 1, 2.5)
        with pytest.raises(ConfigError, match=r"new.nline\.wav': a path that no selection table can hold"):
            export_labels(collection, tmp_path / "out.txt", "raven")
        export_labels(collection, tmp_path / "out.csv", "csv")
        undo(collection)
        assert import_labels(collection, [tmp_path / "out.csv"]).entered == 1


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    name = os.fsdecode(b"caf\xe9.wav")
    soundfile.write(tmp_path / "sounds" / "x.wav", audio(2, 0), 16_000)
    (tmp_path / "sounds" / "x.wav").rename(tmp_path / "sounds" / name)
    with make_collection(tmp_path / "c", tmp_path / "sounds") as collection:
        add_recording(collection, collection.name_of(tmp_path / "sounds" / name), 2.0)
        for format, out in (("raven", "l.txt"), ("audacity", "tracks"), ("csv", "l.csv"), ("folders", "f")):
            before, after = _import_anew(collection, [Label(1, 0.5, 1, "wren")], format, out)  # type: ignore[arg-type]
            assert after == before


def test_a_failed_export_leaves_no_folder(collection: Collection, tmp_path: Path) -> None:
    _forget(collection)
    add_labels(collection, [(Label(1, 0, 1, name), "ann", "x") for name in ("wren", "a/b")])
    with pytest.raises(ConfigError, match="label 'a/b': no folder of a class can have this name"):
        export_labels(collection, tmp_path / "out", "folders")
    assert not list(tmp_path.iterdir())


def test_clips_of_recordings_that_changed_are_told(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _forget(collection)
    add_labels(collection, [(Label(number, 0, 1, "wren"), "ann", "x") for number in (1, 2, 3)])
    changed, kept, gone = (str(mark.recording) for mark in list_marks(collection))
    collection.place_of(gone).rename(tmp_path / "gone.wav")
    content = collection.place_of(changed).read_bytes()
    collection.place_of(changed).write_bytes(b"another sound")
    assert main(["label", "export", str(collection.folder), "-o", str(tmp_path / "out"), "--format", "folders"]) == 0
    told = capsys.readouterr().out
    assert "out: 1 labels; missing: wren at 0 s: " in told
    assert f"{changed}: changed since it was indexed" in told
    assert f"{gone}: no such file" in told.lower()
    assert [path.stem.split("_")[0] for path in (tmp_path / "out" / "wren").iterdir()] == [Path(kept).stem]
    collection.place_of(changed).write_bytes(content)
    (tmp_path / "gone.wav").rename(collection.place_of(gone))


def test_no_two_tracks_have_one_name(tmp_path: Path) -> None:
    paths = ["a.wav", "A.flac", "a.wav.ogg", "b.wav", "below/a.wav"]
    assert write_tracks(tmp_path / "out", [Mark(1, path, 0, 1, "x") for path in paths], paths) == 5
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt"))
    assert found == ["A.flac.txt", "a.wav.txt", "a.wav_2.txt", "b.txt", "below/a.txt"]


def test_no_output_takes_the_place_of_a_sound_or_of_a_collections_file(collection: Collection) -> None:
    _forget(collection)
    add_labels(collection, [(Label(1, 0, 1, "wren"), "ann", "x")])
    for place in (collection.place_of("a.wav"), collection.folder / "collection.sqlite", collection.folder / "new.csv"):
        before = place.read_bytes() if place.exists() else None
        for command in (
            ["label", "export", str(collection.folder), "-o", str(place)],
            ["search", str(collection.folder), "a.wav", "-o", str(place), "--format", "csv"],
        ):
            assert main(command) == 1
        assert (place.read_bytes() if place.exists() else None) == before


def test_times_that_another_program_rounded_are_the_same_label(collection: Collection, tmp_path: Path) -> None:
    _forget(collection)
    add_labels(collection, [(Label(1, 0, 0.355, "wren"), "ann", "x")])
    (tmp_path / "l.csv").write_text("path,label,start_s,end_s,author\na.wav,wren,0,0.3551,ann\na.wav,wren,0,0.38,ann\n")
    found = import_labels(collection, [tmp_path / "l.csv"])
    assert (found.entered, found.there, found.verdicts) == (1, 1, {"yes": 1})


def test_what_is_unsure_has_no_folder(collection: Collection, tmp_path: Path) -> None:
    _forget(collection)
    add_labels(collection, [(Label(1, 0, 1, "wren", verdict), "ann", "x") for verdict in ("yes", "unsure")])  # type: ignore[arg-type]
    summary = export_labels(collection, tmp_path / "out", "folders")
    assert (summary.written, summary.left_out, summary.why) == (1, 1, "unsure")


def test_a_hear_task_of_events(collection: Collection, tmp_path: Path) -> None:
    """The table of an export becomes a task, whose clips are recordings of another collection."""
    _forget(collection)
    given = [Label(n, 0.5, 1.5 + n / 10, "wren" if n % 2 else "robin") for n in range(1, 7)]
    add_labels(collection, [(label, "ann", "test") for label in [*given, Label(1, 2, 3, "wren", "unsure")]])
    summary = export_labels(collection, tmp_path / "table.csv", "hear")
    assert (summary.written, summary.left_out, summary.why) == (6, 1, "no yes")
    task = make_task(tmp_path / "table.csv", tmp_path / "tasks", TaskRecipe("birds", folds=3))
    clips = [path.relative_to(tmp_path / "tasks").as_posix() for path in sorted(task.path.rglob("*.wav"))]
    with make_collection(tmp_path / "other", tmp_path / "tasks") as other:
        for clip in clips:
            add_recording(other, clip, SECONDS)
        imported = import_labels(other, [tmp_path / "tasks"])
        assert imported.entered == 6
        assert Counter(row[1:5] for row in said(other)) == Counter(
            row[1:5] for row in said(collection) if row[4] == "yes"
        )
    for options in (ImportOptions(), ImportOptions("hear")):
        _forget(collection)
        import_labels(collection, [tmp_path / "table.csv"], options)
        assert Counter(row[3] for row in said(collection)) == Counter(wren=3, robin=3)


def test_an_unknown_format_is_told(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="format='xls'"):
        export_labels(collection, tmp_path / "out.xls", "xls")  # type: ignore[arg-type]


def test_nothing_to_export_is_told(collection: Collection, tmp_path: Path) -> None:
    _forget(collection)
    with pytest.raises(DataError, match="no labels to export"):
        export_labels(collection, tmp_path / "l.csv", "csv")
    add_labels(collection, [(Label(1, 0, 1, "wren"), "ann", "x")])
    with pytest.raises(DataError, match="no label robin"):
        export_labels(collection, tmp_path / "l.csv", "csv", ["robin"])
