"""Run a classifier over recordings or over a collection, and write what it hears."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axlstm.audio.find import by_place, find_audio
from axlstm.collection.classifiers.classifier import Classifier, load_classifier
from axlstm.collection.collection import open as open_collection
from axlstm.collection.description import is_collection
from axlstm.collection.detections.heard import HeardRecording, Tally, find_detections, rule_of
from axlstm.collection.detections.of_collection import CollectionScores
from axlstm.collection.detections.output import check_out, choose_format, write_detections
from axlstm.collection.detections.parts import ScoreParts, settings_of
from axlstm.collection.detections.segments import Rule
from axlstm.collection.detections.work import DetectTask, DetectWork
from axlstm.collection.interrupts import taking_interrupts
from axlstm.collection.labels.marks import Facts
from axlstm.errors import ConfigError
from axlstm.files import is_pipe, readable_name, writing
from axlstm.options import DetectionFormat
from axlstm.store.claims import claimed, write_skipped
from axlstm.store.origin import hash_place
from axlstm.threads import on_all_cores

_A_PIPE = "a pipe, which can be read only once; axlstm stream --classifier takes it, or save it as a file first"


@dataclass(frozen=True)
class LabelFinding:
    """Counts of a label's detections and of recordings with some, and the highest probability of a window."""

    label: str
    threshold: float
    detections: int
    recordings: int
    peak: float


@dataclass(frozen=True)
class DetectSummary:
    """Account of everything that was asked for: asked = scored + there + skipped + not sound.

    An entry that is named or reached in several ways is one.
    """

    asked: int
    scored: int
    there: int  # recordings whose probabilities were finished before
    windows: int  # of both
    findings: tuple[LabelFinding, ...]
    skipped: tuple[tuple[str, str], ...]  # path and reason
    not_sound: Mapping[str, int] = field(default_factory=dict)  # see `axlstm.audio.find.Found`


@dataclass(frozen=True)
class Wanted:
    """The output of detections, and the rule by which they are found."""

    out: Path
    format: DetectionFormat
    rule: Rule
    scores: Path | None

    @classmethod
    def make(
        cls,
        classifier: Classifier,
        out: Path,
        format: DetectionFormat | None,
        *,
        threshold: float | None,
        low: float | None,
        gap_s: float,
        scores: Path | None,
    ) -> Wanted:
        """Check what is asked for, as `detect` takes it.

        Raises:
            ConfigError: an option that does not fit.
        """
        if scores is not None and (scores.suffix.lower() != ".parquet" or scores.absolute() == out.absolute()):
            raise ConfigError(f"scores={scores}: expected a name of its own that ends with .parquet")
        rule = rule_of(classifier, threshold, low, gap_s)
        wanted = cls(out, choose_format(out, format), rule, scores)
        check_out(out, wanted.format)
        return wanted

    @property
    def report(self) -> Path:
        return self.out.with_name(self.out.name + ".skipped.jsonl")


def detect(
    classifier: Classifier | str | os.PathLike[str],
    recordings: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    format: DetectionFormat | None = None,
    threshold: float | None = None,
    low: float | None = None,
    gap_s: float = 0.0,
    scores: str | os.PathLike[str] | None = None,
    model: str | None = None,
    progress: Callable[[float, float], None] = lambda _, __: None,
    **options: Any,
) -> DetectSummary:
    """Write the stretches of recordings in which a classifier hears its labels.

    What cannot be read is skipped, and listed in ``OUT.skipped.jsonl``. An interrupted call is taken up by the same
    call, also with other thresholds or another format, since finished probabilities wait in ``OUT.parts``.

    Args:
        classifier: or its folder.
        recordings: sound files, or folders to search with all their subfolders; or one collection, whose vectors are
            scored without any sound.
        out: a file; for ``audacity`` a new folder.
        format: None goes by the name of ``out``.
        threshold, low, gap_s: see `axlstm.collection.detections.segments.make_rule`.
        scores: a parquet file for the probabilities of all windows. Recordings that it has are not computed again.
        model: where the classifier's encoder is now, if it is not where it was when the classifier was trained.
        progress: called with the number of files that are done, and of all.
        options: of the encoder, such as ``device``.

    Raises:
        ConfigError: an option that does not fit, or one of the encoder with a collection; an encoder that is not there,
            a collection without its windows, or probabilities of another classifier beside ``out`` or in ``scores``.
        DataError, DamageError: the classifier, the scores or the collection cannot be read.
        InUseError: another process works on ``out``.
        WriteError: the disk is full or fails; the same call goes on from the finished parts.
    """
    if not isinstance(classifier, Classifier):
        classifier = load_classifier(Path(classifier))
    out, given = Path(out), [Path(recording) for recording in recordings]
    kept = None if scores is None else Path(scores)
    wanted = Wanted.make(classifier, out, format, threshold=threshold, low=low, gap_s=gap_s, scores=kept)
    collections = [path for path in given if is_collection(path)]
    if not collections:
        return _detect_in_files(classifier, given, wanted, progress, {"model": model, **options})
    if len(given) > 1:
        raise ConfigError(f"{collections[0]} is a collection: give it alone, or recordings")
    if unused := [f"{name}={value}" for name, value in {"model": model, **options}.items() if value is not None]:
        raise ConfigError(
            f"{', '.join(unused)}: {collections[0]} is a collection, which is scored without an encoder; leave it out"
        )
    return _detect_in_collection(classifier, collections[0], wanted, progress)


