"""Run a classifier over recordings: ``axlstm detect``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from axlstm.cli.embed import Encoder, Revision, changed_options, print_skipped
from axlstm.cli.parts import Parts, run_parts, wants_parts
from axlstm.cli.progress import Progress
from axlstm.options import EMBEDDER_DEFAULTS, PART_DEFAULTS, DetectionFormat

if TYPE_CHECKING:
    from axlstm.collection.detections.run import DetectSummary
    from axlstm.parts.drive import Report

_SHOWN = 20


def detect(
    classifier: Positional[Path],
    recordings: Positional[tuple[str, ...]],
    out: Annotated[Path, arg(aliases=["-o"])],
    format: Annotated[DetectionFormat | None, arg(aliases=["-f"])] = None,
    threshold: float | None = None,
    low: float | None = None,
    gap_s: float = 0.0,
    scores: Path | None = None,
    model: Annotated[str | None, arg(aliases=["-m"])] = None,
    revision: Revision = None,
    parts: Parts = PART_DEFAULTS,
    encoder: Encoder = EMBEDDER_DEFAULTS,
) -> int:
    """Write the stretches of recordings in which a classifier hears its labels.

    What cannot be read is skipped and listed in OUT.skipped.jsonl; entries of folders that are not sound are counted.
    The same command takes up an interrupted run. The exit status is 0 if windows of anything that was asked for were
    scored, also if nothing is heard in them, and 1 if not. Example:
    axlstm detect wren.model recordings/ -o wrens.txt --format raven

    With --runner, workers score the windows in parts, and OUT is written when all parts are done (docs/scale.md).

    Args:
        classifier: folder that axlstm train wrote.
        recordings: sound files, or folders to search with all their subfolders; or one collection, which is scored
            without any sound. With --runner also URLs of them, and tar, zip and parquet files with sound in them.
        out: .csv or .parquet; with --format raven or kaleidoscope a file, with audacity a new folder of label tracks.
        format: of OUT.
        threshold: probability from which on a label is heard; the classifier's own for each label without it.
        low: probability down to which a detection goes on; half of the threshold without it.
        gap_s: detections with at most so many seconds between them become one.
        scores: a .parquet file for the probabilities of all windows. Recordings that it has are not computed again.
        model: where the classifier's encoder is, if it is not where it was when the classifier was trained.
    """
    from axlstm.collection.detections.run import detect as run
    from axlstm.errors import ConfigError
    from axlstm.parts.opening import work_folder
    from axlstm.remote import is_url

    rule: dict[str, Any] = {"format": format, "threshold": threshold, "low": low, "gap_s": gap_s, "scores": scores}
    options = {"model": model, "revision": revision, **changed_options(encoder)}
    if wants_parts(parts):
        from axlstm.collection.detections.planned import plan_detect

        place = parts["part_folder"] or work_folder(out)
        plan = partial(plan_detect, classifier, recordings, out, place, **rule, **options)
        return run_parts(str(out), parts, encoder["device"], plan, "detecting")
    if urls := [recording for recording in recordings if is_url(recording)]:
        raise ConfigError(f"{urls[0]}: a URL needs parts: add --runner processes, ray or slurm")
    with Progress("detecting") as progress:
        summary = run(classifier, recordings, out, progress=progress.update, **rule, **options)
    return _tell(str(out), summary)


def tell_parts(out: str, report: Report) -> int:
    """Account for what was detected in parts; returns the exit status."""
    return _tell(out, report.gathered)


def _tell(out: str, summary: DetectSummary) -> int:
    from axlstm.files import readable_name

    _print_summary(readable_name(out), summary)
    return 0 if summary.scored + summary.there else 1


def _told_apart(threshold: float, peak: float) -> tuple[str, str]:
    """Write two probabilities with three digits, or as many as it takes to tell them apart."""
    pairs = ((f"{threshold:.{digits}f}", f"{peak:.{digits}f}") for digits in range(3, 10))
    return next((pair for pair in pairs if pair[0] != pair[1]), (repr(threshold), repr(peak)))


def _print_summary(written: str, summary: DetectSummary) -> None:
    from axlstm.audio.find import describe_not_sound

    found = sum(finding.detections for finding in summary.findings)
    parts = [f"{found} detections in {summary.windows} windows" if summary.windows else "not written"]
    parts += [f"{summary.scored} scored"]
    parts += [f"{summary.there} scored before"] if summary.there else []
    parts += [f"{len(summary.skipped)} skipped ({written}.skipped.jsonl)"] if summary.skipped else []
    parts += [describe_not_sound(summary.not_sound)] if summary.not_sound else []
    print(f"{written}: {', '.join(parts)}")
    for one in summary.findings[:_SHOWN] if summary.windows else ():
        heard = f"{one.detections} in {one.recordings} recordings"
        threshold, peak = _told_apart(one.threshold, one.peak)
        silent = f"none at {threshold} or above; the highest probability is {peak}"
        print(f"  {one.label}: {heard if one.detections else silent}")
    if len(summary.findings) > _SHOWN:
        print(f"  and {len(summary.findings) - _SHOWN} more labels")
    print_skipped(summary.skipped)
