"""Keep the probabilities that are finished while others are computed, and refuse those of another classifier."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.detections.scores import (
    Piece,
    ScoreBlock,
    ScoredRecording,
    ScoreFile,
    ScoreSettings,
    write_scores,
)
from axlstm.errors import ConfigError, DamageError, DataError, name_differences
from axlstm.files import writing
from axlstm.store.origin import KnownFiles

_PARTS = "part-*.parquet"
_log = logging.getLogger(__name__)


def settings_of(classifier: Classifier) -> ScoreSettings:
    """Return what the probabilities of a classifier depend on. Thresholds are not among it."""
    digest = hashlib.sha256(f"{classifier.mode}/{classifier.background}/{classifier.encoder.fingerprint}".encode())
    if classifier.frames is not None:  # which smooth probabilities
        digest.update(f"{classifier.frames.median_ms:g}".encode())
    arrays: list[NDArray[Any]] = [classifier.mean, classifier.deviation, classifier.slope, classifier.offset]
    arrays += [] if classifier.attention is None else [classifier.attention]
    for layer in classifier.layers:
        arrays += [layer.weight, layer.bias]
    for array in arrays:
        digest.update(f"{array.shape}".encode() + array.tobytes())
    windows = float(classifier.encoder.window_s), float(classifier.encoder.hop_s)
    return ScoreSettings(digest.hexdigest()[:16], classifier.labels, *windows)


class ScoreParts:
    """Finished parts beside an output, and the file of scores that they are for, if there is one.

    A damaged part is removed, with a warning.

    Args:
        scores: whose recordings are finished too; None for none.
        folder: of the parts.

    Raises:
        ConfigError: the probabilities there are of another classifier.
        DataError: the file of scores is damaged, or the disk does not give a file.
    """

    def __init__(self, scores: Path | None, folder: Path, settings: ScoreSettings) -> None:
        self.scores, self.folder, self.settings = scores, folder, settings
        self.kept = f"Finished parts are kept in {folder}"  # for messages
        self._group = lru_cache(maxsize=1)(ScoreFile.read_group)  # of one file: neighbours share it
        self._there: dict[str, tuple[ScoreFile, ScoredRecording, slice]] = {}  # by place; the latest content counts
        if scores is not None and scores.exists():
            try:
                self._enter(ScoreFile(scores))
            except DamageError as error:
                raise DataError(f"{error}. Move it away, and run the same command again to make it anew") from error
        self._paths = sorted(folder.glob(_PARTS))
        for path in list(self._paths):
            try:
                part = ScoreFile(path)
            except DamageError as error:
                _log.warning("%s; the recordings of this part are computed again", error)
                path.unlink()
                self._paths.remove(path)
                continue
            self._enter(part)

    def _enter(self, file: ScoreFile) -> None:
        if differing := name_differences(asdict(file.settings), asdict(self.settings)):
            raise ConfigError(
                f"{file.path} is of another classifier ({differing}): choose another output, or delete it to begin anew"
            )
        for recording, rows in file.recordings:
            self._there[recording.origin.place] = file, recording, rows

    def known(self) -> KnownFiles:
        """Return the recordings that are finished."""
        return KnownFiles((recording.path, recording.origin) for _, recording, _ in self._there.values())

    def add(self, pieces: Iterable[Piece]) -> None:
        """Write recordings as a new part.

        Raises:
            WriteError: the disk is full or fails.
        """
        number = int(self._paths[-1].stem.removeprefix("part-")) + 1 if self._paths else 0
        path = self.folder / f"part-{number:06d}.parquet"
        with writing(path, self.kept):
            write_scores(path, self.settings, pieces)
        self._paths.append(path)
        self._enter(ScoreFile(path))

    def recording(self, place: str) -> ScoredRecording:
        """Return a recording that is finished."""
        return self._there[place][1]

    def blocks(self, place: str) -> Iterator[ScoreBlock]:
        """Read the windows of a recording that is finished.

        Raises:
            DamageError: they were damaged meanwhile.
        """
        file, _, rows = self._there[place]
        for group, own in file.cut(rows):
            yield self._group(file, group).cut(own)

    def merge(self) -> None:
        """Write the file of scores from what it holds and the parts; earlier contents of recordings are left out.

        Raises:
            WriteError: the disk is full or fails.
        """
        if self.scores is None or not self._there or (self.scores.exists() and not self._paths):
            return
        with writing(self.scores, self.kept):
            write_scores(self.scores, self.settings, self._pieces())
        self._there.clear()  # what it holds points at rows of the file before
        self._group.cache_clear()
        self._enter(ScoreFile(self.scores))

    def replace(self, scores: Path, places: Iterable[str], pieces: Iterable[Piece]) -> None:
        """Write a file of scores with recordings from elsewhere, in place of what is finished of the same places.

        Raises:
            WriteError: the disk is full or fails.
        """
        for place in places:
            self._there.pop(place, None)
        with writing(scores):
            write_scores(scores, self.settings, chain(self._pieces(), pieces))

    def _pieces(self) -> Iterator[Piece]:
        for place, (_, recording, _) in self._there.items():
            yield from ((recording, block) for block in self.blocks(place))

    def clear(self) -> None:
        """Remove the parts."""
        for path in self._paths:
            path.unlink()
