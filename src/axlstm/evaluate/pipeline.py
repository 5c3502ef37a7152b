"""Evaluate from end to end: models embed tasks, probes are trained on the embeddings, a report compares the scores.

Every option is checked before anything is embedded. Later on, a failure of a model or a task is noted and leaves the
others alone. What an earlier run has finished is not done again. The file goes from the whole (`evaluate_models`) to
its steps: `choose_models`, `embed_models` and `probe_folders`.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Unpack

from axlstm.checkpoints.sources import find_checkpoint
from axlstm.devices import find_device
from axlstm.embed.embedder import Embedder
from axlstm.embed.settings import check_options
from axlstm.errors import CheckpointError, ConfigError, describe_error
from axlstm.evaluate.embedding.encoders import Candidate, Encoder, check_module, load_variants
from axlstm.evaluate.embedding.packed import MODEL_FILE, identify_embeddings, read_embeddings
from axlstm.evaluate.embedding.stage import embed_variants, note_model
from axlstm.evaluate.probes.batched import Compute
from axlstm.evaluate.probes.outcome import degenerate_tests
from axlstm.evaluate.probes.probe import count_trainings, probe_embeddings
from axlstm.evaluate.probes.protocol import Protocol, find_protocol
from axlstm.evaluate.reporting.report import PAGE_FILE, Summary, write_report
from axlstm.evaluate.reporting.results import SCORES_FILE, Result, is_done, read_results, result_folder, write_result
from axlstm.evaluate.tasks.metadata import TaskError, read_note
from axlstm.evaluate.tasks.read import find_tasks, read_task, warn_of_absent_classes
from axlstm.model.encoder import check_layers
from axlstm.options import EMBEDDER_DEFAULTS, ENCODER_DEFAULTS, EncoderOptions, Pooling, ProbePrecision

OnProgress = Callable[[str, int, int], None]
"""Called with a stage, how many of its parts are done, and how many it has."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationConfig:
    """Settings of an evaluation.

    Args:
        protocol: names the probes that are tried, as in `find_protocol`; or is a protocol of your own.
        seeds: number of probe seeds, counted from 0; or the seeds themselves.
        exact: trains one probe after another with hear-eval-kit's random numbers, on the CPU.
        device: where models and batched probes compute.
        precision, threads: of the batched probes, as in `Compute`.

    Raises:
        ConfigError: a value that does not exist, a device that is not there, or values that exclude each other.
    """

    protocol: str | Protocol = "published"
    seeds: int | tuple[int, ...] = 10
    exact: bool = False
    device: str = "cpu"
    precision: ProbePrecision = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.exact and self.probes.solved:
            reason = (
                "the kit does not have it, and it has no random numbers; leave out exact, or choose another protocol"
            )
            raise ConfigError(f"exact=True with protocol={self.probes.name!r}: {reason}")
        numbers = self.seed_numbers
        if not numbers or len(set(numbers)) != len(numbers) or min(numbers) < 0:
            raise ConfigError(f"seeds={self.seeds}: expected a number from 1 up, or different seeds from 0 up")
        _ = self.probes, self.compute  # what does not exist is refused here

    @cached_property
    def probes(self) -> Protocol:
        """Return the protocol itself."""
        return self.protocol if isinstance(self.protocol, Protocol) else find_protocol(self.protocol)

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """Return every probe seed."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @cached_property
    def compute(self) -> Compute:
        """Return how batched probes are trained."""
        return Compute(self.device, self.precision, threads=self.threads)

    @property
    def name(self) -> str:
        """Name the folder of the results."""
        return f"{self.probes.name}-exact" if self.exact else self.probes.name


@dataclass(frozen=True)
class Evaluation:
    """The outcome of an evaluation."""

    folders: list[Path]  # embeddings directories, ``MODEL/TASK``
    failures: dict[str, str]  # reasons by ``MODEL`` or ``MODEL on TASK``
    results: list[Result]  # all in the output folder, those of earlier runs included
    summary: Summary | None  # tables and statistics of the results, if there are any
    report: Path | None  # the report's HTML page, if there are results


def evaluate_models(
    models: Sequence[Candidate],
    tasks: str | Path,
    out: str | Path,
    config: EvaluationConfig | None = None,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Embed tasks with models, probe the embeddings and compare the scores.

    Args:
        models: from `choose_models`, or made one by one.
        tasks: a task or a folder of tasks.
        out: gets ``embeddings/MODEL/TASK``, ``results/PROTOCOL/MODEL_r1_SEED/TASK`` and ``report``.

    Raises:
        ConfigError, TaskError: see `embed_models`; nothing has been embedded then.
    """
    config, out = config or EvaluationConfig(), Path(out)
    where, report = out / "results" / config.name, out / "report"
    _check_output(where)
    _check_output(report)
    folders, failures = embed_models(models, tasks, out / "embeddings", config.device, on_progress)
    failures |= probe_folders(folders, where, config, on_progress)
    if not any(where.rglob(SCORES_FILE)):
        return Evaluation(folders, failures, [], None, None)
    results = read_results([where])
    return Evaluation(folders, failures, results, write_report(results, report), report / PAGE_FILE)


