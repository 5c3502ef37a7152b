"""Estimate the densities of calls in a collection and in groups of its windows, and write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.density.bins import find_bins
from axlstm.collection.density.estimate import Density, Shares, estimate_density, estimate_shares
from axlstm.collection.density.groups import group_windows
from axlstm.collection.density.judging import find_rows, judge_rows
from axlstm.collection.density.plan import Plan, read_plan, shorten
from axlstm.collection.density.sample import score_label
from axlstm.collection.detections.of_collection import find_entry
from axlstm.collection.detections.parts import settings_of
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError
from axlstm.files import write_atomically

ALL = "*"
"""The value in the columns of the groups that stands for all groups."""


@dataclass(frozen=True)
class DensityTable:
    """Densities of all windows together, and of groups of them.

    Args:
        by: columns of the groups.
        rows: the values of each group, and its density; all windows together come first.
        shares: P(+ | b) of each bin, from the lowest scores up.
        edges: scores at which bins after the first begin.
        open: windows that were drawn and are not judged, or are unsure.
        gone: windows that were drawn and are not in the collection any more.
        newer: recordings that were indexed after the draw, and their windows, which count in the densities.
    """

    by: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], Density], ...]
    shares: Shares
    edges: tuple[float, ...]
    open: int
    gone: int
    newer: tuple[int, int]


def estimate_densities(
    collection: CollectionFolder, classifier: Classifier, sample: Path, by: Sequence[str] = ()
) -> DensityTable:
    """Estimate the density of calls in all windows of a collection and in groups, from the judged ones of a sample.

    Args:
        sample: folder that `axlstm.collection.density.sample.draw_sample` made.
        by: columns of the groups, see `axlstm.collection.density.groups.group_windows`.

    Raises:
        ConfigError: another classifier than the sample's, a column that no recording has, or a collection without the
            classifier's windows.
        DataError, DamageError: the sample or the collection cannot be read, or a bin without a judged window.
    """
    plan = read_plan(sample)
    if (fingerprint := settings_of(classifier).fingerprint) != plan.classifier:
        raise ConfigError(
            f"{sample}: drawn by the scores of another classifier (fingerprint {plan.classifier} there, {fingerprint} "
            "here); give that one, or draw anew"
        )
    table = WindowTable(collection, find_entry(collection, classifier))
    names, groups = group_windows(collection, table, by)
    edges = np.array(plan.edges)
    bins = find_bins(score_label(collection, table, classifier, plan.label), edges)
    rows = find_rows(collection, table, plan.windows)
    there = rows[rows >= 0]
    verdicts = np.array(judge_rows(collection, table, there, plan.label), dtype=object)
    judged, heard = there[np.isin(verdicts, ["yes", "no"])], there[verdicts == "yes"]
    shape = len(names), len(edges) + 1
    n, k, m = (_count(groups, bins, own, shape) for own in (np.arange(len(table)), judged, heard))  # (G, B) each
    shares = estimate_shares(k.sum(axis=0), m.sum(axis=0))
    found = [((ALL,) * len(by), estimate_density(n.sum(axis=0), k.sum(axis=0), m.sum(axis=0), shares))]
    if by:
        found += [(values, estimate_density(n[g], k[g], m[g], shares)) for g, values in enumerate(names)]
    left = len(there) - len(judged), len(rows) - len(there)
    return DensityTable(tuple(by), tuple(found), shares, plan.edges, *left, _count_newer(collection, table, plan))


def write_densities(out: Path, table: DensityTable) -> None:
    """Write densities as CSV, a row for all windows and for each group.

    Raises:
        WriteError: the disk is full or fails.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.by, "windows", "density", "low", "high", "judged", "heard", "expected"])
    for values, one in table.rows:
        shares = (f"{share:.6f}" for share in (one.density, one.low, one.high))
        writer.writerow([*values, one.windows, *shares, one.judged, one.heard, f"{one.expected:.3f}"])
    write_atomically(out, text.getvalue().encode())


def _count_newer(collection: CollectionFolder, table: WindowTable, plan: Plan) -> tuple[int, int]:
    """Count recordings that were not there when windows were drawn, and their windows."""
    known = set(plan.known)
    digests = dict(tuple(row) for row in collection.tables.execute("SELECT id, digest FROM recordings"))
    is_newer = np.array([shorten(digests[one]) not in known for one in table.recordings.tolist()])  # (S,)
    return int(is_newer.sum()), int(np.diff(table.starts)[is_newer].sum())


def _count(
    groups: NDArray[np.int64], bins: NDArray[np.int64], rows: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Count rows by group and bin ``(G, B)``."""
    return np.bincount(groups[rows] * shape[1] + bins[rows], minlength=shape[0] * shape[1]).reshape(shape)
