"""Probing many embeddings directories: what is finished is not redone, a failure stays inside its task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axlstm.errors import AxlstmError, ConfigError
from axlstm.evaluate.embeddings import read_embeddings
from axlstm.evaluate.metadata import read_json
from axlstm.evaluate.probe import count_trainings, probe_embeddings
from axlstm.evaluate.probe_batched import Compute
from axlstm.evaluate.protocol import Protocol
from axlstm.evaluate.results import RUN_FILE, SCORES_FILE, result_folder, write_result

MODEL_FILE = "model.json"  # what `axlstm hear embed` notes beside the embeddings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProbeRun:
    """How embeddings are probed."""

    protocol: Protocol
    seeds: tuple[int, ...]
    exact: bool = False
    compute: Compute = field(default_factory=Compute)


def find_embeddings(root: str | Path) -> list[Path]:
    """The embeddings directories at or below a folder, ``TASK``, ``MODEL/TASK`` or ``.../MODEL/TASK``."""
    root = Path(root)
    found = sorted(
        path.parent
        for path in [
            root / "task_metadata.json",
            *root.glob("*/task_metadata.json"),
            *root.glob("*/*/task_metadata.json"),
        ]
        if path.is_file() and any(path.parent.glob("*.embedding-dimensions.json"))
    )
    if not found:
        raise ConfigError(
            f"no embeddings at {root} or below: expected folders with task_metadata.json and "
            "SPLIT.embedding-dimensions.json, as `axlstm hear embed` writes them"
        )
    return found


def probe_folders(
    folders: Iterable[Path],
    out: Path,
    run: ProbeRun,
    start: Callable[[Path, int], None] | None = None,
    advance: Callable[[int], None] | None = None,
) -> dict[Path, str]:
    """Probe embeddings directories one after another.

    Args:
        folders: from `find_embeddings`; a folder's parent names the model.
        out: results go to ``out/MODEL_r1_SEED/TASK``.
        run: protocol, seeds and compute.
        start: called with a folder and the number of its trainings before it begins.
        advance: called with the number of trainings that have ended.

    Returns:
        The folders that failed, with the reason.
    """
    failed: dict[Path, str] = {}
    for folder in folders:
        try:
            _probe_folder(folder, out, run, start, advance)
        except (AxlstmError, OSError, RuntimeError, MemoryError) as error:
            logger.error("%s failed: %s", folder, error)
            failed[folder] = str(error)
    return failed


def _probe_folder(
    folder: Path,
    out: Path,
    run: ProbeRun,
    start: Callable[[Path, int], None] | None,
    advance: Callable[[int], None] | None,
) -> None:
    model, task_name = folder.resolve().parent.name, folder.resolve().name
    note = {"protocol": run.protocol.name, "exact": run.exact}
    # Nearest neighbours know no seeds: one result stands for all.
    seeds = run.seeds[:1] if run.protocol.neighbours else run.seeds
    missing = [seed for seed in seeds if not _is_done(result_folder(out, model, task_name, seed), note)]
    if not missing:
        logger.info("%s on %s: finished before", model, task_name)
        return
    task = read_embeddings(folder)
    if start is not None:
        start(folder, count_trainings(task, missing, run.protocol))
    about = read_json(folder.parent / MODEL_FILE) if (folder.parent / MODEL_FILE).is_file() else {}
    note |= {"labels": task.labels, "embedding_size": task.embedding_size, "parameters": about.get("parameters")}
    for outcome in probe_embeddings(task, missing, run.protocol, run.exact, run.compute, advance):
        write_result(result_folder(out, model, task_name, outcome.seed), outcome, str(folder), note)


def _is_done(folder: Path, note: dict[str, Any]) -> bool:
    if not (folder / SCORES_FILE).is_file() or not (folder / RUN_FILE).is_file():
        return False
    found = read_json(folder / RUN_FILE)
    differing = [key for key, value in note.items() if found.get(key) != value]
    if differing:
        told = ", ".join(f"{key} {found.get(key)!r}, not {note[key]!r}" for key in differing)
        raise ConfigError(f"{folder} was made with {told}: choose another output folder, or delete it")
    return True


def parse_seeds(count: int) -> Sequence[int]:
    """Seeds 0 to count - 1."""
    if count < 1:
        raise ConfigError(f"the number of seeds is {count}, expected at least 1")
    return range(count)
