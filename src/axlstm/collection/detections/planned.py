"""Detect in parts: workers write the probabilities of windows, and one process finds the detections in them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from axlstm.collection.classifiers.classifier import Classifier, load_classifier
from axlstm.collection.description import is_collection
from axlstm.collection.detections.heard import HeardRecording, score_vectors
from axlstm.collection.detections.parts import ScoreParts, settings_of
from axlstm.collection.detections.run import DetectSummary, Wanted, make_findings, write_heard
from axlstm.collection.detections.scores import Piece, ScoreBlock, ScoredRecording, write_scores
from axlstm.collection.encoders import WindowEncoder
from axlstm.collection.labels.marks import Facts
from axlstm.collection.recorded import read_recorded
from axlstm.errors import ConfigError
from axlstm.files import readable_name, writing
from axlstm.options import DetectionFormat
from axlstm.parts.accounts import read_account, rows_name
from axlstm.parts.contents import is_copied
from axlstm.parts.drive import take_plan
from axlstm.parts.entries import Entry
from axlstm.parts.folders import Folder
from axlstm.parts.listing import Listing
from axlstm.parts.opening import open_folder
from axlstm.parts.plan import Limits, Plan
from axlstm.parts.run import GatheredWork, Tally
from axlstm.store.claims import claimed
from axlstm.store.origin import hash_place
from axlstm.store.planned import PlannedFile, PlannedWork
from axlstm.threads import on_all_cores


def plan_detect(
    classifier: Path,
    sources: Sequence[str],
    out: Path,
    place: str,
    limits: Limits,
    *,
    format: DetectionFormat | None = None,
    threshold: float | None = None,
    low: float | None = None,
    gap_s: float = 0.0,
    scores: Path | None = None,
    model: str | None = None,
    **options: Any,
) -> tuple[Folder, Plan]:
    """Plan the parts of what `axlstm.collection.detections.run.detect` does, or take the plan that is there.

    Args:
        classifier: its folder, which workers need too.
        sources: sound files, folders, and tar, zip and parquet files: paths and URLs (`axlstm.parts.listing.Listing`).
        out, format, threshold, low, gap_s, scores, model, options: as for ``detect``.
        place: a folder for the parts, or the URL of one.

    Raises:
        ConfigError: the parts were planned otherwise, a collection, or options that do not fit.
        AxlstmError: as ``detect``; or the plan cannot be written.
    """
    loaded = load_classifier(classifier)
    wanted = Wanted.make(loaded, out, format, threshold=threshold, low=low, gap_s=gap_s, scores=scores)
    if collections := [source for source in sources if is_collection(Path(source))]:
        raise ConfigError(f"{collections[0]}: a collection, which is scored at once: leave --runner out")
    if options.get("engine") == "processes":
        raise ConfigError("engine='processes': parts have processes of their own; leave the engine out")
    job = {
        "command": "detect",
        "out": str(out.absolute()),
        "classifier": str(classifier.absolute()),
        "fingerprint": settings_of(loaded).fingerprint,
        "format": wanted.format,
        "rule": {"threshold": threshold, "low": low, "gap_s": gap_s},
        "scores": None if scores is None else str(scores.absolute()),
        "how": {"model": model, **options, "layers": _listed(options.get("layers"))},
    }

    def listed() -> tuple[Iterable[Entry], Mapping[str, int]]:
        listing = Listing(sources, without=place)
        return _mark_there(listing, loaded, scores), listing.not_sound

    folder = open_folder(place)
    return folder, take_plan(folder, job, sources, limits, listed)


def _listed(layers: Any) -> Any:
    return list(layers) if isinstance(layers, Sequence) else layers


def _mark_there(listing: Iterable[Entry], classifier: Classifier, scores: Path | None) -> Iterator[Entry]:
    """Mark the recordings whose probabilities a file of scores has."""
    if scores is None or not scores.exists():
        yield from listing
        return
    known = ScoreParts(scores, scores.parent / "no parts", settings_of(classifier)).known()
    entries = list(listing)
    held = on_all_cores(
        lambda entry: not (entry.skip or is_copied(entry)) and known.hold(Path(entry.path), _place(entry, "")), entries
    )
    for entry, is_held in zip(entries, held, strict=True):
        yield Entry(entry.path, there=True) if is_held else entry


def _place(entry: Entry, base: str) -> str:
    """Return the place of a recording, as its origin has it."""
    if is_copied(entry):
        return hash_place(Path(entry.path))
    path = Path(base, entry.path)
    return hash_place(path.parent.resolve() / path.name)


class DetectParts(GatheredWork):
    """Scores the windows of recordings with a classifier.

    Args:
        plan: made by `plan_detect`.

    Raises:
        ConfigError: the classifier is not the one that the parts were planned with.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.classifier = plan, _load(plan)
        self.encoder = self.classifier.load_encoder(**plan.job["how"])

    def write(self, entries: Sequence[Entry], path: Path) -> Tally:
        with tempfile.TemporaryDirectory(prefix="axlstm-") as copies:
            scores = _Scores(self.classifier, self.encoder, self.plan.base, Path(copies))
            scores.embed(entries)
            write_scores(path, settings_of(self.classifier), scores.pieces)
        return scores.tally

    @classmethod
    def gather(cls, folder: Folder, plan: Plan) -> DetectSummary:
        """Write the detections in the recordings of all parts."""
        job, classifier = plan.job, _load(plan)
        scores = None if job["scores"] is None else Path(job["scores"])
        wanted = Wanted.make(classifier, Path(job["out"]), job["format"], **job["rule"], scores=scores)
        entries = [entry for part in range(plan.parts) for entry in plan.read_entries(folder, part)]
        accounts = [read_account(folder, plan, part) for part in range(plan.parts)]
        skipped = [one for account in accounts if account is not None for one in account.skipped]
        left_out = {path for path, _ in skipped}
        kept = [entry for entry in entries if readable_name(entry.path) not in left_out]
        with claimed(wanted.scores or wanted.out), folder.at_hand(list(map(rows_name, range(plan.parts)))) as here:
            parts = ScoreParts(wanted.scores, here, settings_of(classifier))
            parts.merge()
            heard = [_hear(parts, entry, plan.base) for entry in kept]
            with writing(wanted.out):
                tally = write_heard(classifier, heard, wanted, skipped)
        there = sum(entry.there for entry in kept)
        asked = len(entries) + sum(plan.not_sound.values())
        findings = make_findings(wanted.rule, tally)
        scored = len(kept) - there
        return DetectSummary(asked, scored, there, tally.windows, findings, tuple(skipped), plan.not_sound)


