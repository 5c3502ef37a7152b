"""Simulate labelling: how good a classifier is after 10, 50 and 200 labels, by each way to choose what to label.

    python -m benchmarks suggest                       # the bundled drum strokes
    python -m benchmarks suggest --tasks TASKS         # HEAR tasks of clips or events; their splits are the groups
    python -m benchmarks suggest --tasks TASK --among OTHER1 OTHER2    # the labels of one, rare among others' clips

The labels of a collection are hidden, and revealed window by window, as if by a person. Some groups are held out; on
their windows the classifiers are judged. All ways begin with one example of the label.
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.collection.classifiers.classifier import sigmoid
from axlstm.collection.classifiers.examples import NO, UNSURE, WEAK_WEIGHT, YES, find_judged
from axlstm.collection.classifiers.folds import find_groups, make_folds
from axlstm.collection.classifiers.heads import fit, make_problem
from axlstm.collection.classifiers.ranking import rank
from axlstm.collection.classifiers.selection import cross_validate, default_of
from axlstm.collection.classifiers.suggest import STAND_INS, choose_rows
from axlstm.collection.collection import Collection, create
from axlstm.collection.labels.importing import import_labels
from axlstm.collection.labels.table import count_labels
from axlstm.collection.search.table import WindowTable
from axlstm.collection.search.thin import Spacing
from axlstm.evaluate.reporting.statistics import t_interval
from axlstm.evaluate.tasks.read import find_tasks, read_task
from axlstm.options import GroupName, HeadChoice, SuggestBy
from axlstm.samples import strokes
from benchmarks.machine import describe_machine
from benchmarks.report import save

BUDGETS = (10, 50, 200)
ROUND = 10
"""Labels that are given before the next windows are chosen."""

WAYS: Mapping[str, tuple[bool, SuggestBy | None]] = {
    "random": (False, "random"),
    "search": (True, None),
    "search + margin": (True, "margin"),
    "search + quantile": (True, "quantile"),
    "search + diversity": (True, "diversity"),
    "search + random": (True, "random"),
}
"""Whether the first round takes the windows most like the example, and how later ones are chosen; None goes on so."""


@dataclass(frozen=True, eq=False)
class Hidden:
    """A collection whose labels are hidden.

    Args:
        standard: the standardised vectors of all windows ``(n, D)``.
        is_yes: whether each label is heard in each window ``(n, L)``.
        groups: of each window ``(n,)``; -1 for those that take no part, since a label is unsure about them.
    """

    table: WindowTable
    labels: tuple[str, ...]
    standard: NDArray[np.float64]
    is_yes: NDArray[np.bool_]
    groups: NDArray[np.int64]


def hide(
    collection: Collection, encoder: str | None = None, labels: Sequence[str] = (), group: GroupName | None = None
) -> Hidden:
    """Hide the labels of a collection. A window that no label says yes about is a no for all of them.

    Args:
        encoder: its name, if the collection has several.
        labels: all of them without any.
        group: what is held out together, see `axlstm.collection.classifiers.folds.find_groups`.
    """
    table = WindowTable(collection, collection.encoder(encoder))
    labels = tuple(labels) or tuple(count.label for count in count_labels(collection))
    judged = find_judged(collection, table, labels)
    rows = np.arange(len(table))
    everything = replace(judged, rows=rows, said=np.full((len(rows), len(labels)), NO, judged.said.dtype))
    groups = find_groups(collection, table, everything, group).of(table, rows)
    is_yes = np.zeros((len(table), len(labels)), dtype=bool)
    is_yes[judged.rows] = judged.said == YES
    groups[judged.rows[(judged.said == UNSURE).any(axis=1)]] = -1
    standard = table.statistics.standardise(table.take_vectors(rows))
    return Hidden(table, labels, standard, is_yes, groups)


def hold_out(hidden: Hidden, label: int, seed: int) -> NDArray[np.bool_] | None:
    """Choose the windows that classifiers are judged on ``(n,)``: of half of the groups with a yes, and of the others.

    None if fewer than two groups have a yes.
    """
    own = hidden.groups >= 0
    with_yes = np.unique(hidden.groups[own & hidden.is_yes[:, label]])
    if len(with_yes) < 2:
        return None
    rng = np.random.default_rng(seed)
    others = np.setdiff1d(np.unique(hidden.groups[own]), with_yes)
    chosen = [*rng.permutation(with_yes)[: len(with_yes) // 2], *rng.permutation(others)[: len(others) // 2]]
    return np.isin(hidden.groups, chosen)


def simulate(
    hidden: Hidden,
    label: int,
    way: str,
    budgets: Sequence[int] = BUDGETS,
    seed: int = 0,
    heads: Sequence[HeadChoice] = ("logistic",),
    weak: int = 0,
) -> list[tuple[int, int, list[float]]] | None:
    """Label windows in one way, and train a classifier whenever a budget is spent.

    Args:
        label: its place among those that are hidden.
        way: one of `WAYS`.
        heads: that are trained whenever a budget is spent.
        weak: unlabelled windows that count as a weak no, as with ``--weak-negatives`` of `axlstm train`.

    Returns:
        for each budget: the windows that are labelled, those of them that are a yes, and the average precision of each
        head on the windows of groups that are held out. None if fewer than two groups have a yes.
    """
    is_held = hold_out(hidden, label, seed)
    if is_held is None:
        return None
    pool = np.flatnonzero((hidden.groups >= 0) & ~is_held)
    rng = np.random.default_rng([seed, 1])
    is_yes, is_open = hidden.is_yes[:, label], (hidden.groups >= 0) & ~is_held
    is_first_search, by = WAYS[way]
    example = int(rng.choice(np.flatnonzero(is_open & is_yes)))
    labelled, results = [example], []
    is_open[example] = False
    likeness = _cosines(hidden.standard, example)
    for budget in sorted(budgets):
        while len(labelled) < budget and is_open.any():
            count = min(ROUND if len(labelled) > 1 else ROUND - 1, budget - len(labelled))
            is_search = by is None or (is_first_search and len(labelled) == 1)
            values = np.where(is_open, likeness, np.nan)
            if not is_search and by != "random":
                values = np.full(len(is_open), np.nan)
                known, standard = np.array(labelled), hidden.standard[is_open]
                values[is_open] = sigmoid(_train(hidden, known, is_yes, pool, None, seed, standard, weak))
            chosen = _choose(hidden, values, None if is_search else by, count, labelled, seed + len(labelled))
            labelled += chosen
            is_open[chosen] = False
        rows = np.array(labelled)
        scores = [_train(hidden, rows, is_yes, pool, head, seed, hidden.standard[is_held], weak) for head in heads]
        averages = [float(rank(is_yes[is_held], own).average_precision[0]) for own in scores]
        results.append((len(rows), int(is_yes[rows].sum()), averages))
    return results


def _cosines(standard: NDArray[np.float64], example: int) -> NDArray[np.float64]:
    lengths = np.maximum(np.linalg.norm(standard, axis=1), 1e-9)
    return standard @ standard[example] / lengths / lengths[example]


def _choose(
    hidden: Hidden, values: NDArray[np.float64], by: SuggestBy | None, count: int, labelled: Sequence[int], seed: int
) -> list[int]:
    """Choose the windows of the highest values, or by a way of `axlstm suggest`."""
    judged = np.array(labelled, np.int64)
    if by is None:
        return [int(row) for row in np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")[:count]]
    return choose_rows(hidden.table, values, by, count, judged, Spacing(apart_s=0), seed)


def _train(
    hidden: Hidden,
    rows: NDArray[np.int64],
    is_yes: NDArray[np.bool_],
    pool: NDArray[np.int64],
    head: HeadChoice | None,
    seed: int,
    standard: NDArray[np.float64],
    weak: int,
) -> NDArray[np.float64]:
    """Train on labelled windows and score others ``(m, D)``: ``(m,)``.

    Where nothing is a no, other windows stand in, as in `axlstm suggest`.

    Args:
        pool: windows that may be labelled, and count as a weak no until they are.
        head: None is the default one, without validation; so it is where windows count as a weak no.
        weak: how many of them do.
    """
    classes, weights = is_yes[rows].astype(np.int64), np.ones(len(rows))
    if weak or classes.all():
        others = np.random.default_rng(seed).permutation(np.setdiff1d(pool, rows))[: weak or STAND_INS]
        rows = np.concatenate([rows, others])
        classes = np.concatenate([classes, np.zeros(len(others), np.int64)])
        weights = np.concatenate([weights, np.full(len(others), WEAK_WEIGHT)])
    problem = make_problem(hidden.standard[rows], classes, weights, 2)
    setting = default_of("logistic")
    if head is not None and (weights == 1).all():
        folds = make_folds(classes, hidden.groups[rows], 2, seed)
        setting = cross_validate(problem, folds, np.ones(len(rows), dtype=bool), head, seed).setting
    fitted = fit(setting, problem, np.arange(len(rows)), seed).turned_back(problem)
    return fitted.scores(standard)[:, 0]


def compare_ways(
    hidden: Hidden,
    ways: Sequence[str] = tuple(WAYS),
    budgets: Sequence[int] = BUDGETS,
    seeds: int = 5,
    heads: Sequence[HeadChoice] = ("logistic",),
    least_yes: int = 5,
    weak: int = 0,
) -> list[dict[str, Any]]:
    """Simulate all labels, ways and seeds.

    Args:
        least_yes: labels with fewer windows that are a yes are left out.

    Returns:
        a row for each way, head and budget: mean average precision over labels, with its 95 % interval over seeds
        (Student's t), the same of the difference from random labelling with the first head, and the mean number of
        labels and of yes among them.
    """
    yes = hidden.is_yes[hidden.groups >= 0].sum(axis=0)
    taken = [label for label in range(len(hidden.labels)) if yes[label] >= least_yes]
    rows, plain = [], dict[int, list[float]]()  # of random labelling with the first head, by budget
    for way in sorted(ways, key=lambda way: way != "random"):
        found = {
            (seed, label): own
            for seed in range(seeds)
            for label in taken
            if (own := simulate(hidden, label, way, budgets, seed, heads, weak)) is not None
        }
        for place, budget in enumerate(sorted(budgets)):
            labelled, of_yes = np.mean([own[place][:2] for own in found.values()], axis=0).tolist()
            for number, head in enumerate(heads):
                by_seed = [
                    float(np.mean([own[place][2][number] for (of, _), own in found.items() if of == seed]))
                    for seed in sorted({seed for seed, _ in found})
                ]
                if way == "random" and number == 0:
                    plain[budget] = by_seed
                gains = [own - other for own, other in zip(by_seed, plain.get(budget, []), strict=False)]
                rows.append(
                    {
                        "way": way,
                        "head": head,
                        "budget": budget,
                        "weak_negatives": weak,
                        "labelled": labelled,
                        "yes": of_yes,
                        "average_precision": _interval(by_seed),
                        "gain": _interval(gains) if gains else None,
                        "labels": len(taken),
                        "seeds": seeds,
                    }
                )
    return rows


def _interval(values: Sequence[float]) -> list[float | None]:
    found = t_interval(values)
    return [round(value, 4) if np.isfinite(value) else None for value in (found.mean, found.low, found.high)]


def collect_strokes(folder: Path) -> Path:
    """Make a folder with tables of labels and of sites (the kits) for the bundled drum strokes; return the sounds'."""
    _write(folder / "sites.csv", ["path", "site"], [[stroke.path.name, stroke.group] for stroke in strokes()])
    _write(folder / "labels.csv", ["path", "label"], [[stroke.path.name, stroke.label] for stroke in strokes()])
    return strokes()[0].path.parent


def collect_task(task: Path, among: Sequence[Path], folder: Path) -> list[Path]:
    """Write the splits of HEAR tasks as sites, for the folders of their clips, which are returned.

    Args:
        among: tasks whose clips are windows that no label says yes about.
    """
    rows, sounds = [], []
    for one in (task, *among):
        clips = one / str(SAMPLE_RATE_HZ)
        rows += [[f"{clips / split}", f"{one.name} {split}"] for split in read_task(one).splits]
        sounds.append(clips)
    _write(folder / "sites.csv", ["path", "site"], rows)
    return sounds


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def suggest(
    tasks: tuple[Path, ...] = (),
    among: tuple[Path, ...] = (),
    encoders: tuple[str, ...] = ("logmel", "axlstm-tiny"),
    ways: tuple[str, ...] = tuple(WAYS),
    weak_negatives: tuple[int, ...] = (0,),
    seeds: int = 5,
    budgets: tuple[int, ...] = BUDGETS,
    window_s: float = 5.0,
    heads: tuple[HeadChoice, ...] = ("logistic",),
    folder: Path | None = None,
    name: str = "suggest",
) -> int:
    """Simulate labelling on HEAR tasks, or on the bundled drum strokes.

    Args:
        tasks: tasks, or folders of tasks.
        among: tasks whose clips are put into each collection, where no label says yes about them: labels are rare then.
        encoders: as axlstm index takes them.
        ways: of choosing what to label.
        weak_negatives: numbers of unlabelled windows that count as a weak no, each tried.
        seeds: each holds out other groups and begins with another example.
        budgets: numbers of labels.
        window_s: length of a window; one of each clip if it is as long.
        heads: of the classifiers that are judged. Windows are chosen by the default one, as axlstm suggest does.
        folder: keeps the collections for the next run.
        name: of the file of results.
    """
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        chosen: list[Path | None] = [task for given in tasks for task in find_tasks(given.resolve())]
        for task in chosen or [None]:
            called = ("strokes" if task is None else task.name) + (f" among {len(among)}" if among else "")
            made = place / f"{called}.collection"
            others = [other.resolve() for other in among]
            sounds = [collect_strokes(place / called)] if task is None else collect_task(task, others, place / called)
            if not made.exists():
                create(made, sounds[0] if len(sounds) == 1 else sounds[0].parents[1]).close()
            with _open(made) as collection:
                for encoder in encoders:
                    collection.index(sounds, model=encoder, window_s=window_s, metadata=place / called / "sites.csv")
                import_labels(collection, [place / called / "labels.csv" if task is None else task])
                for entry, weak in product(collection.encoders(), weak_negatives):
                    begin, hidden = time.perf_counter(), hide(collection, entry.name, group="site")
                    found = compare_ways(hidden, ways, budgets, seeds, heads, weak=weak)
                    about = {"task": called, "encoder": entry.name, "windows": len(hidden.table)}
                    rows += [{**about, **row} for row in found]
                    print(f"{called} {entry.name}: {time.perf_counter() - begin:.0f} s", flush=True)
                    _print(found)
                    save(name, {"machine": describe_machine(), "rows": rows})
    return 0


def _open(folder: Path) -> Collection:
    from axlstm.collection.collection import open as open_collection

    return open_collection(folder)


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        told = {key: value for key, value in row.items() if key not in ("labels", "seeds")}
        print(json.dumps(told), flush=True)
