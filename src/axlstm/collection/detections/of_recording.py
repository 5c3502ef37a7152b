"""Detect in one recording of a collection, by the vectors that it has."""

from __future__ import annotations

from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.detections.heard import HeardRecording, Tally, find_detections, score_windows
from axlstm.collection.detections.of_collection import find_entry
from axlstm.collection.detections.output import Detection
from axlstm.collection.detections.segments import Rule
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.marks import Facts
from axlstm.errors import DataError


def detect_in_recording(
    collection: CollectionFolder, classifier: Classifier, recording: int, rule: Rule
) -> list[Detection]:
    """Find the stretches of a recording in which a classifier hears its labels, in the order of time.

    Raises:
        ConfigError: the collection has no windows that the classifier can score.
        DataError: no such recording, or it has no windows of the classifier's encoder.
    """
    entry = find_entry(collection, classifier)
    row = collection.tables.execute(
        "SELECT path, duration_s, sample_rate_hz, recorded_at FROM recordings WHERE id = ? AND removed_at IS NULL",
        (recording,),
    ).fetchone()
    windows = collection.windows(entry, recording)
    if row is None or windows is None:
        raise DataError(f"{collection.folder}: no windows of {entry.name} in recording {recording}; index it")
    facts = Facts(str(collection.place_of(row["path"])), row["duration_s"], row["sample_rate_hz"])
    scores = score_windows(classifier, windows.vectors, windows.start_s, windows.end_s, row["path"])
    heard = HeardRecording(row["path"], facts, row["recorded_at"], lambda: iter([scores]))
    return list(find_detections([heard], rule, Tally(classifier.labels)))
