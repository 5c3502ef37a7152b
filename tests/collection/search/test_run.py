"""Search: the hits of plain float64 NumPy, however the windows lie in parts and caches."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from axlstm.collection.collection import Collection, open
from axlstm.collection.search import norms
from axlstm.collection.search.hits import Hit
from axlstm.collection.search.query import Query
from axlstm.collection.search.run import search
from axlstm.collection.search.thin import Spacing
from axlstm.errors import AxlstmError, ConfigError, DataError
from tests.collection.search.slow_search import slow_search
from tests.collection.vectors import add_encoder, add_part, add_recording, make_collection, windows_of

SPACINGS = [Spacing(), Spacing(apart_s=0), Spacing(apart_s=2.5), Spacing(one_per_recording=True)]


def places(hits: Iterable[Hit]) -> list[tuple[str, float]]:
    return [(hit.path, hit.start_s) for hit in hits]


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("combine", ["mean", "max"])
@pytest.mark.parametrize("unlike", [(), ("site1/004.wav",)])
def test_hits_are_those_of_the_slow_twin(
    collection: Collection, spacing: Spacing, combine: str, unlike: tuple[str, ...]
) -> None:
    query = Query(like=("site0/000.wav", "site2/005.wav@0-2"), unlike=unlike, combine=combine)  # type: ignore[arg-type]
    hits = search(collection.searcher(), query, count=15, spacing=spacing)
    expected = slow_search(collection, query, 15, spacing)
    assert places(hits) == [(path, start_s) for path, start_s, _ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, _, score in expected], atol=1e-9)
    assert hits.compared == sum(len(rows) for rows in collection.rows(collection.encoder()))


@pytest.mark.usefixtures("two_threads")
def test_threads_and_small_blocks_give_the_same_hits(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = collection.search("site0/000.wav", apart_s=0, count=100)
    monkeypatch.setattr(norms, "_BLOCK_VALUES", 24)
    monkeypatch.setattr(norms, "_CHUNK_ROWS", 7)
    monkeypatch.setattr("axlstm.collection.search.scan._CHUNK_ROWS", 7)
    collection._searchers.clear()
    again = collection.search("site0/000.wav", apart_s=0, count=100)
    assert places(again) == places(expected)
    assert len(again) > 50


def test_a_window_is_most_like_itself_and_windows_over_the_query_are_no_hits(collection: Collection) -> None:
    hits = collection.search("site0/003.wav@0-2", count=1000, apart_s=0)
    of_recording = [hit for hit in hits if hit.path == "site0/003.wav"]
    assert all(hit.start_s >= 2 for hit in of_recording)
    assert all(-1 <= hit.score < 1 for hit in hits)


def test_a_removed_recording_and_rows_that_nobody_uses_are_never_found(collection: Collection) -> None:
    before = collection.search("site0/000.wav", count=1000)
    gone = before[0]
    with collection.transaction():
        collection.tables.execute("UPDATE recordings SET removed_at = 'now' WHERE id = ?", (gone.recording,))
        collection.tables.execute("DELETE FROM spans WHERE recording = ?", (gone.recording,))
    after = collection.search("site0/000.wav", count=1000)
    assert gone.path not in {hit.path for hit in after}
    assert {hit.path for hit in before} - {hit.path for hit in after} == {gone.path}


def test_new_windows_are_found_by_an_open_collection(collection: Collection) -> None:
    collection.search("site0/000.wav")
    with open(collection.folder) as other:
        entry = other.encoder()
        twin = other.windows(entry, 1)
        assert twin is not None
        added = add_recording(other, "twin.wav", float(windows_of(2.0)[1][-1]))
        add_part(other, entry, {added: np.array(twin.vectors[:1])})
    assert collection.search("site0/000.wav", count=3)[0].path == "twin.wav"


def test_the_query_and_its_hits_are_noted(collection: Collection) -> None:
    hits = collection.search("site0/000.wav", unlike="site1/001.wav", count=3)
    row = collection.tables.execute("SELECT * FROM queries").fetchone()
    assert json.loads(row["query"]) == {"like": ["site0/000.wav"], "unlike": ["site1/001.wav"], "combine": "mean"}
    assert json.loads(row["hits"]) == [
        [hit.recording, hit.start_s, hit.end_s, pytest.approx(hit.score, abs=1e-6)] for hit in hits
    ]


def test_a_note_of_a_query_leaves_labels_as_safe_as_they_are(collection: Collection) -> None:
    collection.search("site0/000.wav", count=3)
    assert collection.tables.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    with open(collection.folder) as other:
        assert other.tables.execute("SELECT count(*) FROM queries").fetchone()[0] == 1


def test_labels_are_queries(collection: Collection) -> None:
    for path in ("site0/000.wav", "site1/001.wav"):
        collection.label(path, "wren", 0, 2)
    by_label = collection.search(label="wren", count=10)
    by_hand = collection.search(["site0/000.wav@0-2", "site1/001.wav@0-2"], count=10)
    assert places(by_label) == places(by_hand)
    collection.label("site2/002.wav", "wren", 0, 2, verdict="no")
    with_no = collection.search(label="wren", count=10)
    by_hand = collection.search(["site0/000.wav@0-2", "site1/001.wav@0-2"], unlike="site2/002.wav@0-2", count=10)
    assert places(with_no) == places(by_hand)


def test_many_examples_are_thinned_out_and_it_is_said(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axlstm.collection.search.query.MOST_EXAMPLES", 2)
    hits = collection.search(["site0/000.wav", "site1/001.wav", "site2/002.wav"], combine="max")
    assert any("compared with 2 of" in note for note in hits.notes)


def test_a_window_that_is_the_mean_is_like_nothing(tmp_path: Path) -> None:
    with make_collection(tmp_path / "c", tmp_path / "s", size=3) as collection:
        vectors = np.array([[1, 0, 5], [-1, 0, 5], [0, 0, 5], [0, 1, 5], [0, -1, 5]])  # the third one is the mean
        add_part(
            collection,
            collection.encoder(),
            {add_recording(collection, f"{n}.wav", 2.0): row[None] for n, row in enumerate(vectors)},
        )
        hits = collection.search("0.wav", count=10)
        assert "2.wav" not in {hit.path for hit in hits}
        assert [hit.path for hit in hits][-1] == "1.wav"
        assert hits[len(hits) - 1].score == pytest.approx(-1)
        with pytest.raises(DataError, match=r"2.wav: its embedding is the mean of all windows"):
            collection.search("2.wav")


def test_a_damaged_vector_is_no_hit_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with make_collection(tmp_path / "c", tmp_path / "s", size=3) as collection:
        entry = collection.encoder()
        vectors = np.random.default_rng(0).normal(size=(600, 3))
        add_part(collection, entry, {add_recording(collection, "a.wav", 601.0): vectors})
        [path] = (collection.folder / "parts").iterdir()
        content = path.read_bytes()
        place = content.index(vectors.astype(np.float16)[300:].tobytes())
        path.write_bytes(content[:place] + np.full(900, np.nan, np.float16).tobytes() + content[place + 1800 :])
        hits = collection.search("a.wav@0-2", apart_s=0, count=500)
        assert len(hits) == 298  # but those of the query
        assert all(np.isfinite(hit.score) and hit.start_s < 300 for hit in hits)
        assert "300 windows hold values that are no numbers" in caplog.text
        with pytest.raises(DataError, match="values that are no numbers"):
            collection.search("a.wav@400-402")


def test_a_dimension_that_hardly_varies_has_no_say(tmp_path: Path) -> None:
    with make_collection(tmp_path / "c", tmp_path / "s", size=3) as collection:
        vectors = np.random.default_rng(0).normal(size=(20, 3))
        vectors[:, 2] = 1000.1  # its mean is rounded
        vectors[3, 2] = 1000.6  # the next number of float16
        numbers = [add_recording(collection, f"{number}.wav", 2.0) for number in range(20)]
        add_part(
            collection, collection.encoder(), {number: row[None] for number, row in zip(numbers, vectors, strict=True)}
        )
        standard = (vectors[:, :2].astype(np.float16) - collection.statistics(collection.encoder())[0][:2]) / vectors[
            :, :2
        ].std(axis=0)
        cosines = standard @ standard[3] / np.linalg.norm(standard, axis=1) / np.linalg.norm(standard[3])
        hits = collection.search("3.wav", count=3)
        assert [hit.path for hit in hits] == [f"{number}.wav" for number in np.argsort(-cosines)[1:4]]
        assert [hit.score for hit in hits] == pytest.approx(np.sort(cosines)[::-1][1:4], abs=0.01)


def test_what_cannot_be_searched_is_told(collection: Collection, tmp_path: Path) -> None:
    def refused(text: str, kind: type[AxlstmError] = DataError, **options: object) -> None:
        with pytest.raises(kind, match=text):
            collection.search(**{"query": "site0/000.wav", **options})  # type: ignore[arg-type]

    refused("nothing to search for", ConfigError, query=())
    refused("nowhere.wav: neither a file nor a recording", query="nowhere.wav")
    refused("a stretch is written as PATH@BEGIN-END in seconds", query="site0/000.wav@abc")
    refused("the stretch ends before it begins", ConfigError, query="site0/000.wav@3-1")
    refused("1 to 500 s were asked for", AxlstmError, query="site0/000.wav@1-500")
    refused("no label 'wren'; it has none", query=(), label="wren")
    refused("combine=.most.: expected one of mean, max", ConfigError, combine="most")
    refused("0 hits: expected 1", ConfigError, count=0)
    refused("apart_s=-1", ConfigError, apart_s=-1)
    refused("choose one of them", ConfigError, apart_s=1, one_per_recording=True)
    refused("no encoder other; it has made", ConfigError, encoder="other")
    refused("unknown option sites: expected where", ConfigError, sites="A")
    collection.label("site1/001.wav", "wren", 0, 2, verdict="no")
    refused("label 'wren' has no window of made that is a yes", query=(), label="wren")
    refused("no label 'wrem'; it has wren", query=(), label="wrem")
    add_encoder(collection, 4, "second")
    refused("several encoders, and none was named; it has made, second; choose one with --encoder", ConfigError)
    refused("no windows of second yet", encoder="second")
    with make_collection(tmp_path / "empty", tmp_path / "none") as empty, pytest.raises(DataError, match="no windows"):
        empty.search("a.wav")


def test_two_threads_may_search_one_after_the_other_while_another_process_labels(collection: Collection) -> None:
    first = collection.search("site0/000.wav")

    def label_elsewhere() -> None:
        with open(collection.folder) as other:
            other.label("site1/001.wav", "wren", 0, 2)

    thread = threading.Thread(target=label_elsewhere)
    thread.start()
    thread.join()
    assert places(collection.search("site0/000.wav")) == places(first)
    assert collection.search("site0/000.wav", labelled="wren", count=3).compared == 1


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:-1], id="cut short"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda content: bytes([content[0] ^ 1]) + content[1:], id="a flipped bit"),
        pytest.param(lambda content: content[:-12] + bytes(12), id="no seal"),
        pytest.param(lambda content: bytes(len(content)), id="zeros"),
    ],
)
def test_a_damaged_cache_is_made_anew(collection: Collection, damage: object) -> None:
    expected = collection.search("site0/000.wav", count=50)
    cached = sorted((collection.folder / "cache").iterdir())
    contents = [path.read_bytes() for path in cached]
    assert len(cached) == 3
    for path, content in zip(cached, contents, strict=True):
        path.write_bytes(damage(content))  # type: ignore[operator]
    with open(collection.folder) as again:
        assert places(again.search("site0/000.wav", count=50)) == places(expected)
    assert [path.read_bytes() for path in cached] == contents


def test_a_cache_of_other_statistics_is_not_used_and_removed(collection: Collection) -> None:
    collection.search("site0/000.wav")
    before = {path.name for path in (collection.folder / "cache").iterdir()}
    entry = collection.encoder()
    added = add_recording(collection, "far.wav", 2.0)
    add_part(collection, entry, {added: np.full((1, 8), 100.0)})
    query = Query(like=("site0/000.wav",))
    expected = slow_search(collection, query, 20, Spacing())
    hits = search(collection.searcher(), query, count=20)
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, _, score in expected], atol=1e-9)
    assert before.isdisjoint(path.name for path in (collection.folder / "cache").iterdir())


def test_a_cache_that_cannot_be_written_is_told_and_search_goes_on(
    collection: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    (collection.folder / "cache").write_text("not a folder")
    assert len(collection.search("site0/000.wav"))
    assert "the cache of search cannot be written" in caplog.text
