"""Write result folders as hear-eval-kit does, and read them whatever their names.

The kit's scores of one run lie in ``test.predicted-scores.json``. Where model, task and seed stand in the
folder's name is said by a layout such as ``{model}_r1_{seed}/{task}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axlstm.errors import ConfigError
from axlstm.evaluate.probes.outcome import Outcome
from axlstm.evaluate.tasks.metadata import TaskError, read_json, read_note
from axlstm.files import write_atomically

SCORES_FILE = "test.predicted-scores.json"
RUN_FILE = "probe.json"
LAYOUT = "{model}_r1_{seed}/{task}"  # what this package writes, and the published scripts read
LAYOUTS = (LAYOUT, "{model}/{task}/seed{seed}", "{task}/seed{seed}", "{model}/{task}")


@dataclass(frozen=True)
class Result:
    """The score of one model on one task with one seed."""

    model: str
    task: str
    seed: int
    score: float  # the first score on the test split, or its mean over folds
    score_name: str
    maximise: bool
    content: dict[str, Any]  # the kit's file
    run: dict[str, Any]  # what this package adds: protocol, epochs, confusion, model size


def result_folder(out: Path, model: str, task: str, seed: int) -> Path:
    """Return the folder of a run's result: ``OUT/MODEL_r1_SEED/TASK``."""
    return out / LAYOUT.format(model=model, seed=f"{seed:02d}", task=task)


def write_result(folder: Path, outcome: Outcome, embedding_path: str, run: dict[str, Any]) -> None:
    """Write one outcome: the kit's file last, so that its presence says the run is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    confusions = [split.confusion for split in outcome.splits if split.confusion is not None]
    extra = {
        **run,
        "seed": outcome.seed,
        "epochs_run": list(outcome.epochs_run),
        "confusion": [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*confusions, strict=True)],
    }
    (folder / SCORES_FILE).unlink(missing_ok=True)  # a result that is replaced is not complete meanwhile
    write_atomically(folder / RUN_FILE, json.dumps(extra).encode())
    write_atomically(folder / SCORES_FILE, json.dumps(outcome.to_kit(embedding_path), indent=4).encode())


def is_done(folder: Path, settings: dict[str, Any], embeddings: dict[str, Any]) -> bool:
    """Tell whether a result of these embeddings is there; `ConfigError` if it was made with other settings."""
    if not (folder / SCORES_FILE).is_file() or not (folder / RUN_FILE).is_file():
        return False
    found = read_json(folder / RUN_FILE)
    differing = [
        f"{key} {found.get(key)!r}, not {settings[key]!r}" for key in settings if found.get(key) != settings[key]
    ]
    if differing:
        raise ConfigError(f"{folder} was made with {', '.join(differing)}: choose another output folder, or delete it")
    # Earlier versions noted less: a value that the note lacks is not compared.
    return all(found.get(key, value) == value for key, value in embeddings.items())


def read_results(roots: Iterable[str | Path], layouts: Sequence[str] = LAYOUTS) -> list[Result]:
    """Read all results below some folders, at any depth.

    A layout says how the folders under a root are named, with ``{task}``, and ``{model}`` and ``{seed}`` where they
    are known; the first that fits the end of a folder's path is taken. Without ``{model}`` the model is the root's own
    name, without ``{seed}`` the seed is 0.

    Raises:
        ConfigError: a layout without ``{task}``, no results at all, or two results of one model, task and seed.
        TaskError: a result file that is broken.
    """
    results: dict[tuple[str, str, int], tuple[Path, Result]] = {}
    folders = [Path(root) for root in roots]
    for root in folders:
        for path in sorted(root.rglob(SCORES_FILE)):
            result = _read_result(root, path, layouts)
            key = (result.model, result.task, result.seed)
            other, _ = results.setdefault(key, (path, result))
            if other != path:
                run = f"{result.model} on {result.task} with seed {result.seed}"
                raise ConfigError(f"{path} and {other} are both {run}: give a layout that tells them apart")
    if not results:
        raise ConfigError(f"no {SCORES_FILE} below {', '.join(map(str, folders))}")
    return [result for _, result in results.values()]


def _read_result(root: Path, path: Path, layouts: Sequence[str]) -> Result:
    content = read_json(path)
    try:
        is_kfold = "aggregated_scores" in content
        score = content["aggregated_scores"]["test_score_mean"] if is_kfold else content["test"]["test_score"]
        first = next(value for key, value in content.items() if isinstance(value, dict) and "test_score" in value)
        score_name = list(first)[list(first).index("test_score") + 1].removeprefix("test_")
        maximise = content.get("score_mode", "max") == "max"
    except (KeyError, TypeError, StopIteration, IndexError) as error:
        raise TaskError(f"{path} is not a result of hear-eval-kit: it lacks {error}") from error
    model, task, seed = name_run(root, path.parent, layouts)
    return Result(model, task, seed, float(score), score_name, maximise, content, read_note(path.parent / RUN_FILE))


def name_run(root: Path, folder: Path, layouts: Sequence[str] = LAYOUTS) -> tuple[str, str, int]:
    """Read model, task and seed of a result folder by the first layout that fits it; `ConfigError` if none does."""
    for layout in layouts:
        if match := _compile(layout).search(f"/{folder.relative_to(root).as_posix()}"):
            found = match.groupdict()
            return found.get("model") or root.resolve().name, found["task"], int(found.get("seed") or 0)
    raise ConfigError(f"{folder} fits none of the layouts {', '.join(layouts)}; give one that says where things stand")


def _compile(layout: str) -> re.Pattern[str]:
    if "{task}" not in layout:
        raise ConfigError(f"the layout {layout!r} does not say where the task stands: it needs {{task}}")
    pattern = re.escape(layout)
    for name, value in (("model", "[^/]+?"), ("task", "[^/]+"), ("seed", r"\d+")):
        pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>{value})", 1)
    return re.compile(f"/{pattern}$")
