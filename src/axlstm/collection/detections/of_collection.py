"""Score the windows of a collection by the vectors that it has, without any sound."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.detections.heard import HeardRecording, score_windows
from axlstm.collection.detections.scores import Piece, ScoreBlock, ScoredRecording
from axlstm.collection.folder import CollectionFolder, EncoderEntry
from axlstm.collection.labels.exporting import find_facts
from axlstm.errors import AudioError, ConfigError, DamageError
from axlstm.store.origin import Origin, hash_place

_BLOCK_ROWS = 4096


def find_entry(collection: CollectionFolder, classifier: Classifier) -> EncoderEntry:
    """Find the encoder of a collection whose windows a classifier can score.

    Raises:
        ConfigError: the collection has none; the message says how to get one.
    """
    try:
        return classifier.entry_in(collection)
    except ConfigError as error:
        encoder = classifier.encoder
        lengths = f"--window-s {encoder.window_s:g} --hop-s {encoder.hop_s:g}"
        raise ConfigError(
            f"{error}. Index with it too: axlstm index RECORDINGS -o {collection.folder} -m {encoder.source} {lengths} "
            "--name NAME; or give the recordings in place of the collection"
        ) from error


class CollectionScores:
    """The recordings of a collection that are present, with the probabilities of their windows.

    Raises:
        ConfigError: as `find_entry`.
        DamageError: a part is missing or damaged.
    """

    def __init__(self, collection: CollectionFolder, classifier: Classifier) -> None:
        self._classifier = classifier
        entry = find_entry(collection, classifier)
        spans, mapped = collection.map_spans(entry)
        self._windows = {span.recording: mapped[span.part][1].cut(span.first_row, span.rows) for span in spans}
        self._rows = collection.tables.execute(
            "SELECT id, path, size_bytes, modified, quick_digest, digest, duration_s, sample_rate_hz, recorded_at "
            "FROM recordings WHERE removed_at IS NULL ORDER BY path"
        ).fetchall()
        resolve = cache(Path.resolve)  # of folders: a link to a file is a file of its own, as in `find_audio`
        files = collection.places_of([row["path"] for row in self._rows])
        self._places = [hash_place(resolve(file.parent) / file.name) for file in files]
        self._facts = find_facts(collection)
        self.asked = len(self._rows)
        without = f"no windows of {entry.name} in the collection; axlstm index makes them"
        self.skipped = [(row["path"], without) for row in self._rows if row["id"] not in self._windows]

    def recordings(self) -> list[HeardRecording]:
        """List the recordings with windows, by their paths."""
        return [
            HeardRecording(row["path"], self._facts[row["path"]], row["recorded_at"], partial(self._blocks, row))
            for row in self._rows
            if row["id"] in self._windows
        ]

    def places(self) -> list[str]:
        """List the hashed paths of the recordings with windows, which a run over files knows them by."""
        return [place for row, place in zip(self._rows, self._places, strict=True) if row["id"] in self._windows]

    def pieces(self) -> Iterator[Piece]:
        """Score all windows."""
        for row, place in zip(self._rows, self._places, strict=True):
            if row["id"] in self._windows:
                facts = row["path"], row["duration_s"], row["sample_rate_hz"], row["recorded_at"]
                digests = row["quick_digest"], row["digest"]
                recording = ScoredRecording(*facts, Origin(row["size_bytes"], row["modified"], place, *digests))
                yield from ((recording, block) for block in self._blocks(row))

    def _blocks(self, row: sqlite3.Row) -> Iterator[ScoreBlock]:
        windows = self._windows[row["id"]]
        for first in range(0, len(windows), _BLOCK_ROWS):
            own = windows.cut(first, _BLOCK_ROWS)
            try:
                yield score_windows(self._classifier, own.vectors, own.start_s, own.end_s, row["path"])
            except AudioError as error:
                raise DamageError(f"{error}; axlstm collection verify says more") from error