def choose_models(
    sources: Sequence[str],
    name: str = "",
    poolings: Sequence[Pooling] = ("mean",),
    revision: str | None = None,
    **options: Unpack[EncoderOptions],
) -> list[Candidate]:
    """Make candidates of sources; a model of axlstm's is one for each pooling.

    Args:
        sources: see `Candidate`.
        name: names the model, where there is one source.
        poolings: as `axlstm.load_model` takes them. Where there are several, ``-POOLING`` follows the name of a model
            with another pooling than the mean.
        revision: branch, tag or commit, where all sources are Hub ids.
        options: of axlstm's own models. The device is left out here: it is an argument of `embed_models`.

    Raises:
        ConfigError: a bad name; or options that differ from the defaults, where no model is one of axlstm's.
    """
    given = {**options, "revision": revision}
    changed = {key: value for key, value in given.items() if key != "device" and value != ENCODER_DEFAULTS.get(key)}
    named = ", ".join([*changed, *(["pooling"] if tuple(poolings) != ("mean",) else [])])
    plain_models = [Candidate(source, name) for source in sources]
    if named and sources and all(plain.is_module for plain in plain_models):
        raise ConfigError(f"{named}: for axlstm's own models; {', '.join(sources)} is none of them")
    chosen = []
    for plain in plain_models:
        for pooling in ("mean",) if plain.is_module else poolings:
            suffix = f"-{pooling}" if len(poolings) > 1 and pooling != "mean" else ""
            more = {"pooling": pooling} if pooling != "mean" else {}
            chosen.append(replace(plain, name=plain.name + suffix, options={} if plain.is_module else changed | more))
    return chosen


def group_candidates(models: Sequence[Candidate], device: str) -> list[list[Candidate]]:
    """Check candidates and put together those that share a run of the encoder.

    Raises:
        ConfigError: none, two of one name, one that does not exist, or options that do not fit.
    """
    if not models:
        raise ConfigError("no models given: name at least one, such as axlstm-tiny or logmel")
    find_device(device)
    for name, count in Counter(model.name for model in models).items():
        if count > 1:
            sources = ", ".join(model.source for model in models if model.name == name)
            raise ConfigError(f"{sources}: {count} models would be called {name!r}; give each a name of its own")
    groups: list[list[Candidate]] = []
    for model in models:
        alike = next((group for group in groups if group[0].shares_run(model)), None)
        if alike is None:
            groups.append([model])
        else:
            alike.append(model)
    return [_check_group(group, device) for group in groups]


def _check_group(group: list[Candidate], device: str) -> list[Candidate]:
    """Check that a model exists and that its options fit; one of axlstm's then keeps the weights that were read."""
    first = group[0]
    if first.is_module:
        check_module(first.source.partition("@")[0])
    if first.is_module or first.build is not None:
        return group
    try:
        checkpoint = find_checkpoint(first.source, first.options.get("revision"))
    except CheckpointError as error:
        if not Path(first.source).exists():
            raise ConfigError(str(error)) from error
        return group  # the file is there but damaged: this model fails in its turn, and the others go on
    options: list[Any] = [
        {key: value for key, value in {**model.options, "device": device}.items() if key != "revision"}
        for model in group
    ]
    for settings in map(check_options, options):
        check_layers(settings.layers or [0], checkpoint.model.config)
    return [replace(first, build=partial(Embedder, checkpoint, **{**EMBEDDER_DEFAULTS, **options[0]})), *group[1:]]


def embed_models(
    models: Sequence[Candidate],
    tasks: str | Path,
    out: str | Path,
    device: str = "cpu",
    on_progress: OnProgress | None = None,
) -> tuple[list[Path], dict[str, str]]:
    """Embed every task with every model to ``out/MODEL/TASK``; models that differ in pooling alone share one run.

    Returns:
        The embeddings directories; and the reasons of failures, by ``MODEL`` or ``MODEL on TASK``.

    Raises:
        ConfigError: no models, two of one name, one that does not exist, an option that does not exist or does not
            fit its model, a device or engine that is not there, or a folder that cannot be written.
        TaskError: no tasks.
    """
    _check_output(Path(out))
    paths = find_tasks(tasks)
    folders: list[Path] = []
    failures: dict[str, str] = {}
    groups = group_candidates(models, device)
    for path in paths:
        with suppress(TaskError):  # each model fails on the task in its turn
            warn_of_absent_classes(read_task(path))
    while groups:
        group, encoders = groups.pop(0), list[Encoder]()  # popped: its weights are freed when it is done
        with _contained(failures, *(model.name for model in group)):
            for encoder in going_on(load_variants(group, device), Path(out)):
                with _contained(failures, encoder.name):
                    note_model(encoder, out)
                    encoders.append(encoder)
        for path in paths if encoders else ():
            names = [f"{encoder.name} on {path.name}" for encoder in encoders]
            with _contained(failures, *names):
                task = read_task(path)
                counted = _Counter(on_progress, f"embed {', '.join(names)}", sum(map(len, task.splits.values())))
                folders += embed_variants(encoders, task, out, counted.advance)
    return folders, failures