def _detect_in_files(
    classifier: Classifier,
    given: Iterable[Path],
    wanted: Wanted,
    progress: Callable[[float, float], None],
    options: Mapping[str, Any],
) -> DetectSummary:
    kept = wanted.scores or wanted.out
    with taking_interrupts() as interrupts, claimed(kept) as (folder, _):
        found = find_audio(given, without=folder)
        parts = ScoreParts(wanted.scores, folder, settings_of(classifier))
        files = {hash_place(real): (real, file) for real, file in by_place(found.files).items()}
        skipped = [(readable_name(path), readable_name(reason)) for path, reason in found.skipped]
        skipped += [(readable_name(file), _A_PIPE) for _, file in files.values() if is_pipe(file)]
        tasks, there = _plan(files, parts)
        done, total, scored = float(len(found.files) - len(tasks)), len(found.files), set[str]()

        def advance(more: float) -> None:
            nonlocal done
            done += more
            progress(done, total)

        advance(0.0)
        if tasks:
            work = DetectWork(classifier, classifier.load_encoder(**options), parts, advance, interrupts)
            work.embed(tasks)
            skipped, scored = skipped + work.skipped, work.scored
        with interrupts.held():
            parts.merge()
            ready = [place for place in files if place in there or place in scored]
            heard = [_hear(parts, place, *files[place]) for place in ready]
            with writing(wanted.out, parts.kept):
                tally = write_heard(classifier, heard, wanted, skipped)
            parts.clear()
    asked = found.asked - len(found.files) + len(files)
    findings = make_findings(wanted.rule, tally)
    return DetectSummary(asked, len(scored), len(there), tally.windows, findings, tuple(skipped), found.not_sound)


def _plan(files: Mapping[str, tuple[Path, Path]], parts: ScoreParts) -> tuple[list[DetectTask], set[str]]:
    """List the files without probabilities of what they are now, and the places of those with some."""
    known = parts.known()
    sounds = {place: file for place, (_, file) in files.items() if not is_pipe(file)}
    held = on_all_cores(lambda place: known.hold(sounds[place], place), sounds)
    there = {place for place, is_held in zip(sounds, held, strict=True) if is_held}
    return [DetectTask(file, place) for place, file in sounds.items() if place not in there], there


def _hear(parts: ScoreParts, place: str, real: Path, file: Path) -> HeardRecording:
    recording = parts.recording(place)
    facts = Facts(readable_name(real), recording.duration_s, recording.sample_rate_hz)
    return HeardRecording(readable_name(file), facts, recording.recorded_at, lambda: parts.blocks(place))


def _detect_in_collection(
    classifier: Classifier, folder: Path, wanted: Wanted, progress: Callable[[float, float], None]
) -> DetectSummary:
    with open_collection(folder) as collection:
        there = CollectionScores(collection, classifier)
        heard = there.recordings()
        if wanted.scores is not None:
            _keep(wanted.scores, classifier, there)
        without = there.asked - len(heard)
        telling = _telling(heard, lambda done: progress(without + done, there.asked))
        tally = write_heard(classifier, heard, wanted, there.skipped, telling)
    findings = make_findings(wanted.rule, tally)
    return DetectSummary(there.asked, len(heard), 0, tally.windows, findings, tuple(there.skipped))


def _keep(scores: Path, classifier: Classifier, there: CollectionScores) -> None:
    """Write the probabilities of a collection into a file of scores, which keeps those of other recordings."""
    with claimed(scores) as (folder, _):
        parts = ScoreParts(scores, folder, settings_of(classifier))
        parts.replace(scores, there.places(), there.pieces())
        parts.clear()


def _telling(heard: Sequence[HeardRecording], progress: Callable[[float], None]) -> Iterator[HeardRecording]:
    """Yield recordings, and tell how many are done: the last time before what is heard in them is put in its place."""
    for done, recording in enumerate(heard):
        progress(done)
        yield recording
    progress(len(heard))


def write_heard(
    classifier: Classifier,
    heard: Sequence[HeardRecording],
    wanted: Wanted,
    skipped: list[tuple[str, str]],
    telling: Iterable[HeardRecording] | None = None,
) -> Tally:
    """Write the detections, if there is a recording to detect in, and the list of what was skipped.

    Args:
        telling: the same recordings, where something is to be told of each.
    """
    tally = Tally(classifier.labels)
    facts = {recording.path: recording.facts for recording in heard}
    if heard:  # an earlier output is not replaced by nothing
        write_detections(wanted.out, wanted.format, find_detections(telling or heard, wanted.rule, tally), facts)
    with writing(wanted.report):
        write_skipped(wanted.report, skipped)
    return tally


def make_findings(rule: Rule, tally: Tally) -> tuple[LabelFinding, ...]:
    """Say what was heard of each label."""
    thresholds, peaks = rule.high.tolist(), tally.peaks.tolist()
    return tuple(
        LabelFinding(label, threshold, tally.detections[label], tally.recordings[label], peak)
        for label, threshold, peak in zip(tally.labels, thresholds, peaks, strict=True)
    )