def _load(plan: Plan) -> Classifier:
    classifier = load_classifier(Path(plan.job["classifier"]))
    if settings_of(classifier).fingerprint != plan.job["fingerprint"]:
        raise ConfigError(
            f"{plan.job['classifier']}: another classifier than that which the parts were planned with; put that back, "
            "or choose another OUT"
        )
    return classifier


def _hear(parts: ScoreParts, entry: Entry, base: str) -> HeardRecording:
    place = _place(entry, base)
    recording = parts.recording(place)
    path = Path(base, entry.path)
    real = entry.path if is_copied(entry) else path.parent.resolve() / path.name
    facts = Facts(readable_name(real), recording.duration_s, recording.sample_rate_hz)
    return HeardRecording(readable_name(entry.path), facts, recording.recorded_at, lambda: parts.blocks(place))


class _Scores(PlannedWork):
    """Scores the windows of the recordings of one part; they are few numbers, and wait in memory."""

    def __init__(self, classifier: Classifier, encoder: WindowEncoder, base: str, copies: Path) -> None:
        super().__init__(encoder.limit, base, copies)
        self.classifier, self.encoder = classifier, encoder
        self.pieces: list[Piece] = []

    def read(self, content: Path) -> Any:
        return self.encoder.prepare(content)

    def describe(self, task: Entry, content: Path) -> str | None:
        return read_recorded(content, PurePosixPath(task.path).stem if is_copied(task) else None).recorded_at

    def size(self, ready: PlannedFile) -> int | None:
        return None if ready.sound is None else self.encoder.size_of(ready.sound)

    def keep(self, group: Sequence[tuple[Entry, PlannedFile]]) -> None:
        blocks = self.encoder.embed([ready.sound for _, ready in group])
        pairs = list(zip(group, blocks, strict=True))
        scored = [score_vectors(self.classifier, block, task.path) for (task, _), block in pairs]
        for (task, ready), block in zip(group, scored, strict=True):
            self._add(task, ready, [block])

    def embed_long(self, task: Entry, ready: PlannedFile) -> None:
        pieces = (score_vectors(self.classifier, vectors, task.path) for vectors in self.encoder.stream(ready.content))
        self._add(task, ready, list(self.read_long(task, ready, pieces)))

    def _add(self, task: Entry, ready: PlannedFile, blocks: Sequence[ScoreBlock]) -> None:
        facts = ready.facts["duration_s"], ready.facts["sample_rate_hz"]
        recording = ScoredRecording(readable_name(task.path), *facts, ready.about, ready.origin)
        self.pieces += [(recording, block) for block in blocks]
        self.count(ready.facts["duration_s"], sum(len(block.start_s) for block in blocks))
