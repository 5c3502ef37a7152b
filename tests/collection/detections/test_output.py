"""Files of detections say what was detected, and lead to labels."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pytest

from axlstm.collection.collection import Collection
from axlstm.collection.detections.output import COLUMNS, Detection, write_detections
from axlstm.collection.labels.exporting import find_facts, make_tracks
from axlstm.collection.labels.importing import ImportOptions, import_labels
from axlstm.collection.labels.marks import Facts, Mark, as_text, split_verdict
from axlstm.errors import ConfigError
from axlstm.options import DetectionFormat
from tests.collection.labels.conftest import collection, said

__all__ = ["collection"]

FOUND = [
    Detection("north/owl.wav", "wren", 2.5, 7.5, 0.875, "2024-05-01T04:30:02.500"),
    Detection("north/owl.wav", "a (p=0.50)", 5.0, 10.0, 1.0, "2024-05-01T04:30:05.000"),
    Detection("south/owl.wav", "wren (no)", 0.0, 90.5, 0.004),
    Detection("wren.flac", 'jay, "loud"', 0.2, 0.4, 0.25),
]


@pytest.mark.parametrize("format", ["csv", "raven", "audacity", "kaleidoscope"])
def test_what_somebody_leaves_of_a_file_becomes_labels(
    collection: Collection, tmp_path: Path, format: DetectionFormat
) -> None:
    out = tmp_path / {"audacity": "tracks", "raven": "out.txt"}.get(format, "out.csv")
    # In tables of other programs a label of our own that ends like a verdict would be one.
    found = FOUND if format in ("csv", "audacity") else [one for one in FOUND if not one.label.endswith(")")]
    write_detections(out, format, found, find_facts(collection))
    column = "TOP1MATCH" if format == "kaleidoscope" else None
    import_labels(collection, [out], ImportOptions(column=column))
    labels = [(row[0], row[1], row[2], row[3], row[4]) for row in said(collection)]
    assert sorted(labels) == sorted((one.path, one.start_s, one.end_s, one.label, "yes") for one in found)


def test_kaleidoscope_gives_labels_only_where_somebody_wrote_some(collection: Collection, tmp_path: Path) -> None:
    write_detections(tmp_path / "k.csv", "kaleidoscope", FOUND, find_facts(collection))
    summary = import_labels(collection, [tmp_path / "k.csv"], ImportOptions())
    assert summary.entered == 0
    assert summary.passed == {"rows without a label": 4}


def test_scores_are_in_each_file(collection: Collection, tmp_path: Path) -> None:
    facts = find_facts(collection)
    for format in ("csv", "raven", "kaleidoscope"):
        write_detections(tmp_path / "out", format, FOUND, facts)
        text = (tmp_path / "out").read_text(encoding="utf-8")
        assert "0.875000" in text
        assert "2024-05-01T04:30:02.500" in text
    write_detections(tmp_path / "tracks", "audacity", FOUND, facts)
    track = (tmp_path / "tracks" / "north" / "owl.txt").read_text(encoding="utf-8")
    assert track == "2.500000\t7.500000\twren (p=0.88)\n5.000000\t10.000000\ta (p=0.50) (p=1.00)\n"


def test_parquet(tmp_path: Path) -> None:
    write_detections(tmp_path / "out.parquet", "parquet", FOUND, {})
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert tuple(table.schema.names) == COLUMNS
    assert [Detection(**row) for row in table.to_pylist()] == FOUND


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        (Mark(1, None, 0, 1, "wren", score=0.5), "wren (p=0.50)"),
        (Mark(1, None, 0, 1, "wren (p=0.50)"), "wren (p=0.50) (yes)"),
        (Mark(1, None, 0, 1, "wren (no)", score=1.0), "wren (no) (p=1.00)"),
        (Mark(1, None, 0, 1, "wren", "unsure"), "wren (unsure)"),
    ],
)
def test_texts_give_the_label_back(mark: Mark, text: str) -> None:
    assert as_text(mark) == text
    assert split_verdict(text)[:2] == (mark.label, mark.verdict)


def test_tracks_stay_in_their_folder_and_apart() -> None:
    paths = ["../x/owl.wav", "x/owl.wav", "/x/owl.flac", "/x/jay.wav"]
    tracks = make_tracks([Mark(1, path, 0.0, 1.0, "a") for path in paths], paths)
    assert sorted(tracks) == ["x/jay.txt", "x/owl.flac.txt", "x/owl.wav.txt", "x/owl.wav_2.txt"]


def test_tracks_of_absolute_paths_lie_below_the_folder_that_all_share(tmp_path: Path) -> None:
    places = {"../x/owl.wav": "/data/x/owl.wav", "/data/y/z/owl.wav": "/data/y/z/owl.wav"}
    facts = {path: Facts(place, 10.0, 16_000) for path, place in places.items()}
    write_detections(tmp_path / "tracks", "audacity", [Detection(path, "a", 0.0, 1.0, 1.0) for path in places], facts)
    tracks = [path.relative_to(tmp_path / "tracks").as_posix() for path in (tmp_path / "tracks").rglob("*.txt")]
    assert sorted(tracks) == ["x/owl.txt", "y/z/owl.txt"]


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="there already"):
        write_detections(tmp_path / "file", "audacity", [], {})
    (tmp_path / "tracks").mkdir()
    (tmp_path / "tracks" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="there already"):
        write_detections(tmp_path / "tracks", "audacity", [], {})