def going_on(encoders: list[Encoder], out: Path) -> list[Encoder]:
    """Return encoders that go on in the engine of the embeddings that are there: see `Embedder.going_on`."""
    models = []
    for encoder in encoders:
        note = out / encoder.name / MODEL_FILE
        known = read_note(note).get("fingerprint") if note.is_file() else None
        is_ours = hasattr(encoder.model, "going_on")
        models.append(encoder.model.going_on(known) if is_ours else encoder.model)
    if all(model is encoder.model for model, encoder in zip(models, encoders, strict=True)):
        return encoders
    return [replace(encoder, model=encoder.model.in_torch()) for encoder in encoders]


def find_embeddings(root: str | Path) -> list[Path]:
    """Find the embeddings directories at or below a folder: ``TASK``, ``MODEL/TASK`` or ``.../MODEL/TASK``.

    Raises:
        ConfigError: there are none.
    """
    root = Path(root)
    levels = [root, *root.glob("*"), *root.glob("*/*")]
    with_metadata = sorted(folder for folder in levels if (folder / "task_metadata.json").is_file())
    found = [folder for folder in with_metadata if any(folder.glob("*.embedding-dimensions.json"))]
    if not found:
        expected = "task_metadata.json and SPLIT.embedding-dimensions.json, as `axlstm hear embed` writes them"
        raise ConfigError(f"no embeddings at {root} or below: expected folders with {expected}")
    return found


def probe_folders(
    folders: Iterable[Path],
    out: str | Path,
    config: EvaluationConfig | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, str]:
    """Probe embeddings directories ``MODEL/TASK``; results of the same embeddings and protocol stay.

    Results go to ``out/MODEL_r1_SEED/TASK``; reasons of failures are returned by ``MODEL on TASK``.

    Raises:
        ConfigError: a folder that cannot be written.
    """
    config, out = config or EvaluationConfig(), Path(out)
    _check_output(out)
    failures: dict[str, str] = {}
    told: set[str] = set()
    for folder in folders:
        model, task = folder.resolve().parent.name, folder.resolve().name
        with _contained(failures, f"{model} on {task}"):
            _probe_folder(folder, model, task, out, config, told, on_progress)
    return failures


def _probe_folder(
    folder: Path,
    model: str,
    task_name: str,
    out: Path,
    config: EvaluationConfig,
    told: set[str],
    on_progress: OnProgress | None,
) -> None:
    """Probe one directory; warnings that were ``told`` before, of the same task with another model, are left out."""
    protocol = config.probes
    settings = {"protocol": protocol.name, "exact": config.exact}
    about = read_note(folder.parent / MODEL_FILE)
    embeddings = identify_embeddings(folder, about)
    # Without random numbers one result stands for all seeds.
    seeds = config.seed_numbers[:1] if protocol.solved else config.seed_numbers
    missing = [seed for seed in seeds if not is_done(result_folder(out, model, task_name, seed), settings, embeddings)]
    if not missing:
        logger.info("%s on %s: finished before", model, task_name)
        return
    task = read_embeddings(folder)
    for line in degenerate_tests(task):
        if line not in told:
            told.add(line)
            logger.warning("%s", line)
    counted = _Counter(on_progress, f"probe {model} on {task_name}", count_trainings(task, missing, protocol))
    note = {**settings, **embeddings, "labels": task.labels, "parameters": about.get("parameters")}
    for outcome in probe_embeddings(task, missing, protocol, config.exact, config.compute, counted.advance):
        write_result(result_folder(out, model, task_name, outcome.seed), outcome, str(folder), note)


@contextmanager
def _contained(failures: dict[str, str], *labels: str) -> Iterator[None]:
    """Note any error under the labels; the code behind the block goes on."""
    try:
        yield
    except Exception as error:  # a module of somebody else's can raise anything
        for label in labels:
            failures[label] = describe_error(error)
            logger.error("%s failed: %s", label, failures[label])


class _Counter:
    """Adds up the finished parts of a stage and passes on the sum."""

    def __init__(self, on_progress: OnProgress | None, stage: str, total: int) -> None:
        self.on_progress, self.stage, self.total, self.done = on_progress, stage, total, 0
        self.advance(0)

    def advance(self, parts: int) -> None:
        self.done += parts
        if self.on_progress is not None:
            self.on_progress(self.stage, self.done, self.total)


def _check_output(out: Path) -> None:
    existing = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ConfigError(f"{out}: {existing} is a file; expected a folder to write to")
    if not os.access(existing, os.W_OK):
        raise ConfigError(f"{out}: nothing can be written to {existing}; choose another folder")
