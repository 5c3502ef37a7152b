"""Files of labels as other programs write them, and as nobody should: nothing is imported in part, lines are told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axlstm.cli import main
from axlstm.collection.collection import Collection
from axlstm.collection.labels import marks
from axlstm.collection.labels.importing import ImportOptions, ImportSummary, import_labels
from axlstm.collection.labels.table import undo
from axlstm.errors import AxlstmError, ConfigError, DataError
from tests.collection.labels.conftest import said
from tests.collection.vectors import add_recording

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


def bring(collection: Collection, path: Path, text: str | bytes, **options: Any) -> ImportSummary:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return import_labels(collection, [path], ImportOptions(**options))


def refuse(collection: Collection, path: Path, text: str | bytes, told: str, **options: Any) -> None:
    before = said(collection)
    with pytest.raises(AxlstmError, match=told) as refused:
        bring(collection, path, text, **options)
    assert str(path) in str(refused.value) or options.get("recordings")
    assert said(collection) == before


def test_a_selection_table_over_several_files(collection: Collection, tmp_path: Path) -> None:
    """Begin Time runs through the files; File Offset counts in each. Paths are of another machine."""
    text = f"""{RAVEN}\tBegin Path\tFile Offset (s)\tSpecies
1\tSpectrogram 1\t1\t5.0\t7.5\t500.0\t900.5\tD:\\data\\north\\owl.wav\t5.0\towl
2\tWaveform 1\t1\t61.0\t62.0\t\t\tD:\\data\\south\\owl.wav\t1.0\towl
2\tSpectrogram 1\t1\t61.0\t62.0\t0.0\t8000.0\tD:\\data\\south\\owl.wav\t1.0\towl
3\tSpectrogram 1\t1\t155.5\t156.0\t0.0\t8000.0\tD:\\data\\wren.flac\t5.0\t
"""
    summary = bring(collection, tmp_path / "all.txt", text)
    assert said(collection) == [
        ("north/owl.wav", 5.0, 7.5, "owl", "yes", 500.0, 900.5),
        ("south/owl.wav", 1.0, 2.0, "owl", "yes", None, None),
    ]
    assert summary.passed == {"rows of a second view": 1, "rows without a label": 1}
    assert (summary.entered, summary.recordings, summary.labels) == (2, 2, ("owl",))


def test_times_that_run_through_recordings_that_are_named_in_order(collection: Collection, tmp_path: Path) -> None:
    text = (
        f"{RAVEN}\tLabel\n1\tS\t1\t59\t60\t1\t2\tlast\n2\tS\t1\t60\t61.5\t1\t2\tfirst\n3\tS\t1\t150\t150.5\t1\t2\tend\n"
    )
    options = {"recordings": ("north/owl.wav", "south/owl.wav")}
    bring(collection, tmp_path / "no-names.txt", text, **options)
    assert [row[:4] for row in said(collection)] == [
        ("north/owl.wav", 59.0, 60.0, "last"),
        ("south/owl.wav", 0.0, 1.5, "first"),
        ("south/owl.wav", 90.0, 90.5, "end"),
    ]
    over = f"{RAVEN}\tLabel\n1\tS\t1\t59\t61\t1\t2\tx\n2\tS\t1\t150.5\t152\t1\t2\ty\n"
    refuse(collection, tmp_path / "over.txt", over, "line 2: 59 to 61 s: runs over the end", **options)
    refuse(collection, tmp_path / "over.txt", over, "line 3: 150.5 s: behind the end", **options)
    refuse(collection, tmp_path / "over.txt", over, "--recordings: no recording 'x.wav'", recordings=("x.wav",))


def test_files_without_offsets_are_taken_as_their_times_fit(collection: Collection, tmp_path: Path) -> None:
    def table(*rows: tuple[float, float, str]) -> str:
        lines = [f"{n}\tS\t1\t{begin}\t{end}\t1\t2\t{file}\tx" for n, (begin, end, file) in enumerate(rows)]
        return "\n".join([f"{RAVEN}\tBegin File\tLabel", *lines])

    north, south, wren = "north/owl.wav", "south/owl.wav", "wren.flac"
    bring(collection, tmp_path / "each.txt", table((5, 6, south), (5, 6, north)))
    bring(collection, tmp_path / "through.txt", table((5.5, 6, north), (155.5, 156, wren), (61, 62, south)))
    assert [row[:3] for row in said(collection)] == [
        (south, 5.0, 6.0),
        (north, 5.0, 6.0),
        (north, 5.5, 6.0),
        (wren, 5.0, 5.5),
        (south, 1.0, 2.0),
    ]
    refuse(
        collection, tmp_path / "both.txt", table((5, 6, north), (61, 62, south)), r"\(both fit\): save it from Raven"
    )
    refuse(collection, tmp_path / "none.txt", table((5, 6, north), (250, 262, south)), r"\(neither fits\)")


def test_a_selection_that_ends_in_another_file_is_told(collection: Collection, tmp_path: Path) -> None:
    row = "1\tS\t1\t59\t61\t1\t2\tnorth/owl.wav\towl2.wav\t59\tx"
    text = f"{RAVEN}\tBegin File\tEnd File\tFile Offset (s)\tLabel\n{row}\n"
    refuse(collection, tmp_path / "t.txt", text, "line 2: begins in north/owl.wav and ends in owl2.wav")


def test_birdnets_tables(collection: Collection, tmp_path: Path) -> None:
    """As BirdNET-Analyzer writes them, for Raven and for Kaleidoscope."""
    raven = (
        f"{RAVEN}\tCommon Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)\n"
        "1\tSpectrogram 1\t1\t3.0\t6.0\t0\t15000\tTawny Owl\ttawowl1\t0.81\t/data/north/owl.wav\t3.0\n"
    )
    bring(collection, tmp_path / "owl.BirdNET.selection.table.txt", raven)
    kaleidoscope = (
        "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,confidence,lat,lon,week,overlap,sensitivity\n"
        "/data,south,owl.wav,3.0,3.0,Strix aluco,Tawny Owl,0.7,-1,-1,-1,0.0,1.0\n"
    )
    bring(collection, tmp_path / "owl.BirdNET.results.csv", kaleidoscope)
    bring(collection, tmp_path / "again.csv", kaleidoscope, column="scientific_name")
    assert said(collection) == [
        ("north/owl.wav", 3.0, 6.0, "Tawny Owl", "yes", None, None),
        ("south/owl.wav", 3.0, 6.0, "Tawny Owl", "yes", None, None),
        ("south/owl.wav", 3.0, 6.0, "Strix aluco", "yes", None, None),
    ]


def test_kaleidoscope_takes_what_people_said(collection: Collection, tmp_path: Path) -> None:
    text = (
        "INDIR,OUTDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,TOP1MATCH,TOP1DIST,MANUAL ID\n"
        r"C:\bats,C:\out,north,owl.wav,0,1.5,2,OWL01,0.2,tawny owl" + "\n"
        r"C:\bats,C:\out,north,owl.wav,0,4,2,OWL01,0.2," + "\n"
        r"C:\bats,C:\out,,wren.flac,0,,,WREN,0.2,wren" + "\n"
    )
    summary = bring(collection, tmp_path / "meta.csv", text)
    assert [row[:4] for row in said(collection)] == [
        ("north/owl.wav", 1.5, 3.5, "tawny owl"),
        ("wren.flac", 0, 10, "wren"),
    ]
    assert summary.passed == {"rows without a label": 1}
    assert summary.by_name_alone == {r"C:\bats/wren.flac": "wren.flac"}


def test_a_label_track_is_of_the_recording_with_its_name(collection: Collection, tmp_path: Path) -> None:
    text = "1.5\t2.25\twren\r\n\\\t100.5\t-1.000000\r\n3,5\t3,5\trobin (unsure)\r\n4\t5\t\r\n0\t0\tstart\r\n"
    summary = bring(collection, tmp_path / "wren.txt", "\ufeff" + text)
    assert said(collection) == [
        ("wren.flac", 1.5, 2.25, "wren", "yes", 100.5, None),
        ("wren.flac", 3.45, 3.55, "robin", "unsure", None, None),
        ("wren.flac", 0.0, 0.05, "start", "yes", None, None),
    ]
    assert summary.passed == {"lines without a label": 1}
    bring(collection, tmp_path / "labels" / "south" / "owl.wav.labels.txt", text)
    assert said(collection)[-1][0] == "south/owl.wav"
    refuse(collection, tmp_path / "owl.txt", text, "may be north/owl.wav or south/owl.wav; write more of its path")
    bring(collection, tmp_path / "owl.txt", text, recordings=("north/owl.wav",))
    assert said(collection)[-1][0] == "north/owl.wav"
    refuse(collection, tmp_path / "robin.txt", text, "no recording has a name that 'robin.txt' begins with")


def test_frequencies_are_of_the_label_before_them_alone(collection: Collection, tmp_path: Path) -> None:
    text = "1\t2\twren\n3\t4\t\n\\\t100\t200\n5\t6\trobin\n\\\t300\t400\n"
    bring(collection, tmp_path / "wren.txt", text)
    assert [(label, low, high) for _, _, _, label, _, low, high in said(collection)] == [
        ("wren", None, None),
        ("robin", 300.0, 400.0),
    ]


@pytest.mark.parametrize("name", ["wren.txt", "quoted.tsv"])
def test_tables_of_r_have_quotes(collection: Collection, tmp_path: Path, name: str) -> None:
    cells = {"path": "wren.flac", "label": "wren, or so"}
    if name == "wren.txt":
        cells |= dict.fromkeys(RAVEN.split("\t"), "") | {"Begin Time (s)": "1", "End Time (s)": "2"}
    lines = ["\t".join(f'"{cell}"' for cell in row) for row in (cells.keys(), cells.values())]
    bring(collection, tmp_path / name, "\n".join(lines) + "\n")
    assert said(collection)[0][3] == "wren, or so"


def test_links_are_known_by_their_names_and_by_what_they_lead_to(collection: Collection, tmp_path: Path) -> None:
    """A collection can have links, as git-annex makes them, and folders of clips can be links to recordings."""
    owl = tmp_path / "sounds" / "north" / "owl.wav"
    owl.parent.mkdir()
    owl.write_bytes(b"any")
    annexed = tmp_path / "clips" / "wren" / "annexed.wav"
    annexed.parent.mkdir(parents=True)
    (tmp_path / "object").write_bytes(b"other")
    annexed.symlink_to(tmp_path / "object")
    annexed.with_name("clip7.wav").symlink_to(owl)
    add_recording(collection, collection.name_of(annexed), 5.0)
    import_labels(collection, [tmp_path / "clips"])
    assert [row[0] for row in said(collection)] == [annexed.as_posix(), "north/owl.wav"]


def test_tables_with_other_separators_and_names(collection: Collection, tmp_path: Path) -> None:
    text = "path;start_ms;end_ms;species;noted by\nnorth/owl.wav;1000;2500;Tawny owl, male;x\nwren.flac;;;wren;\n"
    bring(collection, tmp_path / "t.csv", text, column="species", author="ann")
    assert said(collection) == [
        ("north/owl.wav", 1.0, 2.5, "Tawny owl, male", "yes", None, None),
        ("wren.flac", 0.0, 10.0, "wren", "yes", None, None),
    ]
    bring(collection, tmp_path / "u.csv", "path,start_s,end_s\nwren.flac,1,2\n", label="noise")
    assert said(collection)[-1] == ("wren.flac", 1.0, 2.0, "noise", "yes", None, None)
    authors = [row["author"] for row in collection.tables.execute("SELECT author FROM labels")]
    assert authors[:2] == ["ann", "ann"]


def test_folders_as_classes(collection: Collection, tmp_path: Path) -> None:
    root = tmp_path / "sounds"
    for number, folder in enumerate(["wren", "wren, robin", "-robin", "Noise"]):
        (root / folder).mkdir(parents=True)
        (root / folder / f"{number}.wav").write_bytes(b"")
        add_recording(collection, f"{folder}/{number}.wav", 3.0)
    (root / "wren" / "notes.txt").write_text("x")
    summary = import_labels(collection, [root])
    assert [(row[0], row[3], row[4]) for row in said(collection)] == [
        ("-robin/2.wav", "robin", "no"),
        ("Noise/3.wav", "robin", "no"),
        ("Noise/3.wav", "wren", "no"),
        ("wren/0.wav", "wren", "yes"),
        ("wren, robin/1.wav", "wren", "yes"),
        ("wren, robin/1.wav", "robin", "yes"),
    ]
    assert summary.passed == {"entries that are no sound": 1}
    (root / "wren" / "new.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"line 4: no recording .*new.wav' in the collection"):
        import_labels(collection, [root])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no folders in it"):
        import_labels(collection, [tmp_path / "empty"])


def test_unknown_recordings_are_told_or_passed_over(collection: Collection, tmp_path: Path) -> None:
    text = "path,label\nnorth/owl.wav,owl\neast/owl.wav,owl\nother.wav,owl\n"
    refuse(
        collection,
        tmp_path / "t.csv",
        text,
        r"line 3: no recording 'east/owl.wav' in the collection; line 4: .*; --known-only passes over",
    )
    summary = bring(collection, tmp_path / "t.csv", text, known_only=True)
    assert summary.passed == {"of recordings that the collection does not have": 2}
    assert len(said(collection)) == 1


def test_a_name_that_fits_several_recordings_is_told(collection: Collection, tmp_path: Path) -> None:
    refuse(
        collection, tmp_path / "t.csv", "path,label\nowl.wav,owl\n", "'owl.wav' may be north/owl.wav or south/owl.wav"
    )
    bring(collection, tmp_path / "t.csv", "path,label\nNORTH/OWL.WAV,owl\n")
    assert said(collection)[0][0] == "north/owl.wav"


def test_files_that_lie_around_do_not_mislead(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is one in the collection first; a file that is there, and is no recording, is no other one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wren.flac").write_bytes(b"another")
    bring(collection, tmp_path / "t.csv", "path,label\nwren.flac,wren\n")
    assert said(collection)[0][0] == "wren.flac"
    other = str(tmp_path / "wren.flac")
    refuse(
        collection,
        tmp_path / "u.csv",
        f"path,label\n{other},wren\n",
        "line 2: no recording .*wren.flac' in the collection",
    )
    (tmp_path / "sounds" / "wren.flac").write_bytes(b"")
    bring(collection, tmp_path / "u.csv", "path,label\nsounds/wren.flac,robin\n")
    assert said(collection)[-1][:1] + said(collection)[-1][3:4] == ("wren.flac", "robin")


def test_an_import_is_one_step_and_comes_once(collection: Collection, tmp_path: Path) -> None:
    (tmp_path / "wren.txt").write_text("1\t2\twren\n1\t2\twren\n")
    (tmp_path / "t.csv").write_text("path,label\nnorth/owl.wav,owl\n")
    files = [tmp_path / "wren.txt", tmp_path / "t.csv"]
    first = import_labels(collection, files)
    assert (first.entered, first.there) == (2, 1)
    again = import_labels(collection, files)
    assert (again.entered, again.there) == (0, 3)
    collection.label("north/owl.wav", "owl", 1, 2)
    assert main(["label", "undo", str(collection.folder)]) == 0
    assert main(["label", "undo", str(collection.folder)]) == 0
    assert said(collection) == []


def test_one_wrong_file_stops_all(collection: Collection, tmp_path: Path) -> None:
    (tmp_path / "wren.txt").write_text("1\t2\twren\n")
    (tmp_path / "t.csv").write_text("path,label\nnowhere.wav,owl\n")
    with pytest.raises(DataError, match="nothing is imported"):
        import_labels(collection, [tmp_path / "wren.txt", tmp_path / "t.csv"])
    assert said(collection) == []


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["1", "S", "1", "nan", "2", "", "", "x"], r"line 2: Begin Time \(s\) is 'nan', expected a number"),
        (["1", "S", "1", "1e999", "2", "", "", "x"], "expected a number"),
        (["1", "S", "1", "", "2", "", "", "x"], "expected a number"),
        (["1", "S", "1", "-1", "2", "", "", "x"], "line 2: -1 to 2 s: expected 0 or more"),
        (["1", "S", "1", "2", "1", "", "", "x"], "expected 0 or more, and an end behind the start"),
        (["1", "S", "1", "2", "2", "", "", "x"], "an end behind the start"),
        (["1", "S", "1", "9", "11", "", "", "x"], "line 2: 9 to 11 s: beyond the end of the recording, which has 10 s"),
        (["1", "S", "1", "1", "2", "-5", "100", "x"], "a frequency of -5 Hz"),
        (["1", "S", "1", "1", "2", "500", "100", "x"], "a band from 500 to 100 Hz"),
        (["1", "S", "1", "1", "2", "inf", "", "x"], "Low Freq"),
        (["1", "S", "1", "1", "2", "", "", "x" * 500], "a label of 500 characters"),
        (["1", "S", "1", "1", "2", "", "", "a\x07b"], "characters that cannot be shown"),
        (["1", "S", "1", "1", "2", "", ""], "line 2: 7 cells, and the header has 8 columns"),
        (["1", "S", "1", "1", "2", "", "", "x", "y"], "line 2: 9 cells"),
    ],
)
def test_rows_that_cannot_be_labels_are_told(
    collection: Collection, tmp_path: Path, cells: list[str], told: str
) -> None:
    refuse(collection, tmp_path / "wren.txt", f"{RAVEN}\tLabel\n" + "\t".join(cells) + "\n", told)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("wren.txt", b"\x89PNG\r\n\x1a\n\0\0\0", "no text, but a binary file"),
        ("wren.txt", "1\t2\tZaunk\xf6nig\n".encode("latin-1"), r"wren.txt, line 1: not in UTF-8"),
        ("wren.txt", "1 2 wren\n", "line 1: expected start, end and text, separated by tabs"),
        ("wren.txt", "<html>\n", "line 1: expected start, end and text"),
        ("wren.txt", "1\t2\twren\n\\\tx\t3\n", "line 2: a frequency is 'x'"),
        ("wren.txt", f"{RAVEN}\tConfidence\n1\tS\t1\t1\t2\t1\t2\t0.5\n", "none of its columns is known to hold labels"),
        ("wren.txt", "Selection\tBegin Time (s)\tLabel\n1\t2\tx\n", r"line 1: no column End Time \(s\)"),
        ("wren.txt", f"{RAVEN}\tLabel\tLabel\n", "columns have names of their own"),
        ("t.csv", "", "line 1: no column path"),
        ("t.csv", "recording,label\nwren.flac,x\n", "line 1: no column path"),
        ("t.csv", "path,tag\nwren.flac,x\n", "none of its columns is known to hold labels"),
        ("t.csv", 'path,label\n"wren.flac,x\n', "no table"),
        (
            "t.csv",
            "path,label,verdict\nwren.flac,x,maybe\n",
            "line 2: verdict 'maybe', expected one of yes, no, unsure",
        ),
        ("t.csv", "path,label,start_s\nwren.flac,x,1\n", "line 2: start_s and end_s: expected both"),
        ("t.csv", "path,label\n,x\n", "line 2: no path of a recording"),
        ("t.csv", "IN FILE,OFFSET,MANUAL ID\nwren.flac,1,x\n", "line 2: OFFSET without DURATION"),
        ("t.csv", f"path,{'x' * 200_000}\nwren.flac,x\n", "line 1: no column path"),
        ("t.csv", f"path,label\n{'x' * 300}.wav,x\n", "line 2: no recording 'xxx"),
        ("t.csv", 'path,label,author\nwren.flac,x,"me\nyou"\n', r"the author 'me\\nyou', expected at most 200"),
        ("none/x", "1\t2\twren\n", "no recording has a name that 'x' begins with"),
    ],
)
def test_files_that_hold_no_labels_are_told(
    collection: Collection, tmp_path: Path, name: str, content: str | bytes, told: str
) -> None:
    refuse(collection, tmp_path / name, content, told)


def test_large_files_are_not_read(collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as file:
        os.truncate(file.fileno(), marks.MOST_BYTES + 1)
    with pytest.raises(DataError, match="expected a file of labels of at most"):
        import_labels(collection, [huge])
    monkeypatch.setattr(marks, "MOST_MARKS", 3)
    refuse(collection, tmp_path / "wren.txt", "1\t2\twren\n" * 4, "line 4: more than 3 labels")
    refuse(collection, tmp_path / "t.csv", "path,label\n" + "wren.flac,x\n" * 4, "line 5: more than 3 labels")


def test_options_that_do_not_fit_are_told(collection: Collection, tmp_path: Path) -> None:
    refuse(collection, tmp_path / "t.csv", "", "a file, and format folders is of folders", format="folders")
    refuse(collection, tmp_path / "t.csv", "path,x\nwren.flac,y\n", "no column 'z'; it has path, x", column="z")
    with pytest.raises(ConfigError, match="a folder, and format csv is of files"):
        import_labels(collection, [tmp_path], ImportOptions(format="csv"))
    with pytest.raises(ConfigError, match="column and label"):
        import_labels(collection, [], ImportOptions(column="x", label="y"))
    with pytest.raises(ConfigError, match="expected one of csv, raven"):
        import_labels(collection, [], ImportOptions(format="xls"))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no such file or folder"):
        import_labels(collection, [tmp_path / "nothing.txt"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.text('0123456789.,;-\t\n\\"ax', max_size=120).map(str.encode),
        st.text("0123456789.,-e\t\n", max_size=80).map(lambda rows: f"{RAVEN}\tLabel\n{rows}".encode()),
        st.text('wren.flac/,;"0123456789.\n', max_size=80).map(lambda rows: f"path,label,start_s\n{rows}".encode()),
    ),
    name=st.sampled_from(["wren.txt", "t.csv"]),
)
def test_whatever_a_file_holds_it_is_imported_or_told(
    collection: Collection, tmp_path: Path, content: bytes, name: str
) -> None:
    before, told, entered = len(said(collection)), str(tmp_path / name), 0
    try:
        entered = bring(collection, tmp_path / name, content).entered
    except AxlstmError as error:
        told = str(error)
    assert str(tmp_path / name) in told
    assert len(said(collection)) == before + entered


def test_a_folder_of_label_tracks(collection: Collection, tmp_path: Path) -> None:
    for number, place in enumerate(("north/owl.txt", "south/owl.wav.txt", "wren.txt")):
        (tmp_path / "tracks" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tracks" / place).write_text(f"{number}\t{number + 1}\tcall\n")
    for options in (ImportOptions(), ImportOptions("audacity")):
        assert import_labels(collection, [tmp_path / "tracks"], options).entered == 3
        assert [row[:2] for row in said(collection)] == [("north/owl.wav", 0), ("south/owl.wav", 1), ("wren.flac", 2)]
        undo(collection)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no \.txt files in it; expected those of audacity"):
        import_labels(collection, [tmp_path / "empty"], ImportOptions("audacity"))


def test_no_files_are_told(collection: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", "import", str(collection.folder)]) == 1
    assert "no labels to import: name tables" in capsys.readouterr().err


def test_what_nobody_judged_is_told(collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Detections and hits come back as yes; a verdict of somebody beside the score is no guess."""
    hits = tmp_path / "hits"
    hits.write_text(
        "rank,score,path,start_s,end_s,label,verdict\n1,0.9,wren.flac,0,1,wren,\n2,0.8,wren.flac,1,2,wren,no\n", "utf-8"
    )
    track = tmp_path / "wren.txt"
    track.write_text("2\t3\twren (p=0.87)\n3\t4\twren\n", "utf-8")
    assert main(["label", "import", str(collection.folder), str(hits), str(track)]) == 0
    assert "4 labels (3 yes, 1 no)" in (told := capsys.readouterr().out)
    assert "2 of them have a score and no verdict beside it, and count as yes" in told


def test_a_new_name_like_one_that_is_there_is_told(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label, verdict in (("robin", "yes"), ("robni", "no"), ("owl", "yes"), ("robni", "yes")):
        main(["label", "add", str(collection.folder), "wren.flac@0-1", label, "--verdict", verdict])
        told = capsys.readouterr().out
        assert ("robni is a new label; robin was there before" in told) == (verdict == "no")
    table = tmp_path / "labels.csv"
    table.write_text("path,label\nwren.flac,Robbin\nwren.flac,goose\n", "utf-8")
    assert main(["label", "import", str(collection.folder), str(table)]) == 0
    assert "Robbin is a new label; robin was there before" in capsys.readouterr().out


def test_a_recording_of_a_wrong_name_has_others_named(collection: Collection) -> None:
    with pytest.raises(DataError, match=r"did you mean .*wren\.flac"):
        collection.label("wrenx.flac", "wren")
