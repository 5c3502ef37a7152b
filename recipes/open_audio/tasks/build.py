"""Build a task's folder from its plan: whole or not at all; an interrupted build keeps its finished clips."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from axlstm.evaluate.tasks.make import TaskRecipe, make_task
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.evaluate.tasks.read import Task, check_task, read_task, write_clip
from axlstm.files import write_atomically
from recipes.open_audio.failures import disk_errors_explained
from recipes.open_audio.packages import load_packages
from recipes.open_audio.tasks import render
from recipes.open_audio.tasks.chance import chance_level
from recipes.open_audio.tasks.plan import SPLITS, TaskPlan, as_table, check_splits
from recipes.open_audio.tasks.recordings import Recordings
from recipes.open_audio.tasks.render import Renderer

ABOUT = "about.json"
PARTS = ".parts"
USED_COLUMNS = ("task", "split", "tested", "path", "package", "licence", "group", "cluster")


@dataclass(frozen=True)
class About:
    """The description of a task that was built: its ``about.json``."""

    task: str  # its folder's name
    about: str
    digest: str
    labels: list[str]
    clips: dict[str, int]  # by split
    hours: float
    split_mode: str
    split_by: str
    test_groups: int
    score: str
    chance: float
    licences: dict[str, float]  # share of the clips that have a recording of that licence
    used: list[dict[str, Any]]  # one recording and split each, as in used.csv


def build_task(
    plan: TaskPlan, recordings: Recordings, renderer: Renderer, out: Path, report: Callable[[str], None]
) -> About:
    """Write the task's folder below ``out``, unless an earlier run has built the same plan.

    Raises:
        TaskError: splits share something, or `axlstm.evaluate.tasks.read.check_task` finds an error.
    """
    check_splits(plan, recordings.by_path)
    digest = plan.digest(recordings.by_path, render.VERSION)
    known = read_about(out, plan.name)
    if known is not None and known.digest == digest:
        report(f"{plan.name}: is there")
        return known
    parts = out / PARTS / f"{plan.name}-{digest[:8]}"
    with disk_errors_explained(out):
        paths = _write_clips(plan, renderer, parts, report)
        _write_table(parts / "clips.csv", as_table(plan, paths))
        recipe = TaskRecipe(plan.name, max(3, len(plan.splits)), plan.duration_s, plan.scores)
        if (parts / "task").exists():
            shutil.rmtree(parts / "task")
        task = make_task(parts / "clips.csv", parts / "task", recipe)
        problems = check_task(task)
        if problems:
            raise TaskError(f"{plan.name}: {len(problems)} problems, the first: {problems[0]}")
        about = _describe(plan, task, digest, recordings)
        write_atomically(task.path / ABOUT, (json.dumps(asdict(about), indent=1) + "\n").encode())
        target = out / task.path.name
        if target.exists():
            shutil.rmtree(target)
        task.path.rename(target)
        shutil.rmtree(parts)
    report(f"{plan.name}: {sum(about.clips.values())} clips, {len(about.labels)} classes")
    return about


def read_about(out: Path, name: str) -> About | None:
    """Read the description of a task below ``out``; None if it is missing or incomplete."""
    try:
        about = About(**json.loads((out / folder_name(name) / ABOUT).read_text(encoding="utf-8")))
        read_task(out / folder_name(name))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return about


def folder_name(name: str) -> str:
    """Name the folder that `make_task` writes a task to."""
    return f"{name}-v1-full"


def table_of(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> bytes:
    """Write rows as CSV."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    write_atomically(path, table_of(rows, tuple(rows[0])))


def _write_clips(plan: TaskPlan, renderer: Renderer, folder: Path, report: Callable[[str], None]) -> list[str]:
    """Render the missing clips; returns the paths of all, relative to ``folder``."""
    names = Counter(clip.name for clip in plan.clips)
    twice = [name for name, count in names.items() if count > 1]
    if twice or not plan.clips:
        raise TaskError(f"{plan.name}: {f'two clips are named {twice[0]}' if twice else 'no clips'}")
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for number, clip in enumerate(plan.clips):
        path = folder / "clips" / f"{clip.name}.wav"
        if not path.is_file():
            write_clip(path, renderer.clip(clip, plan.duration_s))
        if number % 500 == 499:
            report(f"{plan.name}: {number + 1}/{len(plan.clips)}")
    return [f"clips/{clip.name}.wav" for clip in plan.clips]


def _describe(plan: TaskPlan, task: Task, digest: str, recordings: Recordings) -> About:
    split_of = {file: split for split, content in task.splits.items() for file in content}
    tested = {split for data_split in task.metadata.data_splits() for split in data_split.test}
    rows = recordings.by_path
    licence_of_package = {package.folder: package.licence for package in load_packages()}
    licences: Counter[str] = Counter()  # clips that hold something of it
    used: dict[tuple[str, str], dict[str, Any]] = {}
    for clip in plan.clips:
        split = split_of[f"{clip.name}.wav"]
        of_clip = set()
        for source in clip.sources():
            row = rows.get(source.path)
            package = source.path.split("/")[1]
            licence = row.licence if row else licence_of_package.get(package, "")
            of_clip.add(licence)
            used[split, source.path] = {
                "task": task.path.name,
                "split": split,
                "tested": int(split in tested),
                "path": source.path,
                "package": row.package if row else package,
                "licence": licence,
                "group": row.group if row else package,
                "cluster": row.cluster if row else "",
            }
        licences.update(of_clip)
    by_share = sorted(licences, key=lambda name: (-licences[name], name))
    return About(
        task.path.name,
        plan.about,
        digest,
        task.labels,
        {split: len(content) for split, content in task.splits.items()},
        round(len(plan.clips) * plan.duration_s / 3600, 4),
        "train, valid, test" if plan.splits == SPLITS else f"{len(plan.splits)} folds",
        plan.split_by,
        len({group for clip in plan.clips if clip.split in plan.tested for group in clip.groups}),
        plan.scores[0],
        round(chance_level(task), 4),
        {name: round(licences[name] / len(plan.clips), 3) for name in by_share},
        [used[key] for key in sorted(used)],
    )
