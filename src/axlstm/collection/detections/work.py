"""Compute the probabilities of files' windows, and write them as parts while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axlstm.audio.read import file_facts
from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.detections.heard import score_vectors
from axlstm.collection.detections.parts import ScoreParts
from axlstm.collection.detections.scores import Piece, ScoredRecording
from axlstm.collection.encoders import WindowEncoder, WindowVectors
from axlstm.collection.interrupts import Interrupts
from axlstm.collection.recorded import read_recorded
from axlstm.errors import AudioError
from axlstm.files import readable_name
from axlstm.store.origin import Origin, read_origin
from axlstm.store.work import LONG_SECONDS, PART_SECONDS, FileWork, check_unchanged, read_through

_PART_FILES = 4096  # the most of a part


@dataclass(frozen=True)
class DetectTask:
    """A file whose windows have no probabilities yet. The place is a hash of its absolute path."""

    file: Path
    place: str


@dataclass(frozen=True)
class _Ready:
    """A file that was read and is not scored yet; its sound is None if it is too long to be held in memory."""

    origin: Origin
    facts: Mapping[str, Any]
    recorded_at: str | None
    sound: Any


class DetectWork(FileWork[DetectTask, _Ready]):
    """Scores files into parts; windows of neighbouring files are computed together.

    Args:
        encoder: loaded already, so that its limit is known.
    """

    def __init__(
        self,
        classifier: Classifier,
        encoder: WindowEncoder,
        parts: ScoreParts,
        progress: Callable[[float], None],
        interrupts: Interrupts,
    ) -> None:
        super().__init__(encoder.limit, _PART_FILES, progress)
        self.classifier, self.encoder, self.parts = classifier, encoder, parts
        self.scored: set[str] = set()  # places of the files that are in parts now
        self._interrupts = interrupts
        self._part: list[Piece] = []  # waits to be written

    def embed(self, tasks: Iterable[DetectTask]) -> None:
        """Score all files.

        Raises:
            KeyboardInterrupt: it came, and what was finished is written; the message says how much is kept.
        """
        try:
            super().embed(tasks)
        except KeyboardInterrupt:
            self.write()
            raise KeyboardInterrupt(f"{len(self.scored)} recordings of this run are kept") from None

    def name(self, task: DetectTask) -> tuple[Path, Path]:
        return task.file, task.file

    def prepare(self, task: DetectTask) -> _Ready:
        origin = read_origin(task.file, task.place)  # first, so that what is read is of this content or refused
        facts = file_facts(task.file)
        is_long = facts["duration_s"] >= LONG_SECONDS
        recorded_at = read_recorded(task.file).recorded_at
        ready = _Ready(origin, facts, recorded_at, None if is_long else self.encoder.prepare(task.file))
        check_unchanged(task.file, task.file, origin)
        return ready

    def size(self, ready: _Ready) -> int | None:
        return None if ready.sound is None else self.encoder.size_of(ready.sound)

    def keep(self, group: Sequence[tuple[DetectTask, _Ready]]) -> None:
        if self._interrupts.asked:  # where something swallowed the exception
            raise KeyboardInterrupt
        blocks = self.encoder.embed([ready.sound for _, ready in group])
        pairs = list(zip(group, blocks, strict=True))
        scored = [score_vectors(self.classifier, block, str(task.file)) for (task, _), block in pairs]
        for (task, ready), block in zip(group, scored, strict=True):
            self._part.append((_describe(task, ready), block))
            self.progress(1.0)
        seconds = sum(recording.duration_s for recording, _ in self._part)
        if seconds >= PART_SECONDS or len(self._part) >= _PART_FILES:
            self.write()

    def embed_long(self, task: DetectTask, ready: _Ready) -> None:
        """Write a long file as a part of its own, while it is computed."""
        duration_s, done = max(ready.facts["duration_s"], 1e-9), 0.0
        recording = _describe(task, ready)

        def pieces() -> Iterator[Piece]:
            nonlocal done
            for vectors in read_through(task.file, self._long_vectors(task, ready.origin)):
                block = score_vectors(self.classifier, vectors, str(task.file))
                reached = min(float(block.end_s[-1]) / duration_s, 1.0)
                self.progress(reached - done)
                done = reached
                yield recording, block

        try:
            self.parts.add(pieces())
        except AudioError:
            self.progress(-done)
            raise
        self.scored.add(task.place)
        self.progress(1.0 - done)

    def _long_vectors(self, task: DetectTask, origin: Origin) -> Iterator[WindowVectors]:
        yield from self.encoder.stream(task.file)
        check_unchanged(task.file, task.file, origin)

    def waiting(self) -> int:
        return len(self._part)

    def write(self) -> None:
        if not self._part:
            return
        with self._interrupts.held():
            part, self._part = self._part, []
            self.parts.add(part)
            self.scored.update(recording.origin.place for recording, _ in part)


def _describe(task: DetectTask, ready: _Ready) -> ScoredRecording:
    facts = ready.facts["duration_s"], ready.facts["sample_rate_hz"]
    return ScoredRecording(readable_name(task.file), *facts, ready.recorded_at, ready.origin)
