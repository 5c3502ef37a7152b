"""Climb the ladder: measure the cost of each pilot, train it, score it on the validation part, compare."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from axlstm.data.index import INDEX_NAME
from axlstm.errors import DataError, TrainingError
from axlstm.files import write_atomically
from axlstm.pretrain.loop import pretrain
from recipes.open_audio.ladder.cost import step_cost
from recipes.open_audio.ladder.parts import FOLDER, find_overlap, make_validation
from recipes.open_audio.ladder.pilots import TEACHERS, Pilot, PilotBudget, pilots
from recipes.open_audio.ladder.scoring import score_encoder
from recipes.open_audio.study.release import release
from recipes.open_audio.study.training import share_of
from recipes.open_audio.synth.teaching import SHARDS, join_shards, teach_labels

RESULTS = "results.json"
_BASE = "base"
_ENCODERS = Path(__file__).parents[1] / "encoders"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """The folders of a ladder: ``work`` of the recipe, ``out`` for all that the ladder writes."""

    work: Path
    out: Path
    shards: Path
    encoders: Path

    @property
    def teachers(self) -> Path:
        """Return the folder of the teachers' embeddings."""
        return self.out / "teachers"

    def data_of(self, pilot: Pilot, real: Path) -> Path:
        """Return the shards that a pilot trains on: real ones, and rendered ones with their targets where it has any.

        Raises:
            DataError: nothing has been rendered.
        """
        if not pilot.synthetic:
            return real
        if not (self.work / SHARDS / INDEX_NAME).is_file():
            raise DataError(
                f"{self.work / SHARDS}: no rendered shards; run python -m recipes.open_audio synth --work {self.work}"
            )
        joined = join_shards(real, self.work / SHARDS, self.out / "joined")
        teach_labels(self.work, joined, self.teachers)
        return joined


def climb(
    place: Place, budget: PilotBudget, chosen: Sequence[Pilot], references: Sequence[str], report: Report
) -> dict[str, Any]:
    """Train and score pilots one after another; what is finished stays. Returns what ``OUT/results.json`` holds.

    Args:
        references: models that are scored beside them, as `axlstm.load_model` takes them, or ``logmel``.

    Raises:
        DataError: a folder of pilots of another budget, or no shards or tasks.
        TrainingError: a pilot that was stopped.
    """
    _claim(place.out, budget)
    tasks = place.work / "tasks"
    validation = place.work / FOLDER
    make_validation(tasks, validation, report)
    data = share_of(place.shards, budget.share)
    if any(pilot.teachers for pilot in chosen):
        teach_all(place, data, report)
    for pilot in chosen:
        _train(place, budget, pilot, place.data_of(pilot, data), report)
        source = str(release(place.out / "runs" / pilot.name, pilot.name))
        score_encoder(source, pilot.name, validation, place.out / "scores", report)
        write_results(place, budget, tasks)
    for reference in references:
        score_encoder(reference, Path(reference).name, validation, place.out / "scores", report)
    return write_results(place, budget, tasks)


def _claim(out: Path, budget: PilotBudget) -> None:
    path = out / "budget.json"
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != asdict(budget):
            raise DataError(f"{out}: holds pilots of another budget ({found}); use the same, or another folder")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(budget), indent=1).encode())


def teach_all(place: Place, data: Path, report: Report) -> None:
    """Write the embeddings of every teacher, as ``axlstm teach`` does; it goes on where it was interrupted.

    Raises:
        TrainingError: a teacher that fails.
    """
    for name, weights in TEACHERS.items():
        source = f"{_ENCODERS / name}.py@{place.encoders.resolve() / weights}"
        out = (place.teachers / name).resolve()
        if (out / "teacher.json").is_file():
            continue
        report(f"{name}: teaching")
        command = [sys.executable, "-m", "axlstm", "teach", str(data.resolve()), "--with", source, "-o", str(out)]
        # The shards name their recordings from the work folder on.
        done = subprocess.run([*command, "--each", "scene"], cwd=place.work, stdout=sys.stderr, check=False)
        if done.returncode:
            raise TrainingError(f"{name}: axlstm teach failed, see above")


def _train(place: Place, budget: PilotBudget, pilot: Pilot, data: Path, report: Report) -> None:
    """Train a pilot for as many steps as cost what the base recipe's cost."""
    workdir = place.out / "runs" / pilot.name
    path = workdir / "pilot.json"
    base = pilots()[0]
    steps = budget.crops // budget.batch
    if not path.is_file():
        mine, theirs = (one.config(budget, steps, place.teachers) for one in (pilot, base))
        same = mine.objective == theirs.objective and mine.optimiser == theirs.optimiser
        cost = 1.0 if same else step_cost(mine, theirs, data)
        workdir.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"what": pilot.what, "step_cost": cost}).encode())
    cost = float(json.loads(path.read_text(encoding="utf-8"))["step_cost"])
    steps = max(1, round(steps / cost))
    report(f"{pilot.name}: {steps} steps, each costs {cost:.2f} of the base recipe's")
    summary = pretrain(pilot.config(budget, steps, place.teachers), data, workdir)
    if not summary["finished"]:
        raise TrainingError(f"{pilot.name}: stopped at step {summary['steps']}; the same command goes on from there")


def write_results(place: Place, budget: PilotBudget, tasks: Path) -> dict[str, Any]:
    """Gather all that has been scored in ``OUT/results.json``."""
    scores = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (place.out / "scores").glob("*.json")}
    runs = {}
    for pilot in pilots():
        workdir = place.out / "runs" / pilot.name
        if pilot.name in scores:
            summary = json.loads((workdir / "summary.json").read_text(encoding="utf-8"))
            facts = json.loads((workdir / "pilot.json").read_text(encoding="utf-8"))
            runs[pilot.name] = {
                **facts,
                **{name: summary[name] for name in ("steps", "crops", "train_hours")},
                "losses": _last_losses(workdir),
            }
    results = {
        "budget": asdict(budget),
        "tested_twice": {task: len(paths) for task, paths in find_overlap(tasks).items()},
        "runs": runs,
        "scores": scores,
    }
    write_atomically(place.out / RESULTS, (json.dumps(results, indent=1) + "\n").encode())
    return results


def _last_losses(workdir: Path) -> dict[str, float]:
    """Return the last loss of each objective on held-out crops; of clips, which have none there, in training."""
    losses: dict[str, float] = {}
    for line in (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        for name, value in json.loads(line).items():
            if name.startswith("validation_") or name == "loss_clips":
                losses[name.removeprefix("validation_")] = value
    return losses
