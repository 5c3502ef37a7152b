"""Do one piece of work with a collection, in a process of its own: ``python -m benchmarks.hoplite_ours``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.find import find_audio
from axlstm.collection import writer
from axlstm.collection.changes import add_part
from axlstm.collection.collection import Collection, create
from axlstm.collection.collection import open as open_collection
from axlstm.collection.description import is_collection
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.indexing import index
from axlstm.collection.labels.table import Label, add_labels
from axlstm.collection.metadata import read_metadata
from axlstm.collection.parts import Rows
from axlstm.collection.search.hits import Hits
from axlstm.collection.verify import verify
from benchmarks.hoplite_plan import FILE_WINDOWS, LABEL, TOP, Plan, Window, number_of, recall_of, say, time_each
from benchmarks.ready_windows import ReadyEncoder


def insert(store: Path, plan: Plan) -> None:
    """Index all files, as `axlstm index` does; where the collection is there already, go on."""
    sounds = plan.folder / "sounds"
    writer.add_part = _telling
    with open_collection(store) if is_collection(store) else create(store, sounds) as collection:
        say(begin=True)
        begin = time.perf_counter()
        table = read_metadata(plan.folder / "sites.csv")
        summary = index(collection, ReadyEncoder(plan.vectors), find_audio([sounds]), table)
        say(seconds=time.perf_counter() - begin, embedded=summary.embedded, there=summary.there)


def _telling(collection: CollectionFolder, encoder: int, rows: Rows, commit: Callable[[int], None]) -> None:
    """Add a part, and say how many windows are kept then."""
    add_part(collection, encoder, rows, commit)
    kept = collection.tables.execute("SELECT sum(rows) FROM spans").fetchone()[0]
    say(kept=kept)


def open_and_search(store: Path, plan: Plan) -> None:
    """Open the collection, and search once."""
    query = plan.queries(1)[0]
    say(begin=True)
    begin = time.perf_counter()
    with open_collection(store) as collection:
        collection.searcher()
        opened = time.perf_counter()
        _search(collection, plan, query)
        say(open_s=opened - begin, first_search_s=time.perf_counter() - opened)


def search(store: Path, plan: Plan, count: int) -> None:
    """Search all windows and those of a site, and compare with cosines that are computed as the definition reads."""
    queries = plan.queries(count)
    with open_collection(store) as collection:
        cosines = _cosines(collection, plan, queries)
        of_site = {site: plan.of_site(site) for site in {plan.site(query.file) for query in queries}}
        allowed = [of_site[plan.site(query.file)] for query in queries]
        exact = {
            "search": [_best(row) for row in cosines],
            "one site": [_best(np.where(own, row, -np.inf)) for own, row in zip(allowed, cosines, strict=True)],
        }
        ways: dict[str, Callable[[Window], list[int]]] = {
            "search": lambda query: _numbers(_search(collection, plan, query)),
            "one site": lambda query: _numbers(_search(collection, plan, query, [plan.site(query.file)])),
        }
        say(begin=True)
        begin = time.perf_counter()
        for name, way in ways.items():
            seconds, found = time_each(way, queries)
            say(way=name, times_s=seconds, recall=recall_of(found, exact[name]))
        say(seconds=time.perf_counter() - begin)


def _search(collection: Collection, plan: Plan, query: Window, sites: Sequence[str] = ()) -> Hits:
    start_s, end_s = query.bounds
    sound = f"{plan.name(query.file)}@{start_s}-{end_s}"
    where = [f"site={site}" for site in sites]
    return collection.search(sound, count=TOP, apart_s=0, exact=True, where=where)


def _best(cosines: NDArray[np.float64]) -> list[int]:
    best: list[int] = np.argsort(-cosines, kind="stable")[:TOP].tolist()
    return best


def _numbers(hits: Hits) -> list[int]:
    return [number_of(hit.path, hit.start_s) for hit in hits]


def _cosines(collection: Collection, plan: Plan, queries: list[Window]) -> NDArray[np.float64]:
    """Compute the cosine of each query with all windows ``(q, n)``; minus infinity for those that overlap it."""
    mean, deviation = collection.statistics(collection.encoder())

    def units(rows: NDArray[Any]) -> NDArray[np.float64]:
        standard = (rows.astype(np.float64) - mean) / deviation
        return standard / np.linalg.norm(standard, axis=1, keepdims=True)

    numbers = np.array([query.file * FILE_WINDOWS + query.place for query in queries])
    asked = units(plan.vectors[numbers])
    cosines = np.concatenate(
        [asked @ units(plan.vectors[begin : begin + 4096]).T for begin in range(0, len(plan.vectors), 4096)], axis=1
    )
    for row, query, number in zip(cosines, queries, numbers, strict=True):
        first, last = max(query.place - 1, 0), min(query.place + 1, FILE_WINDOWS - 1)
        row[number - query.place + first : number - query.place + last + 1] = -np.inf
    return cosines


def label(store: Path, plan: Plan, count: int, at_once: bool) -> None:
    """Label windows, one by one or in one step."""
    with open_collection(store) as collection:
        windows = plan.labelled(count)
        say(begin=True)
        begin = time.perf_counter()
        if at_once:
            rows = collection.tables.execute("SELECT id, path FROM recordings WHERE removed_at IS NULL")
            numbers = {row["path"]: row["id"] for row in rows}
            labels = [Label(numbers[plan.name(window.file)], *window.bounds, LABEL) for window in windows]
            add_labels(collection, [(label, "ann", "benchmark") for label in labels])
        else:
            for done, window in enumerate(windows, 1):
                collection.label(plan.name(window.file), LABEL, *window.bounds, author="ann")
                say(kept=done)
        say(seconds=time.perf_counter() - begin)


def check(store: Path, plan: Plan) -> None:
    """Open the collection, and tell which windows and labels it has, and what is damaged."""
    whole = np.zeros(plan.files, dtype=int)
    rows = 0
    if not is_collection(store):
        say(whole=whole.tolist(), rows=0, vectors=0, labels=[], damage=[])
        return
    with open_collection(store) as collection:
        damage = list(verify(collection))
        paths = dict(collection.tables.execute("SELECT id, path FROM recordings").fetchall())
        for run in collection.rows(collection.encoder()) if collection.encoders() else []:
            numbers = [
                number_of(paths[recording], start_s)
                for recording, start_s in zip(run.recording.tolist(), run.start_s.tolist(), strict=True)
            ]
            is_right = (run.vectors == plan.vectors[numbers]).all(axis=1)
            np.add.at(whole, np.array(numbers)[is_right] // FILE_WINDOWS, 1)
            rows += len(run)
        said = collection.tables.execute("SELECT recording, start_s FROM labels").fetchall()
        labels = sorted(number_of(paths[recording], start_s) for recording, start_s in said)
    say(whole=whole.tolist(), rows=rows, vectors=rows, labels=labels, damage=damage)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=["insert", "open", "search", "label", "check"])
    parser.add_argument("store", type=Path)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--at-once", action="store_true")
    given = parser.parse_args()
    plan = Plan(given.plan)
    match given.work:
        case "insert":
            insert(given.store, plan)
        case "open":
            open_and_search(given.store, plan)
        case "search":
            search(given.store, plan, given.count)
        case "label":
            label(given.store, plan, given.count, given.at_once)
        case "check":
            check(given.store, plan)


if __name__ == "__main__":
    main()
