"""Build all tasks, and tables about those that were built and skipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from axlstm.errors import AxlstmError
from axlstm.files import write_atomically
from recipes.open_audio.fetch import Work
from recipes.open_audio.leaks import USED
from recipes.open_audio.manifest import read_manifest
from recipes.open_audio.tasks import (
    affect,
    environment,
    keyword,
    language,
    notes,
    percussion,
    scenes,
    speaker_count,
    tags,
)
from recipes.open_audio.tasks.baseline import MODEL, PROTOCOL, Baseline, score_baseline
from recipes.open_audio.tasks.build import USED_COLUMNS, About, build_task, read_about, table_of
from recipes.open_audio.tasks.plan import TaskPlan
from recipes.open_audio.tasks.recordings import MissingError, Recordings
from recipes.open_audio.tasks.render import Renderer

Report: TypeAlias = Callable[[str], None]

TASKS: dict[str, Callable[[Recordings, Renderer], TaskPlan]] = {
    "percussion": percussion.plan,
    "environment": environment.plan,
    "pitch": notes.plan_pitch,
    "instrument_family": notes.plan_family,
    "language": language.plan,
    "keyword_words": keyword.plan_words,
    "keyword_phrases": keyword.plan_phrases,
    "vocal_affect": affect.plan,
    "speaker_count": speaker_count.plan,
    "sound_events": scenes.plan,
    "tags": tags.plan,
}
"""Every task by name, in the order in which they are built and listed."""

_TITLES = ["task", "what", "classes", "clips", "hours", "split", "groups", "score", "chance", "logmel", "licences"]

_LICENCES = 5  # that are named

FOLDER = "tasks"
BASELINE = "baseline"


def build_suite(
    work: Work, out: Path, only: Sequence[str], baseline_seeds: int, report: Report
) -> tuple[list[About], dict[str, str], dict[str, Baseline]]:
    """Build the tasks below ``out``; returns those built, those skipped with reasons, and the baseline's scores.

    Raises:
        AxlstmError: a task is unknown or comes out wrong, or there is no manifest.
    """
    unknown = [name for name in only if name not in TASKS]
    if unknown:
        raise AxlstmError(f"{unknown[0]!r} is no task; expected {', '.join(TASKS)}")
    recordings = Recordings(work.folder, read_manifest(work.manifest))
    out.mkdir(parents=True, exist_ok=True)
    built: list[About] = []
    skipped: dict[str, str] = {}
    for name, make_plan in TASKS.items():
        if only and name not in only:
            known = read_about(out, name)
            built += [known] if known else []
            continue
        renderer = Renderer(work.folder)
        try:
            plan = make_plan(recordings, renderer)
        except MissingError as error:
            skipped[name] = str(error)
            report(f"{name}: skipped: {error}")
            continue
        built.append(build_task(plan, recordings, renderer, out, report))
    digests = {out / about.task: about.digest for about in built}
    scores = score_baseline(digests, work.folder / BASELINE, baseline_seeds, report) if baseline_seeds else {}
    return built, skipped, scores


def write_tables(out: Path, built: Sequence[About], skipped: dict[str, str], scores: dict[str, Baseline]) -> None:
    """Write ``used.csv``, ``tasks.json`` and ``README.md`` into the folder of tasks."""
    write_atomically(out / USED, table_of([row for about in built for row in about.used], USED_COLUMNS))
    entries: list[dict[str, Any]] = []
    for about in built:
        entry = {key: value for key, value in asdict(about).items() if key != "used"}
        if about.task in scores:
            entry["baseline"] = {"model": MODEL, "protocol": PROTOCOL, **asdict(scores[about.task])}
        entries.append(entry)
    said = json.dumps({"tasks": entries, "skipped": skipped}, indent=1)
    write_atomically(out / "tasks.json", (said + "\n").encode())
    write_atomically(out / "README.md", markdown(built, skipped, scores).encode())


def markdown(built: Sequence[About], skipped: dict[str, str], scores: dict[str, Baseline]) -> str:
    """Write the table of tasks in Markdown."""
    lines = [
        "# Tasks",
        "",
        f"| {' | '.join(_TITLES)} |",
        "|---" * len(_TITLES) + "|",
    ]
    for about in built:
        score = scores.get(about.task)
        told = f"{score.score:.3f} ± {score.deviation:.3f}" if score else "-"
        named = [f"{name.replace(', ', ' / ')} {share:.0%}" for name, share in about.licences.items()]
        licences = ", ".join(named[:_LICENCES] + (["..."] if len(named) > _LICENCES else []))
        lines.append(
            f"| {about.task} | {about.about} | {len(about.labels)} | {sum(about.clips.values())} | {about.hours:.2f} | "
            f"{about.split_mode}, by {about.split_by} | {about.test_groups} | {about.score} | {about.chance:.3f} | "
            f"{told} | {licences} |"
        )
    total = sum(about.hours for about in built)
    clips = sum(sum(about.clips.values()) for about in built)
    lines += ["", f"In all {len(built)} tasks, {clips} clips, {total:.2f} h."]
    if scores:
        seeds = max(score.seeds for score in scores.values())
        lines.append(
            f"Log-mel statistics: mean and deviation over {seeds} probe seeds of `axlstm evaluate {MODEL} "
            f"--protocol {PROTOCOL}`. Chance: `recipes/open_audio/tasks/chance.py`."
        )
    lines += [f"\nSkipped: {name}: {reason}" for name, reason in skipped.items()]
    return "\n".join(lines) + "\n"
