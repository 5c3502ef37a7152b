"""The approximate index: it saves time, and is never believed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from axlstm.collection.collection import Collection, open
from axlstm.collection.search import nearest, nearest_build, searcher
from axlstm.collection.search.table import WindowTable
from axlstm.collection.search.thin import Spacing, choose_among, choose_best
from tests.collection.vectors import add_part, add_recording, make_collection

SIZE = 16


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """All collections of the tests are large."""
    monkeypatch.setattr(nearest, "LEAST_WINDOWS", 1000)
    monkeypatch.setattr(searcher, "_MOST_PROPOSED", 0.5)


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    """6,000 windows around 30 centres, in three parts with unused rows."""
    rng = np.random.default_rng(0)
    centres = 2 * rng.normal(size=(30, SIZE))
    with make_collection(tmp_path / "c", tmp_path / "s", size=SIZE) as made:
        entry = made.encoder()
        for part in range(3):
            vectors = {}
            for number in range(10):
                recording = add_recording(made, f"{part}/{number}.wav", 201.0)
                vectors[recording] = centres[rng.integers(30, size=200)] + rng.normal(size=(200, SIZE))
            add_part(made, entry, vectors, unused=part)
        yield made


def cached(collection: Collection) -> list[Path]:
    return sorted((collection.folder / "cache").glob("nearest-*"))


needs_faiss = pytest.mark.skipif(not nearest.is_installed(), reason="faiss is not installed")


@needs_faiss
@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("options", [{}, {"apart_s": 0}, {"one_per_recording": True}, {"combine": "max"}])
def test_the_index_finds_what_comparing_all_finds(collection: Collection, options: dict) -> None:
    shared = []
    for number in range(5):
        query = [f"0/{number}.wav@{10 * number}-{10 * number + 2}", f"1/{number}.wav@4-6"]
        near = collection.search(query, count=20, **options)
        every = collection.search(query, count=20, exact=True, **options)
        assert (near.exact, every.exact) == (False, True)
        shared.append(len(set(near.hits) & set(every.hits)) / 20)
        scores = {(hit.path, hit.start_s): hit.score for hit in every}
        assert all(hit.score == scores.get((hit.path, hit.start_s), hit.score) for hit in near)
    assert np.mean(shared) >= 0.95


@needs_faiss
@pytest.mark.usefixtures("large")
def test_filters_and_removed_recordings_hold_for_the_index_too(collection: Collection) -> None:
    collection.search("0/0.wav@0-2")
    gone = collection.search("0/0.wav@0-2", count=1)[0].recording
    with collection.transaction():
        collection.tables.execute("UPDATE recordings SET removed_at = 'now' WHERE id = ?", (gone,))
        collection.tables.execute("DELETE FROM spans WHERE recording = ?", (gone,))
    hits = collection.search("0/0.wav@0-2", count=50, path="[12]/*")
    assert not hits.exact
    assert hits.compared < len(collection.searcher().table)
    assert all(hit.path[0] in "12" and hit.recording != gone for hit in hits)
    every = collection.search("0/0.wav@0-2", count=50, path="[12]/*", exact=True)
    assert len(set(hits.hits) & set(every.hits)) >= 45


@needs_faiss
@pytest.mark.usefixtures("large")
def test_few_windows_behind_a_filter_are_compared_one_by_one(collection: Collection) -> None:
    assert collection.search("0/0.wav@0-2", path="1/1.wav").exact


@needs_faiss
@pytest.mark.usefixtures("large")
def test_a_filter_that_leaves_out_what_is_near_is_searched_without_the_index(collection: Collection) -> None:
    rng = np.random.default_rng(1)
    for side, place in (("here", 8), ("there", -8)):
        vectors = {}
        for number in range(10):
            recording = add_recording(collection, f"{side}/{number}.wav", 201.0)
            vectors[recording] = rng.normal(size=(200, SIZE)) + place
        add_part(collection, collection.encoder(), vectors)
    assert not collection.search("here/0.wav@0-2", count=20, path="here/*").exact
    assert collection.search("here/0.wav@0-2", count=20, path="there/*").exact


@needs_faiss
@pytest.mark.usefixtures("large")
def test_windows_that_came_later_are_found_without_a_new_index(collection: Collection) -> None:
    collection.search("0/0.wav@0-2")
    made = [path.read_bytes() for path in cached(collection)]
    windows = collection.windows(collection.encoder(), 1)
    assert windows is not None
    twin = add_recording(collection, "twin.wav", 2.0)
    add_part(collection, collection.encoder(), {twin: np.array(windows.vectors[:1])})
    hits = collection.search("0/0.wav@0-2", count=3)
    assert (hits[0].path, hits.exact) == ("twin.wav", False)
    assert [path.read_bytes() for path in cached(collection)] == made


@needs_faiss
@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("file", [0, 1])
@pytest.mark.parametrize("damage", ["cut", "flip", "other"])
def test_an_index_that_does_not_fit_is_made_anew(collection: Collection, file: int, damage: str) -> None:
    before = collection.search("0/0.wav@0-2", count=20)
    index, about = cached(collection)
    contents = [index.read_bytes(), about.read_bytes()]
    path = (index, about)[file]
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:  # that of another collection
        path.write_bytes(b"{}" if file else b"IwFl" + bytes(100))
    with open(collection.folder) as again:
        assert again.search("0/0.wav@0-2", count=20).hits == before.hits
    assert [index.read_bytes(), about.read_bytes()] == contents


@needs_faiss
@pytest.mark.usefixtures("large")
def test_an_index_of_other_windows_or_statistics_is_not_used(collection: Collection) -> None:
    collection.search("0/0.wav@0-2")
    made = cached(collection)[0].read_bytes()
    rng = np.random.default_rng(1)
    recording = add_recording(collection, "many.wav", 901.0)
    add_part(collection, collection.encoder(), {recording: rng.normal(size=(900, SIZE))})
    hits = collection.search("0/0.wav@0-2", count=20)
    assert cached(collection)[0].read_bytes() != made
    assert len(set(hits.hits) & set(collection.search("0/0.wav@0-2", count=20, exact=True).hits)) >= 19


@needs_faiss
@pytest.mark.usefixtures("large")
def test_an_index_that_would_miss_hits_is_not_asked(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_build, "RECALL", 1.1)
    assert collection.search("0/0.wav@0-2").exact


@needs_faiss
@pytest.mark.usefixtures("large")
def test_what_is_not_wanted_is_compared_one_by_one_beside_several_examples(collection: Collection) -> None:
    assert collection.search("0/0.wav@0-2", unlike="1/0.wav@0-2", combine="max").exact
    assert not collection.search("0/0.wav@0-2", unlike="1/0.wav@0-2").exact


@needs_faiss
@pytest.mark.usefixtures("large")
def test_making_an_index_is_said(collection: Collection, caplog: pytest.LogCaptureFixture) -> None:
    collection.search("0/0.wav@0-2")
    assert "an index of 6000 windows is made first" in caplog.text


@pytest.mark.usefixtures("large")
def test_without_faiss_every_window_is_compared_and_that_is_said_once(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(nearest, "is_installed", lambda: False)
    monkeypatch.setitem(sys.modules, "faiss", None)
    searcher._tell_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert collection.search("0/0.wav@0-2").exact
        assert collection.search("0/0.wav@0-2").exact
    assert caplog.text.count('pip install "axlstm[search]"') == 1


@pytest.mark.parametrize(
    "spacing", [Spacing(), Spacing(apart_s=0), Spacing(apart_s=5), Spacing(one_per_recording=True)]
)
def test_choosing_among_all_rows_is_choosing_the_best(collection: Collection, spacing: Spacing) -> None:
    table = WindowTable(collection, collection.encoder())
    scores = np.random.default_rng(0).normal(size=len(table)).astype(np.float32)
    rows = np.arange(len(table))
    among = choose_among(table, rows, scores.astype(np.float64), 25, spacing, [])
    assert among == choose_best(table, scores, 25, spacing)
