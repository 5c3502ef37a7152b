"""Tables of sites: which recordings a row is for, and which tables are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from axlstm.cli import main
from axlstm.collection.collection import create
from axlstm.collection.metadata import read_metadata
from axlstm.errors import DataError
from tests.collection.made import make_sounds
from tests.shards.made import write_sound


def facts(collection: object) -> dict[str, tuple]:
    rows = collection.tables.execute(
        "SELECT path, latitude, recorded_at, metadata FROM recordings WHERE removed_at IS NULL"
    )
    return {row["path"]: (row["latitude"], row["recorded_at"], json.loads(row["metadata"])) for row in rows}


def test_a_table_is_for_recordings_and_folders(tmp_path: Path) -> None:
    sounds = make_sounds(tmp_path / "sounds", 4)
    outside = write_sound(tmp_path / "outside" / "x.wav", 1.0, 9)
    table = tmp_path / "sites.csv"
    table.write_text(
        "path,site,latitude,recorded_at,metadata\n"
        ".,everywhere,,,\n"
        "site0/,north,50.5,,m\n"
        f"{sounds}/site0/03.wav,far north,,2024-05-01T06:00:00+02:00,\n"
        f"{outside},outside,-3,,\n"
        "gone.wav,nowhere,,,\n",
        encoding="utf-8-sig",
    )
    with create(tmp_path / "c", sounds) as collection:
        summary = collection.index([sounds, outside], model="logmel", metadata=table)
        assert summary.unmatched == ("gone.wav",)
        assert facts(collection) == {
            "01.wav": (None, None, {"site": "everywhere"}),
            "02.wav": (None, None, {"site": "everywhere"}),
            "site0/00.wav": (50.5, None, {"site": "north", "metadata": "m"}),
            "site0/03.wav": (50.5, "2024-05-01T06:00:00+02:00", {"site": "far north", "metadata": "m"}),
            outside.as_posix(): (-3.0, None, {"site": "outside"}),
        }
        table.write_text("path;site;habitat\nsite0;south;bog\n", encoding="utf-8")
        write_sound(sounds / "site0" / "00.wav", 2.0, 70)  # other content keeps what tables said
        assert collection.index([sounds]).changed == 1
        assert facts(collection)["site0/00.wav"] == (50.5, None, {"site": "north", "metadata": "m"})
        collection.index([sounds], metadata=table)
        expected = {"site": "south", "metadata": "m", "habitat": "bog"}
        assert facts(collection)["site0/00.wav"] == (50.5, None, expected)
        assert facts(collection)["01.wav"] == (None, None, {"site": "everywhere"})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no column path; it has none"),
        (b"file,site\na,b\n", "no column path; it has file, site"),
        (b"path,site,site\na,b,c\n", "a name of its own"),
        (b"path,,site\na,b,c\n", "a name of its own"),
        (b"path,site\na,b\na/,c\n", "line 3: a second row of a"),
        (b"path,site\n,b\n", "line 2: no path; write . for all recordings"),
        (b"path,site\na,b,c\n", "line 2: 3 cells, and the table has 2 columns"),
        (b"path,duration_s\na,3\n", "columns duration_s, which are measured of each recording; rename them"),
        (b"path,latitude\na,91\n", "line 2: latitude is '91'; expected degrees from -90 to 90"),
        (b"path,longitude\na,nan\n", "expected degrees from -180 to 180"),
        (b"path,recorded_at\na,1.5.2024\n", "line 2: recorded_at is '1.5.2024'; expected a time"),
        (b"path,recorded_at\na,2024-05-01\n", "expected a time"),
        (b"path,site\na,\xff\n", "not in UTF-8"),
        (b'path,site\n"a,b\n', "no CSV"),
        (b"path,site\na," + b"x" * 20_000, "20000 characters"),
        (b"path,site\na,b\0c\n", "site has 3 characters|no CSV"),
        (b"path," + b",".join(b"c%d" % n for n in range(300)) + b"\n", "at most 200 columns"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    table = tmp_path / "sites.csv"
    table.write_bytes(content)
    with pytest.raises(DataError, match=rf"sites\.csv.*({told})"):
        read_metadata(table)


def test_two_rows_of_one_path_are_told(tmp_path: Path) -> None:
    sounds = make_sounds(tmp_path / "sounds", 1)
    table = tmp_path / "sites.csv"
    table.write_text(f"path,site\nsite0,A\n{sounds / 'site0'},B\n")
    with (
        create(tmp_path / "c", sounds) as collection,
        pytest.raises(DataError, match=r"sites\.csv: site0 and .*site0 are one path"),
    ):
        collection.index([sounds], model="logmel", metadata=table)


def test_a_bad_table_is_told_before_anything_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sounds = make_sounds(tmp_path / "sounds", 1)
    command = ["index", str(sounds), "-o", str(tmp_path / "c"), "-m", "logmel", "--metadata", str(tmp_path / "no.csv")]
    assert main(command) == 1
    assert "no.csv: cannot be read (No such file" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
    (tmp_path / "no.csv").write_text("path,site\nx,y\n")
    assert main(command) == 0
    assert "no.csv that are of no recording: x" in capsys.readouterr().out
