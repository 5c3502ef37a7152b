"""``axlstm hear check|make|embed|probe|report``: HEAR tasks step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from axlstm.options import LayoutName, Pooling, ProbePrecision, ProtocolName

Out = Annotated[Path, arg(aliases=["-o"])]


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
    one fold); for events also start_ms and end_ms, one event a row.

    Args:
        table: the CSV file; paths in it are relative to it.
        out: the folder of tasks.
        name: of the task, in place of the table's.
        folds: for a table with groups.
        duration_s: cut or pad all clips to it.
        scores: the first one selects.
    """
    from axlstm.evaluate.tasks.make import TaskRecipe, make_task

    with _progress("clips") as advance:
        task = make_task(table, out, TaskRecipe(name or table.stem, folds, duration_s, scores), advance)
    sizes = ", ".join(f"{split} {len(content)}" for split, content in task.splits.items())
    print(f"{task.path}: {task.metadata.prediction_type}, {len(task.labels)} classes, clips: {sizes}")
    return 0


def embed(
    model: Positional[str],
    tasks: Positional[Path],
    out: Positional[Path],
    name: str | None = None,
    device: str = "cpu",
    layout: LayoutName | None = None,
    pooling: Pooling | None = None,
) -> int:
    """Embed tasks, as hear-eval-kit does; interrupted runs go on.

    Args:
        model: an axlstm model; logmel; or a HEAR-API module, as path/to/file.py or module:NAME, with @WEIGHTS.
        tasks: a task or a folder of tasks.
        out: the folder of embeddings; they go to OUT/MODEL/TASK.
        name: of the model in folders and tables.
        device: cpu, cuda, ..., or auto: an accelerator if there is one.
        layout: order of an axlstm model's frames.
        pooling: of an axlstm model's frames to a clip's embedding.
    """
    failed = embed_all([model], tasks, out, name, device, layout=layout, pooling=pooling)
    return 1 if failed else 0


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
    """Train and test probes on embeddings; finished seeds are not redone.

    Args:
        embeddings: a task's embeddings, a model's, or a folder of models'.
        out: the folder of results; they go to OUT/MODEL_r1_SEED/TASK.
        seeds: 0 to SEEDS - 1.
        protocol: which probes are tried.
        exact: one after another with hear-eval-kit's random numbers: its scores to the last digit.
        device: of the batched probes.
        precision: of the batched probes' products.
        threads: of the batched probes on the CPU.
    """
    failed = probe_all(embeddings, out, seeds, protocol, exact, device, precision, threads)
    return 1 if failed else 0


def report(results: Positional[tuple[Path, ...]], out: Out, layout: tuple[str, ...] = ()) -> int:
    """Compare models: tables (Markdown, CSV, LaTeX) and one HTML page.

    Args:
        results: folders of results, of this package or of hear-eval-kit.
        out: a folder for report.md, .csv, .tex and .html.
        layout: how result folders are named, such as {model}_r1_{seed}/{task}; usual ones are known.
    """
    report_all(results, out, layout)
    return 0


def embed_all(
    models: list[str], tasks: Path, out: Path, name: str | None, device: str, **options: str | None
) -> dict[str, str]:
    """Embed every task with every model, loaded with ``options``; returns what failed, with the reason."""
    from axlstm.evaluate.embedding.encoders import load_encoder
    from axlstm.evaluate.embedding.stage import embed_task
    from axlstm.evaluate.pipeline import describe_failure
    from axlstm.evaluate.tasks.read import find_tasks, read_task

    failed: dict[str, str] = {}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    for model in models:
        try:
            encoder = load_encoder(model, device, name, **given)
        except Exception as error:  # a module of somebody else's can raise anything
            failed[model] = describe_failure(error)
            continue
        for path in find_tasks(tasks):
            label = f"{encoder.name} on {path.name}"
            try:
                task = read_task(path)
                total = sum(len(content) for content in task.splits.values())
                with _progress(f"embed {label}", total) as advance:
                    embed_task(encoder, task, out, advance)
            except Exception as error:  # so can it here, and the other tasks go on
                failed[label] = describe_failure(error)
    _tell_failures(failed)
    return failed


def probe_all(
    embeddings: Path,
    out: Path,
    seeds: int,
    protocol: ProtocolName,
    exact: bool,
    device: str = "cpu",
    precision: ProbePrecision = "auto",
    threads: int = 1,
) -> dict[str, str]:
    """Probe all embeddings; returns what failed, with the reason."""
    from axlstm.evaluate.pipeline import ProbeRun, find_embeddings, parse_seeds, probe_folders
    from axlstm.evaluate.probes.batched import Compute
    from axlstm.evaluate.probes.protocol import find_protocol

    compute = Compute(device=device, precision=precision, threads=threads)
    run = ProbeRun(find_protocol(protocol), tuple(parse_seeds(seeds)), exact, compute)
    failed: dict[str, str] = {}
    for folder in find_embeddings(embeddings):
        label = f"{folder.resolve().parent.name} on {folder.name}"
        with _progress(f"probe {label}") as advance:
            reasons = probe_folders([folder], out, run, advance.start, advance)
        if folder in reasons:
            failed[label] = reasons[folder]
    _tell_failures(failed)
    return failed


def report_all(results: tuple[Path, ...], out: Path, layout: tuple[str, ...] = ()) -> None:
    """Write the report and show its main table."""
    from rich.console import Console
    from rich.table import Table

    from axlstm.evaluate.reporting.report import score_rows, write_report
    from axlstm.evaluate.reporting.results import LAYOUTS, read_results

    summary = write_report(read_results(results, layout or LAYOUTS), out)
    header, rows = score_rows(summary)
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    print(f"{out / 'report.html'}")


class _Advance:
    """Moves a progress bar on; the callback that long-running functions take."""

    def __init__(self, bar: Any, total: int | None, label: str) -> None:
        self.bar = bar
        self.task = bar.add_task(label, total=total)

    def __call__(self, count: int) -> None:
        self.bar.advance(self.task, count)

    def start(self, folder: Path, total: int) -> None:
        del folder  # the label names it
        self.bar.update(self.task, total=total)


@contextmanager
def _progress(label: str, total: int | None = None) -> Iterator[_Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Advance(bar, total, label)


def _tell_failures(failed: dict[str, str]) -> None:
    import sys

    for label, reason in failed.items():
        print(f"axlstm: {label} failed: {reason}", file=sys.stderr)
