"""Train classifiers on the labels of a collection: ``axlstm train``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from axlstm.cli.progress import Progress
from axlstm.cli.repeated import Repeated
from axlstm.options import ClassifierMode, GroupName, HeadChoice

_SHOWN = 10


def train(
    collection: Positional[Path],
    out: Annotated[Path, arg(aliases=["-o"])],
    label: Repeated = (),
    mode: ClassifierMode = "multilabel",
    group: GroupName | None = None,
    head: HeadChoice = "logistic",
    weak_negatives: int = 0,
    precision: float | None = None,
    recall: float | None = None,
    seed: int = 0,
    encoder: str | None = None,
) -> int:
    """Train a classifier on the labels of a collection.

    A window counts as a yes or no of a label by the rules of labels about windows (docs/collections.md); what is unsure
    or unsaid is left out. The classifier is a folder with a report, report.html: how well each label is told in groups
    that it was not trained on, with 95 % intervals. Example: axlstm train birds.collection --label wren -o wren.model

    Args:
        collection: folder of the collection.
        out: a new folder for the classifier.
        label: name of a label, or several as wren,robin; given again, further ones.
        mode: multilabel tells each label by itself; multiclass takes a window to have one of the labels, or none where
            windows are a no for all of them.
        group: what is kept together in validation. None takes sites, if the metadata have one for every recording with
            labels and each label is at three of them; else recordings.
        head: logistic regression, discriminant analysis with shrinkage, a small network, or whichever of them has the
            highest average precision in validation.
        weak_negatives: number of unlabelled windows, drawn from all, that count as a no, each as a tenth of one.
        precision: share of yes above the threshold that is set, on the labelled windows. Without this and recall the
            threshold is a probability of 0.5.
        recall: share of all yes above the threshold that is set, on the labelled windows.
        seed: of all that is drawn.
        encoder: its name, if the collection has several.
    """
    from axlstm.collection.classifiers.examples import split_labels
    from axlstm.collection.collection import open as open_collection

    with open_collection(collection) as opened:
        labels = split_labels(opened, label)
        with Progress("training", len(labels)) as progress:
            classifier = opened.train(
                labels,
                out,
                encoder=encoder,
                mode=mode,
                group=group,
                head=head,
                weak_negatives=weak_negatives,
                precision=precision,
                recall=recall,
                seed=seed,
                progress=progress.advance,
            )
    _print_card(classifier.card)
    print(f"{out}: classifier of {', '.join(classifier.labels)}; {out / 'report.html'} shows how good it is")
    return 0


def _print_card(card: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from axlstm.collection.classifiers.card import COLUMNS, describe_gains, make_remarks, make_short_rows

    table = Table(box=None)
    for place, name in enumerate(COLUMNS[:-1]):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in make_short_rows(card):
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
    for remark in (*describe_gains(card)[:_SHOWN], *make_remarks(card)):
        print(f"  {remark}")
