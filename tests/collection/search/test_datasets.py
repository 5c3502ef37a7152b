"""Folders of parts and LanceDB tables of them are searched as a collection is, on the disk and in a bucket."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from axlstm.cli import main
from axlstm.collection.search.datasets import search_dataset
from axlstm.embed.window_lengths import Windows
from axlstm.errors import ConfigError
from axlstm.parts.plan import Limits
from axlstm.parts.runners import in_turn
from axlstm.store.dataset import embed_dataset
from tests.collection.made import make_sounds, save_model
from tests.parts.bucket import Bucket, serve_bucket
from tests.shards.made import write_sound

pytestmark = pytest.mark.filterwarnings("ignore")  # those of botocore, moto and lancedb, which change with them
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sounds, a collection of them, and their windows as a folder of parts, all with one model."""
    folder = tmp_path_factory.mktemp("datasets")
    make_sounds(folder / "sounds", 8)
    save_model(folder / "model")
    windows = ["--window-s", "0.5", "--hop-s", "0.25"]
    command = ["-m", str(folder / "model"), *windows]
    assert main(["index", str(folder / "sounds"), "-o", str(folder / "birds.collection"), *command]) == 0
    embed(folder, str(folder / "parts"))
    return folder


def embed(here: Path, out: str) -> None:
    options = {"runner": in_turn, "limits": Limits(3, 100.0), "windows": Windows(0.5, 0.25)}
    embed_dataset(str(here / "model"), [str(here / "sounds")], out, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    pytest.importorskip("moto")
    with serve_bucket() as served:
        yield served


def hits_of(place: str, query: str, out: Path, *more: str) -> list[tuple[str, str, float]]:
    """The file, the start and the score of each hit."""
    assert main(["search", place, query, "-k", "6", "-o", str(out), *more]) == 0
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(Path(row["path"]).name, row["start_s"], float(row["score"])) for row in rows]


def close(ours: list[tuple[str, str, float]], theirs: list[tuple[str, str, float]]) -> None:
    assert [one[:2] for one in ours] == [one[:2] for one in theirs]
    assert [one[2] for one in ours] == pytest.approx([one[2] for one in theirs], abs=2e-3)


def test_parts_are_searched_as_a_collection_is(here: Path, tmp_path: Path) -> None:
    query = str(write_sound(tmp_path / "query.wav", 1.3, 77))
    of_collection = hits_of(str(here / "birds.collection"), query, tmp_path / "a.csv")
    close(hits_of(str(here / "parts"), query, tmp_path / "b.csv"), of_collection)


def test_lance_gives_the_hits_of_the_parts(here: Path, bucket: Bucket, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("lancedb")
    embed(here, f"{bucket.url}/parts")
    places = {str(here / "parts"): str(tmp_path / "table"), f"{bucket.url}/parts": f"{bucket.url}/table"}
    query, export = f"{here / 'sounds/05.wav'}@0.5-1", ["collection", "export", "-f", "lancedb"]
    expected = hits_of(str(here / "parts"), query, tmp_path / "a.csv")
    for parts, table in places.items():
        capsys.readouterr()
        assert main([*export, parts, "-o", table]) == 0
        assert "rows, without an index, since there are few" in capsys.readouterr().out
        close(hits_of(table, query, tmp_path / "b.csv"), expected)
    assert main([*export, str(here / "parts"), "-o", str(tmp_path / "table")]) == 0  # which is there
    name = str(here / "sounds/04.wav")
    close(
        hits_of(str(tmp_path / "table"), f"{name}@1-2", tmp_path / "c.csv"),
        hits_of(str(here / "parts"), f"{name}@1-2", tmp_path / "d.csv"),
    )


def test_lance_makes_its_own_index(
    here: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lancedb = pytest.importorskip("lancedb")
    sounds = make_sounds(tmp_path / "sounds", 12)
    options = {"runner": in_turn, "limits": Limits(100, 100.0), "windows": Windows(0.2, 0.2)}
    embed_dataset(str(here / "model"), [str(sounds)], str(tmp_path / "parts"), **options)  # type: ignore[arg-type]
    monkeypatch.setattr("axlstm.store.lance._LEAST_INDEXED", 200)
    real = lancedb.table.LanceTable.create_index
    asked: list[dict[str, object]] = []

    def create(table: object, **given: object) -> None:
        asked.append(given)
        real(table, num_partitions=2, num_sub_vectors=2, num_bits=4, **given)

    monkeypatch.setattr(lancedb.table.LanceTable, "create_index", create)
    assert main(["collection", "export", str(tmp_path / "parts"), "-o", str(tmp_path / "table"), "-f", "lancedb"]) == 0
    assert "rows, with an IVF-PQ index" in capsys.readouterr().out
    assert [one["index_type"] for one in asked] == ["IVF_PQ"]
    hits = search_dataset(str(tmp_path / "table"), [f"{sounds / '05.wav'}@0.6-0.8"], count=3)
    assert not hits.exact
    assert (Path(hits[0].path).name, hits[0].start_s) == ("05.wav", pytest.approx(0.6))
    assert search_dataset(str(tmp_path / "table"), [str(sounds / "05.wav")], count=3, exact=True).exact


def test_what_cannot_be_searched_is_told(here: Path, tmp_path: Path, capsys: Capture) -> None:
    parts = str(here / "parts")
    assert main(["search", parts, "owl.wav", "--where", "site=A"]) == 1
    assert f"--where: for a collection; {parts} is none" in capsys.readouterr().err
    assert main(["search", parts, "owl.wav"]) == 1
    assert f"owl.wav: neither a file nor a recording of {parts}" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="nothing to search for"):
        search_dataset(parts, [])
    assert main(["collection", "export", parts, "-o", str(tmp_path / "a.parquet")]) == 1
    assert "is a folder of parquet files already; expected lancedb" in capsys.readouterr().err
