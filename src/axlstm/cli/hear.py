"""Do HEAR tasks step by step: ``axlstm hear check|make|embed|probe|report``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from axlstm.cli.embed import Revision
from axlstm.cli.parts import Parts, run_parts, wants_parts
from axlstm.cli.progress import Progress
from axlstm.options import ENCODER_DEFAULTS, PART_DEFAULTS, EncoderOptions, Pooling, ProbePrecision, ProtocolName

if TYPE_CHECKING:
    from axlstm.evaluate.reporting.report import Summary
    from axlstm.parts.drive import Report

Out = Annotated[Path, arg(aliases=["-o"])]
Encoder = Annotated[EncoderOptions, OmitArgPrefixes]
Poolings = Annotated[
    tuple[Pooling, ...],
    arg(
        help="makes a clip's embedding of its frames; several share one run of the model, and those that are not the "
        "mean are called MODEL-POOLING"
    ),
]


def check(tasks: Positional[Path], resample: bool = False, unpack: Path | None = None) -> int:
    """Verify task directories: files, labels, rates, durations, leaks between splits.

    Args:
        tasks: a task, a folder of tasks, or with --unpack the release's tar archive.
        resample: write missing 16 kHz clips from the higher rates that are there.
        unpack: a folder to unpack the archive to; it is then checked there.
    """
    from axlstm.errors import AxlstmError
    from axlstm.evaluate.tasks.archive import extract_archive
    from axlstm.evaluate.tasks.read import check_task, find_tasks, read_task, resample_task

    if unpack is not None:
        print(f"{extract_archive(tasks, unpack)} files unpacked to {unpack}")
        tasks = unpack / "tasks" if (unpack / "tasks").is_dir() else unpack
    bad = 0
    for path in find_tasks(tasks):
        try:
            task = read_task(path)
            if resample:
                print(f"{path.name}: {resample_task(task)} clips resampled")
            problems = check_task(task)
        except AxlstmError as error:
            problems = [str(error)]
        bad += bool(problems)
        print(f"{path.name}: {f'{len(problems)} problems' if problems else 'sound'}")
        for problem in problems[:20]:
            print(f"  {problem}")
        if len(problems) > 20:
            print(f"  and {len(problems) - 20} more")
    return 1 if bad else 0


def make(
    table: Positional[Path],
    out: Positional[Path],
    name: str | None = None,
    folds: int = 5,
    duration_s: float | None = None,
    scores: tuple[str, ...] = (),
) -> int:
    """Write a task of your own from a CSV table.

    Columns: path; label (several separated by ;); split (train, valid, test) or group (k-fold, a group stays in
    one fold); for events also start_ms and end_ms, one event a row. Nothing is written if a sound cannot be read: the
    message names its line.

    Args:
        table: the CSV file; paths in it are relative to it.
        out: the folder of tasks.
        name: of the task, in place of the table's.
        folds: for a table with groups.
        duration_s: cut or pad all clips to it.
        scores: the first one selects.
    """
    from axlstm.evaluate.tasks.make import TaskRecipe, make_task

    with Progress() as progress:
        task = make_task(table, out, TaskRecipe(name or table.stem, folds, duration_s, scores), progress.on_progress)
    sizes = ", ".join(f"{split} {len(content)}" for split, content in task.splits.items())
    print(f"{task.path}: {task.metadata.prediction_type}, {len(task.labels)} classes, clips: {sizes}")
    return 0


def embed(
    model: Positional[str],
    tasks: Positional[Path],
    out: Positional[Path],
    name: str = "",
    pooling: Poolings = ("mean",),
    revision: Revision = None,
    parts: Parts = PART_DEFAULTS,
    encoder: Encoder = ENCODER_DEFAULTS,
) -> int:
    """Embed tasks, as hear-eval-kit does. An interrupted command goes on when it is given again.

    With --runner, workers embed clips in parts, and OUT is written when all parts are done (docs/scale.md).

    Args:
        model: an axlstm model; logmel; or a HEAR-API module, as path/to/file.py or module:NAME, with @WEIGHTS. All
            options but the device are for axlstm's own models.
        tasks: a task or a folder of tasks.
        out: folder of embeddings; they go to OUT/MODEL/TASK.
        name: names the model in folders and tables.
    """
    from axlstm.evaluate.pipeline import choose_models, embed_models
    from axlstm.parts.opening import work_folder

    if wants_parts(parts):
        from axlstm.evaluate.planned import plan_hear

        place = parts["part_folder"] or work_folder(out)
        options: dict[str, Any] = {"name": name, "pooling": pooling, "revision": revision, **encoder}
        plan = partial(plan_hear, model, tasks, out, place, **options)
        return run_parts(str(out), parts, encoder.get("device", "cpu"), plan, "clips")
    models = choose_models([model], name, pooling, revision, **encoder)
    with Progress() as progress:
        _, failures = embed_models(models, tasks, out, str(encoder.get("device", "cpu")), progress.on_progress)
    return report_failures(failures)


def tell_parts(_: str, report: Report) -> int:
    """Print what failed of tasks that were embedded in parts; returns the exit status."""
    return report_failures(report.gathered)


def probe(
    embeddings: Positional[Path],
    out: Out,
    seeds: int = 10,
    protocol: ProtocolName = "published",
    exact: bool = False,
    device: str = "cpu",
    precision: ProbePrecision = "auto",
    threads: int = 1,
) -> int:
    """Train and test probes on embeddings; finished seeds are not trained again.

    Args:
        embeddings: a task's embeddings, a model's, or a folder of models'.
        out: folder of results; they go to OUT/MODEL_r1_SEED/TASK.
        seeds: number of probe seeds: 0 to SEEDS - 1.
        protocol: which probes are tried.
        exact: one after another with hear-eval-kit's random numbers: its scores to the last digit.
        device: of the batched probes.
        precision: of the batched probes' products.
        threads: of the batched probes on the CPU.
    """
    from axlstm.evaluate.pipeline import EvaluationConfig, find_embeddings, probe_folders

    config = EvaluationConfig(protocol, seeds, exact, device, precision, threads)
    with Progress() as progress:
        failures = probe_folders(find_embeddings(embeddings), out, config, progress.on_progress)
    return report_failures(failures)


def report(results: Positional[tuple[Path, ...]], out: Out, layout: tuple[str, ...] = ()) -> int:
    """Compare models: tables (Markdown, CSV, LaTeX) and one HTML page.

    Args:
        results: folders of results, of this package or of hear-eval-kit.
        out: folder for report.md, .csv, .tex and .html.
        layout: how result folders are named, such as {model}_r1_{seed}/{task}; usual ones are known.
    """
    from axlstm.evaluate.reporting.report import PAGE_FILE, write_report
    from axlstm.evaluate.reporting.results import LAYOUTS, read_results

    print_summary(write_report(read_results(results, layout or LAYOUTS), out), out / PAGE_FILE)
    return 0


def print_summary(summary: Summary, page: Path) -> None:
    """Print a report's main table, and where its page is."""
    from rich.console import Console
    from rich.table import Table

    from axlstm.evaluate.reporting.report import score_rows

    header, rows = score_rows(summary)
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    print(page)


def report_failures(failures: Mapping[str, str]) -> int:
    """Print what failed, and how much; returns the exit status."""
    for label, reason in failures.items():
        print(f"axlstm: {label} failed: {reason}", file=sys.stderr)
    if failures:
        again = "the same command tries these again, and keeps the rest"
        print(f"axlstm: {len(failures)} failed; {again}", file=sys.stderr)
    return 1 if failures else 0
