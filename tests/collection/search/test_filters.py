"""Filters choose windows before they are ranked: by column, path, time of the recorder's clock, and label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from axlstm.collection.collection import Collection
from axlstm.collection.search.filters import clock_time, window_time
from axlstm.errors import ConfigError, DataError
from tests.collection.vectors import add_part, add_recording, make_collection

HOUR = 3600


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """Four recordings of an hour or more, whose windows begin at each second."""
    folder = tmp_path_factory.mktemp("filters")
    with make_collection(folder / "c", folder / "s", size=3) as made:
        rng = np.random.default_rng(0)
        facts: list[tuple[str, str | None, dict[str, Any]]] = [
            ("north/a.wav", "2024-05-01T03:30:00+02:00", {"site": "A", "elevation": "120", "note": 3}),
            ("north/deep/b.wav", "2024-05-01T23:30:00", {"site": "B", "elevation": "80.5"}),
            ("south/c.wav", "2024-05-03T12:00:00Z", {"site": "A B"}),
            ("south/d.wav", None, {"site": "A"}),
        ]
        vectors = {}
        for path, recorded_at, metadata in facts:
            number = add_recording(made, path, HOUR + 1.0, recorded_at, metadata)
            vectors[number] = rng.normal(size=(HOUR, 3))
        add_part(made, made.encoder(), vectors)
        for start_s, end_s, verdict in ((10, 13, "yes"), (100, 200, "no"), (300, 301, "unsure")):
            made.label("north/a.wav", "wren", start_s, end_s, verdict=verdict)
        yield made


def found(collection: Collection, **filters: Any) -> dict[str, int]:
    """How many windows of each recording are looked at."""
    hits = collection.search("south/d.wav@0-2", count=20_000, apart_s=0, **filters)
    assert len(hits) <= hits.compared <= len(hits) + 3  # those of the query are no hits
    paths = [hit.path for hit in hits]
    return {path: paths.count(path) for path in dict.fromkeys(sorted(paths))}


def test_columns(collection: Collection) -> None:
    assert set(found(collection, where="site=A")) == {"north/a.wav", "south/d.wav"}
    assert set(found(collection, where="site = A B")) == {"south/c.wav"}
    assert set(found(collection, where=["site=A", "site=B"])) == {"north/a.wav", "north/deep/b.wav", "south/d.wav"}
    assert set(found(collection, where="site!=A")) == {"north/deep/b.wav", "south/c.wav"}
    assert set(found(collection, where="elevation>100")) == {"north/a.wav"}
    assert set(found(collection, where=["elevation<=120", "elevation>=80.5"])) == {"north/a.wav", "north/deep/b.wav"}
    assert set(found(collection, where=["site=A", "elevation=120.0"])) == {"north/a.wav"}
    assert set(found(collection, where="note=3")) == {"north/a.wav"}
    assert len(found(collection, where="sample_rate_hz=16000")) == 4
    assert found(collection, where="site=nowhere") == {}


def test_paths(collection: Collection) -> None:
    assert set(found(collection, path="north/*")) == {"north/a.wav", "north/deep/b.wav"}
    assert set(found(collection, path=["*/c.wav", "south/[de].wav"])) == {"south/c.wav", "south/d.wav"}


def test_days_and_moments_are_those_of_the_recorders_clock(collection: Collection) -> None:
    assert found(collection, after="2024-05-02") == {"north/deep/b.wav": HOUR // 2, "south/c.wav": HOUR}
    assert found(collection, before="2024-05-01T03:31") == {"north/a.wav": 60}
    assert found(collection, after="2024-05-01T03:31", before="2024-05-01T03:32:00.5") == {"north/a.wav": 61}


def test_hours_of_the_day_over_midnight_too(collection: Collection) -> None:
    assert found(collection, hours="4-7") == {"north/a.wav": HOUR // 2}
    assert found(collection, hours="3:45-4") == {"north/a.wav": HOUR // 4}
    assert found(collection, hours="22-4") == {"north/a.wav": HOUR // 2, "north/deep/b.wav": HOUR}
    assert found(collection, hours="0-24") == {"north/a.wav": HOUR, "north/deep/b.wav": HOUR, "south/c.wav": HOUR}


def test_recordings_without_a_time_are_told(collection: Collection) -> None:
    assert "1 recordings without a time are left out" in collection.search("south/d.wav", hours="0-24").notes


def test_labels(collection: Collection) -> None:
    yes = collection.search("south/d.wav", labelled="wren", apart_s=0)
    assert sorted(hit.start_s for hit in yes) == [10, 11]  # windows of 2 s with more than 1 s of 10 to 13
    unknown = collection.search("south/d.wav", not_labelled="wren", apart_s=0, path="north/a.wav", count=4000)
    starts = {hit.start_s for hit in unknown}
    judged = {10, 11} | set(range(100, 199)) | {299, 300}
    assert starts == {float(start) for start in range(HOUR)} - judged


def test_filters_come_before_the_ranking(collection: Collection) -> None:
    best = collection.search("south/d.wav@0-2", count=1, path="south/c.wav")
    everything = collection.search("south/d.wav@0-2", count=20_000, apart_s=0)
    assert best[0] == next(hit for hit in everything if hit.path == "south/c.wav")


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({"where": "site"}, "expected COLUMN=VALUE"),
        ({"where": "elevation>high"}, "compares numbers"),
        ({"where": "sight=A"}, "no recording has a column sight; there are channels"),
        ({"after": "yesterday"}, "expected a day or moment as 2024-05-01"),
        ({"before": "2024-13-01"}, "expected a day or moment as 2024-05-01"),
        ({"after": "2024-05-01T00:00+02:00"}, "without an offset"),
        ({"hours": "4"}, "expected two hours"),
        ({"hours": "4-25"}, "expected two hours"),
        ({"hours": "4:70-5"}, "expected two hours"),
        ({"hours": "4-4"}, "expected two hours"),
    ],
)
def test_what_is_no_filter_is_told(collection: Collection, filters: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        collection.search("south/d.wav", **filters)


def test_a_filter_by_a_label_that_is_not_there_is_told(collection: Collection) -> None:
    with pytest.raises(DataError, match="no label 'robin'; it has wren"):
        collection.search("south/d.wav", not_labelled="robin")


def test_times_keep_their_offset() -> None:
    assert window_time("2024-05-01T23:59:59.5+02:00", 1.25) == "2024-05-02T00:00:00.750+02:00"
    assert window_time(None, 1.0) is None
    assert window_time("9999-12-31T23:59:59", 5.0) is None
    assert clock_time("not a time") is None


def test_no_window_that_fits_is_no_error(collection: Collection) -> None:
    assert len(collection.search("south/d.wav", where=["site=A"], path="south/c.wav")) == 0
