"""Do one piece of work with perch-hoplite, in a process of its own: ``python -m benchmarks.hoplite_theirs``.

It runs in perch-hoplite's environment, where axlstm need not be. Rows come in as `EmbedWorker` brings them in: those of
a recording in one batch, without a search for duplicates in a new database.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from ml_collections import config_dict
from perch_hoplite.db import brutalism, datatypes
from perch_hoplite.db.sqlite_usearch_impl import SQLiteUSearchDB, get_default_usearch_config

from benchmarks.hoplite_plan import (
    FILE_WINDOWS,
    LABEL,
    TOP,
    Plan,
    Window,
    as_window,
    number_of,
    recall_of,
    say,
    time_each,
)


def insert(store: Path, plan: Plan, every: int) -> None:
    """Insert all windows.

    Args:
        every: files between commits; 0 commits once, at the end, as `EmbedWorker` does.
    """
    database = SQLiteUSearchDB.create(str(store), get_default_usearch_config(plan.vectors.shape[1]))
    say(begin=True)
    begin = time.perf_counter()
    sites = {}
    for site in sorted({plan.site(file) for file in range(plan.files)}):
        sites[site] = database.insert_deployment(site, "benchmark")
    recordings = [
        database.insert_recording(plan.name(file), None, sites[plan.site(file)]) for file in range(plan.files)
    ]
    database.commit()
    bounds = [list(as_window(place).bounds) for place in range(FILE_WINDOWS)]
    for file, recording in enumerate(recordings):
        windows = [{"recording_id": recording, "offsets": offsets} for offsets in bounds]
        database.insert_windows_batch(windows, plan.of_file(file), handle_duplicates="allow")
        if every and (file + 1) % every == 0:
            database.commit()
            say(kept=(file + 1) * FILE_WINDOWS)
    database.commit()
    say(kept=len(plan.vectors))
    say(seconds=time.perf_counter() - begin)


def open_and_search(store: Path, plan: Plan) -> None:
    """Open the database, and search once."""
    query = plan.queries(1)[0]
    vector = plan.of_file(query.file)[query.place]
    say(begin=True)
    begin = time.perf_counter()
    database = SQLiteUSearchDB.create(str(store))
    opened = time.perf_counter()
    _search(database, vector, True)
    say(open_s=opened - begin, first_search_s=time.perf_counter() - opened)


def search(store: Path, plan: Plan, count: int) -> None:
    """Search in all ways that there are, and compare with the largest inner products."""
    database = SQLiteUSearchDB.create(str(store))
    queries = plan.queries(count)
    every = plan.vectors.astype(np.float32)
    products = {query: every @ plan.of_file(query.file)[query.place] for query in queries}
    exact = [_largest(products[query]) for query in queries]
    own = {site: plan.of_site(site) for site in {plan.site(query.file) for query in queries}}
    exact_site = [_largest(np.where(own[plan.site(query.file)], products[query], -np.inf)) for query in queries]
    del every, products
    rows = {window.id: window for window in database.get_all_windows()}
    names = {recording.id: recording.filename for recording in database.get_all_recordings()}
    numbers = {key: number_of(names[row.recording_id], row.offsets[0]) for key, row in rows.items()}

    def vector(query: Window) -> np.ndarray:
        return plan.of_file(query.file)[query.place]

    def brute(query: Window) -> list[int]:
        found = brutalism.threaded_brute_search(database, vector(query), TOP, np.dot)
        return _describe(database, [int(one.window_id) for one in found])

    def of_site(query: Window) -> list[int]:
        wanted = config_dict.create(eq={"name": plan.site(query.file)})
        keys = np.array(database.match_window_ids(deployments_filter=wanted))
        scores = database.get_embeddings_batch(keys) @ vector(query)
        return _describe(database, keys[np.argsort(-scores)[:TOP]].tolist())

    ways = {
        "search, approximate": (lambda query: _search(database, vector(query), True), exact),
        "search, exact": (lambda query: _search(database, vector(query), False), exact),
        "brute force, threads": (brute, exact),
        "one site": (of_site, exact_site),
    }
    say(begin=True)
    begin = time.perf_counter()
    for name, (way, truth) in ways.items():
        asked = queries if name != "brute force, threads" else queries[:5]
        seconds, found = time_each(way, asked)
        recall = recall_of([[numbers[key] for key in keys] for keys in found], truth[: len(asked)])
        say(way=name, times_s=seconds, recall=recall)
    say(seconds=time.perf_counter() - begin)


def _search(database: SQLiteUSearchDB, vector: np.ndarray, approximate: bool) -> list[int]:
    found = database.search(vector, TOP, approximate=approximate)
    return _describe(database, [int(one.window_id) for one in found])


def _describe(database: SQLiteUSearchDB, keys: list[int]) -> list[int]:
    """Read what a user wants to know of hits: the recordings and the times."""
    for key in keys:
        database.get_recording(database.get_window(key).recording_id)
    return keys


def _largest(products: np.ndarray) -> list[int]:
    return np.argsort(-products, kind="stable")[:TOP].tolist()


def label(store: Path, plan: Plan, count: int, at_once: bool) -> None:
    """Label windows, with a commit for each, or with one for all."""
    database = SQLiteUSearchDB.create(str(store))
    numbers = {recording.filename: recording.id for recording in database.get_all_recordings()}
    yes = datatypes.LabelType.POSITIVE
    say(begin=True)
    begin = time.perf_counter()
    for done, window in enumerate(plan.labelled(count), 1):
        recording = numbers[plan.name(window.file)]
        database.insert_annotation(recording, list(window.bounds), LABEL, yes, "ann", handle_duplicates="skip")
        if not at_once or done == count:
            database.commit()
            say(kept=done)
    say(seconds=time.perf_counter() - begin)


def check(store: Path, plan: Plan) -> None:
    """Open the database, and tell which windows and labels it has."""
    database = SQLiteUSearchDB.create(str(store))
    names = {recording.id: recording.filename for recording in database.get_all_recordings()}
    rows = database.get_all_windows()
    keys = np.array([row.id for row in rows], dtype=np.int64)
    has_vector = np.asarray(database.ui.contains(keys)) if len(keys) else np.zeros(0, dtype=bool)
    vectors = iter(database.get_embeddings_batch(keys[has_vector]) if has_vector.any() else ())
    whole = np.zeros(plan.files, dtype=int)
    for row, has in zip(rows, has_vector, strict=True):
        if has:
            number = number_of(names[row.recording_id], row.offsets[0])
            whole[number // FILE_WINDOWS] += bool((next(vectors) == plan.vectors[number]).all())
    labels = [number_of(names[one.recording_id], one.offsets[0]) for one in database.get_all_annotations()]
    say(whole=whole.tolist(), rows=len(rows), vectors=database.count_embeddings(), labels=sorted(labels))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=["insert", "open", "search", "label", "check"])
    parser.add_argument("store", type=Path)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--every", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--at-once", action="store_true")
    given = parser.parse_args()
    plan = Plan(given.plan)
    match given.work:
        case "insert":
            insert(given.store, plan, given.every)
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
