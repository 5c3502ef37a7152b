"""Probing many embeddings directories: what is finished is not redone, a failure stays inside its task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axlstm.errors import AxlstmError, ConfigError
from axlstm.evaluate.embedding.packed import read_dimensions, read_embeddings
from axlstm.evaluate.probes.batched import Compute
from axlstm.evaluate.probes.probe import count_trainings, probe_embeddings
from axlstm.evaluate.probes.protocol import Protocol
from axlstm.evaluate.reporting.results import RUN_FILE, SCORES_FILE, result_folder, write_result
from axlstm.evaluate.tasks.metadata import read_json, read_metadata

MODEL_FILE = "model.json"  # what `axlstm hear embed` notes beside a model's embeddings
PROFILE_FILE = "profile.embeddings.json"  # and beside a task's

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
    """Probe embeddings directories one after another; results of the same embeddings and protocol stay.

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
        except Exception as error:  # whatever it is, the other tasks go on
            failed[folder] = describe_failure(error)
            logger.error("%s failed: %s", folder, failed[folder])
    return failed


def describe_failure(error: Exception) -> str:
    """What an error says, behind its type where it is not of this package and may say little by itself."""
    return str(error) if isinstance(error, (AxlstmError, OSError)) else f"{type(error).__name__}: {error}"


def _probe_folder(
    folder: Path,
    out: Path,
    run: ProbeRun,
    start: Callable[[Path, int], None] | None,
    advance: Callable[[int], None] | None,
) -> None:
    model, task_name = folder.resolve().parent.name, folder.resolve().name
    settings = {"protocol": run.protocol.name, "exact": run.exact}
    about = _read_note(folder.parent / MODEL_FILE)
    embeddings = _identify(folder, about)
    # Nearest neighbours know no seeds: one result stands for all.
    seeds = run.seeds[:1] if run.protocol.neighbours else run.seeds
    missing = [seed for seed in seeds if not _is_done(result_folder(out, model, task_name, seed), settings, embeddings)]
    if not missing:
        logger.info("%s on %s: finished before", model, task_name)
        return
    task = read_embeddings(folder)
    if start is not None:
        start(folder, count_trainings(task, missing, run.protocol))
    note = {**settings, **embeddings, "labels": task.labels, "parameters": about.get("parameters")}
    for outcome in probe_embeddings(task, missing, run.protocol, run.exact, run.compute, advance):
        write_result(result_folder(out, model, task_name, outcome.seed), outcome, str(folder), note)


def _identify(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What tells a task's embeddings from others: their size, and a digest or else the model's fingerprint.

    Embeddings of hear-eval-kit and of foreign models may have neither.
    """
    _, size = read_dimensions(folder, read_metadata(folder).splits[0])
    digest = _read_note(folder / PROFILE_FILE).get("digest")
    return {"embedding_size": size, "embeddings": digest or about.get("fingerprint")}


def _read_note(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _is_done(folder: Path, settings: dict[str, Any], embeddings: dict[str, Any]) -> bool:
    """Whether a result is there and of these embeddings; `ConfigError` if it was made with other settings."""
    if not (folder / SCORES_FILE).is_file() or not (folder / RUN_FILE).is_file():
        return False
    found = read_json(folder / RUN_FILE)
    differing = [key for key, value in settings.items() if found.get(key) != value]
    if differing:
        told = ", ".join(f"{key} {found.get(key)!r}, not {settings[key]!r}" for key in differing)
        raise ConfigError(f"{folder} was made with {told}: choose another output folder, or delete it")
    # Earlier versions noted less: what a note does not tell is not compared.
    return all(found.get(key, value) == value for key, value in embeddings.items())


def parse_seeds(count: int) -> Sequence[int]:
    """Seeds 0 to count - 1."""
    if count < 1:
        raise ConfigError(f"the number of seeds is {count}, expected at least 1")
    return range(count)
