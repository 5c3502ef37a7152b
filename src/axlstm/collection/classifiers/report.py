"""Write the report of a classifier: one web page with tables, curves and players inside."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.assess import Assessment, Mistake, count_confusions, find_mistakes
from axlstm.collection.classifiers.card import COLUMNS, make_remarks, make_rows
from axlstm.collection.classifiers.figures import draw_label
from axlstm.collection.classifiers.intervals import show
from axlstm.collection.classifiers.learning import MORE
from axlstm.collection.classifiers.training import Trained
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.search.hits import Hit
from axlstm.collection.search.notebook import encode_hit, make_table
from axlstm.collection.search.run import describe_matches
from axlstm.collection.search.searcher import Match
from axlstm.collection.search.table import WindowTable
from axlstm.errors import AudioError, describe_error
from axlstm.evaluate.reporting.figures import draw_confusion
from axlstm.options import HeadMode
from axlstm.show import webpage

MOST_PLAYERS = 60
_MOST_S = 10.0  # of a longer window, its middle is played
_MODES: Mapping[HeadMode, str] = {
    "multilabel": "Each label is told by itself: a window may have several, or none.",
    "multiclass": "Of the labels, a window has one at most.",
}


def make_report(
    collection: CollectionFolder,
    table: WindowTable,
    trained: Trained,
    assessments: Sequence[Assessment | None],
    card: Mapping[str, Any],
) -> bytes:
    """Make the page."""
    labels = trained.classifier.labels
    parts = [
        f"<h1>Classifier of {html.escape(', '.join(labels))}</h1>",
        f"<p>{html.escape(_introduce(trained, card))}</p>",
        webpage.table(COLUMNS, make_rows(card)),
        '<p class="small">Values out of fold, with 95 % intervals. Precision and recall are those at the threshold. '
        f"{MORE} more labels: what so many of the same kind would add to the average precision.</p>",
        "<ul>" + "".join(f"<li>{html.escape(remark)}</li>" for remark in make_remarks(card)) + "</ul>",
    ]
    confusions = count_confusions(trained)
    if confusions is not None and confusions.any():
        names = trained.solved[0].examples.names
        drawn = draw_confusion(confusions, names)
        parts += ["<h2>Confusions</h2>", "<p>Share of each true class, by the most probable one out of fold.</p>"]
        parts.append(webpage.figure(drawn, "Confusions"))
    players = _Players(collection)
    for place, assessment in enumerate(assessments):
        parts += _label_parts(collection, table, trained, place, assessment, players)
    return webpage.page(f"Classifier of {', '.join(labels)}", parts).encode()


def _introduce(trained: Trained, card: Mapping[str, Any]) -> str:
    encoder = trained.classifier.encoder
    return (
        f"Trained on the collection {card['collection']}: windows of {encoder.window_s:g} s, every "
        f"{encoder.hop_s:g} s, of the encoder {encoder.name}. {_MODES[trained.classifier.mode]}"
    )


class _Players:
    """Players of windows; from some number on, none are given, and the page says so."""

    def __init__(self, collection: CollectionFolder) -> None:
        self._collection, self._left = collection, MOST_PLAYERS

    def play(self, hit: Hit) -> str:
        if not self._left:
            return f"not played: the page has {MOST_PLAYERS} players"
        middle = (hit.start_s + hit.end_s) / 2
        begin, end = max(hit.start_s, middle - _MOST_S / 2), min(hit.end_s, middle + _MOST_S / 2)
        try:
            content = encode_hit(self._collection, replace(hit, start_s=begin, end_s=end), "FLAC")
        except (AudioError, OSError) as error:
            return html.escape(describe_error(error))
        self._left -= 1
        return webpage.play_sound(content, "audio/flac")


def _label_parts(
    collection: CollectionFolder,
    table: WindowTable,
    trained: Trained,
    place: int,
    assessment: Assessment | None,
    players: _Players,
) -> list[str]:
    label = trained.classifier.labels[place]
    parts = [f"<h2>{html.escape(label)}</h2>"]
    if assessment is None:
        return [*parts, "<p>No scores out of fold of a yes and a no: nothing says how well it is told.</p>"]
    solved, outcome = trained.of_label(place)
    counts = assessment.counts
    told = (
        f"{assessment.windows} windows of {assessment.groups} groups. Average precision "
        f"{show(assessment.average_precision)}, area under the ROC curve {show(assessment.area_under_roc)}, "
        f"Brier score {show(assessment.brier, '.3f')}."
    )
    parts += [f"<p>{html.escape(told)}</p>"]
    parts.append(
        webpage.table(
            ["at the threshold", "heard", "not heard"],
            [
                ["yes", str(counts.hits), str(counts.misses)],
                ["no", str(counts.false_alarms), str(counts.rejections)],
            ],
        )
    )
    drawn = draw_label(assessment, float(outcome.is_yes.mean()))
    parts.append(webpage.figure(drawn, f"Precision and recall, ROC, calibration and learning of {label}"))
    mistakes = find_mistakes(outcome, float(trained.classifier.thresholds[place]))
    rows = solved.examples.rows[solved.examples.is_judged]
    for is_yes, title in ((False, "Heard, and a no"), (True, "Not heard, and a yes")):
        chosen = [mistake for mistake in mistakes if mistake.is_yes == is_yes]
        if chosen:
            hits = _as_hits(collection, table, rows, chosen)
            parts += [f"<h3>{title}</h3>", make_table(hits, [players.play(hit) for hit in hits])]
    return parts


def _as_hits(
    collection: CollectionFolder, table: WindowTable, rows: NDArray[np.int64], mistakes: Sequence[Mistake]
) -> list[Hit]:
    """Describe windows, with their probability as the score."""
    matches = [Match(int(rows[mistake.index]), mistake.probability) for mistake in mistakes]
    return list(describe_matches(collection, table, matches))
