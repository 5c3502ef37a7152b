"""Describe a classifier: how it was trained, on what, and how good it is, as JSON, as a table and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import axlstm
from axlstm.collection.classifiers.assess import Assessment
from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.classifiers.examples import UNSURE
from axlstm.collection.classifiers.intervals import FEW_GROUPS, show
from axlstm.collection.classifiers.learning import MORE
from axlstm.collection.classifiers.training import Trained, TrainOptions
from axlstm.collection.folder import CollectionFolder, now
from axlstm.errors import name_some
from axlstm.evaluate.reporting.interval import Interval

COLUMNS = (
    "label",
    "yes",
    "no",
    "unsure",
    "average precision",
    "threshold",
    "precision",
    "recall",
    f"{MORE} more labels",
)
MIX = (
    "all shares are of the labelled windows; where nobody has searched for a label it is rarer, so that probabilities "
    "promise too much there and precision is lower"
)


def make_card(
    collection: CollectionFolder,
    trained: Trained,
    assessments: Sequence[Assessment | None],
    options: TrainOptions,
    total: int,
) -> dict[str, Any]:
    """Collect what is known of a classifier, as plain JSON.

    Args:
        total: number of the encoder's windows in the collection.
    """
    classifier = trained.classifier
    labels = {
        label: _describe_label(trained, place, assessments[place]) for place, label in enumerate(classifier.labels)
    }
    count = len(trained.judged.rows)
    return {
        "axlstm": axlstm.__version__,
        "trained_at": now(),
        "collection": collection.folder.resolve().name,
        "windows": {"labelled": count, "unlabelled": total - count, "weak_negatives": trained.weak},
        "grouped_by": trained.groups.kind,
        "groups": len(trained.groups.names),
        "why_grouped": trained.groups.why,
        "validation": _describe_validation(trained),
        "mode": options.mode,
        "head": options.head,
        "seed": options.seed,
        "precision": options.target.precision,
        "recall": options.target.recall,
        "labels": labels,
        "notes": list(trained.notes),
    }


def _describe_label(trained: Trained, place: int, assessment: Assessment | None) -> dict[str, Any]:
    solved, outcome = trained.of_label(place)
    yes_groups = len({*outcome.groups[outcome.is_yes].tolist()})
    described: dict[str, Any] = {
        "yes": int(outcome.is_yes.sum()),
        "no": int((~outcome.is_yes).sum()),
        "unsure": int((trained.judged.said[:, place] == UNSURE).sum()),
        "groups": len({*outcome.groups.tolist()}),
        "groups_with_yes": yes_groups,
        "head": str(solved.validated.setting),
        "folds": int(solved.folds.max()) + 1,
        "calibration": solved.calibration.note or ("sigmoid" if solved.problem.outputs == 1 else "one slope for all"),
        "threshold": float(trained.classifier.thresholds[place]),
    }
    if assessment is None:
        return described
    found = {
        name: _plain(getattr(assessment, name))
        for name in ("average_precision", "area_under_roc", "precision", "recall", "brier")
    }
    learning = assessment.learning
    gain = {} if learning is None else {"more_labels": MORE, "gain": _plain(learning.gain)}
    return {**described, "windows": assessment.windows, **found, "counts": asdict(assessment.counts), **gain}


def _plain(interval: Interval) -> list[float | None]:
    """Write a value and the ends of its interval, None for what is not known."""
    values = (interval.mean, interval.low, interval.high)
    return [round(value, 4) if math.isfinite(value) else None for value in values]


def _describe_validation(trained: Trained) -> str:
    folds = sorted({int(one.folds.max()) + 1 for one in trained.solved})
    if folds == [1]:
        return "none: too few groups"
    told = f"{folds[-1]} folds" if len(folds) == 1 else f"{max(2, folds[0])} to {folds[-1]} folds"
    how = (
        "chosen on the other folds alone (nested)" if folds[-1] > 2 else "the default, since two folds leave no choice"
    )
    return f"{told} of whole groups, the shrinkage of each {how}; intervals draw groups anew"


def interval_of(values: Sequence[float | None] | None) -> Interval:
    """Read what a card says of a value."""
    if values is None:
        return Interval(math.nan, math.nan, math.nan)
    mean, low, high = (math.nan if value is None else float(value) for value in values)
    return Interval(mean, low, high)


def make_rows(card: Mapping[str, Any]) -> list[list[str]]:
    """Make a row for each label, of `COLUMNS`."""
    return [
        [
            label,
            *(str(about[verdict]) for verdict in ("yes", "no", "unsure")),
            show(interval_of(about.get("average_precision"))),
            f"{about['threshold']:.2f}",
            show(interval_of(about.get("precision"))),
            show(interval_of(about.get("recall"))),
            show(interval_of(about.get("gain")), "+.3f"),
        ]
        for label, about in card["labels"].items()
    ]


def make_short_rows(card: Mapping[str, Any]) -> list[list[str]]:
    """Make a row for each label, of `COLUMNS` but the last, with one interval, for a terminal."""
    return [[*row[:5], row[5], *(cell.partition(" ")[0] for cell in row[6:8])] for row in make_rows(card)]


def describe_gains(card: Mapping[str, Any]) -> list[str]:
    """Say what more labels would add to the average precision of each label."""
    gains = {label: interval_of(about.get("gain")) for label, about in card["labels"].items()}
    return [
        f"{label}: {MORE} more labels of the same kind would add {show(gain, '+.3f')} to the average precision"
        for label, gain in gains.items()
        if math.isfinite(gain.mean)
    ]


def make_remarks(card: Mapping[str, Any]) -> list[str]:
    """Say how the numbers came about, and what they do not say, one sentence or a few in each text."""
    windows, kind = card["windows"], card["grouped_by"]
    remarks = [
        f"{windows['labelled']} windows with labels; {windows['unlabelled']} without, which are not known and left out"
        + (f", but for {windows['weak_negatives']} that count as a weak no" if windows["weak_negatives"] else ""),
        f"grouped by {kind} ({card['why_grouped']}): {card['groups']} groups; validation: {card['validation']}",
        *card["notes"],
    ]
    few = [label for label, about in card["labels"].items() if "windows" in about and about["groups"] < FEW_GROUPS]
    if few:
        told = f"fewer than {FEW_GROUPS} groups, so that the intervals are too narrow"
        remarks.append(f"{name_some(few)}: {told}")
    return [*remarks, MIX]


def make_readme(classifier: Classifier, card: Mapping[str, Any]) -> bytes:
    """Write the card in words, as Markdown."""
    encoder = classifier.encoder
    table = [COLUMNS, ["---"] * len(COLUMNS), *make_rows(card)]
    lines = [
        f"# Classifier of {', '.join(classifier.labels)}",
        "",
        f"Trained by axlstm {card['axlstm']} on the collection {card['collection']}: windows of {encoder.window_s:g} s "
        f"every {encoder.hop_s:g} s, of the encoder {encoder.name} ({encoder.source}, fingerprint "
        f"{encoder.fingerprint[:16]}). `report.html` shows how good it is.",
        "",
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table),
        "",
        "Values out of fold, with 95 % intervals.",
        "",
        *(f"- {remark}" for remark in make_remarks(card)),
        "",
        "```python",
        "from axlstm.collection.classifiers.classifier import load_classifier",
        "",
        'classifier = load_classifier("FOLDER")',
        "classifier.probabilities(vectors)  # (n, D) to (n, labels)",
        "```",
    ]
    return ("\n".join(lines) + "\n").encode()


def describe_classifier(classifier: Classifier) -> dict[str, Any]:
    """Collect facts by name, in the order to show them; of the card, what is as `make_card` makes it."""
    encoder, card = classifier.encoder, classifier.card
    about = card.get("labels")
    facts: dict[str, Any] = {"kind": "classifier", "mode": classifier.mode}
    for label, threshold in zip(classifier.labels, classifier.thresholds, strict=True):
        own = about.get(label) if isinstance(about, Mapping) else None
        told = [f"threshold {threshold:.2f}"]
        if isinstance(own, Mapping) and (values := own.get("average_precision")) and _is_interval(values):
            told.append(f"average precision {show(interval_of(values))}")
        facts[f"label {label}"] = ", ".join(told)
    return {
        **facts,
        "windows": f"{encoder.window_s:g} s, every {encoder.hop_s:g} s",
        "encoder": f"{encoder.name}, {encoder.size} values",
        "made by": encoder.source,
        "fingerprint": encoder.fingerprint,
        **{name: str(card[name])[:200] for name in ("trained_at", "collection", "validation") if name in card},
    }


def _is_interval(values: Any) -> bool:
    is_list = isinstance(values, list) and len(values) == 3
    return is_list and all(isinstance(one, (float, int, type(None))) for one in values)
