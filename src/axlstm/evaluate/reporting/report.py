"""Write the tables and figures of an evaluation: Markdown, CSV, LaTeX and one HTML page."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from axlstm.evaluate.reporting import figures, statistics
from axlstm.evaluate.reporting.interval import Interval
from axlstm.evaluate.reporting.results import Result
from axlstm.evaluate.reporting.statistics import Comparison, Scores
from axlstm.files import write_atomically
from axlstm.show import webpage

PAGE_FILE = "report.html"
_MOST_CONFUSIONS = 24  # figures on the page
_PAIR_COLUMNS = ("first", "second", "task", "difference", "95 % interval", "seeds")


@dataclass(frozen=True)
class Summary:
    """Everything a report says, computed once."""

    scores: Scores
    overall: dict[str, Interval]
    ranks: dict[str, float]
    comparisons: list[Comparison]
    parameters: dict[str, int]

    @classmethod
    def of(cls, results: Sequence[Result]) -> Summary:
        """Compute the statistics of a set of results."""
        scores = Scores(results)
        parameters = {r.model: int(r.run["parameters"]) for r in results if r.run.get("parameters")}
        pairs = [statistics.compare(scores, a, b) for a, b in combinations(scores.models, 2)]
        return cls(scores, statistics.overall_scores(scores), statistics.mean_ranks(scores), pairs, parameters)


def write_report(results: Sequence[Result], out: Path) -> Summary:
    """Write ``report.md``, ``report.csv``, ``report.tex`` and ``report.html`` to a folder."""
    summary = Summary.of(results)
    out.mkdir(parents=True, exist_ok=True)
    page = to_html(summary, results)
    for name, text in (
        ("report.md", to_markdown(summary)),
        ("report.csv", to_csv(summary)),
        ("report.tex", to_latex(summary)),
        (PAGE_FILE, page),
    ):
        write_atomically(out / name, text.encode())
    return summary


def score_rows(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Make the main table: a row for each model; a column for each task, the overall score and the mean rank."""
    scores = summary.scores
    ranks = summary.ranks if len(scores.models) > 1 else {}
    header = ["model", *scores.tasks, *(["s(m)"] if summary.overall else []), *(["rank"] if ranks else [])]
    rows = []
    for model in scores.models:
        row = [model, *(_cell(scores.interval(model, task)) for task in scores.tasks)]
        row += [_cell(summary.overall[model], digits=1)] if summary.overall else []
        row += [f"{ranks[model]:.2f}"] if ranks else []
        rows.append(row)
    return header, rows


def to_markdown(summary: Summary) -> str:
    """Write the tables as Markdown; the best mean of a task is bold."""
    header, rows = score_rows(summary)
    best = _best_cells(summary)
    rows = [[f"**{cell}**" if (i, j) in best else cell for j, cell in enumerate(row)] for i, row in enumerate(rows)]
    text = ["# Evaluation", "", _caption(summary), "", *_markdown_table(header, rows)]
    if summary.comparisons:
        text += ["", "## Models in pairs", "", *_markdown_table(_PAIR_COLUMNS, _comparison_rows(summary))]
        text += ["", *map(_verdict, summary.comparisons)]
    return "\n".join(text) + "\n"


def to_csv(summary: Summary) -> str:
    """Write a row for each model and task, and one for each model's overall score."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["model", "parameters", "task", "score", "seeds", "mean", "low95", "high95"])
    scores = summary.scores
    for model in scores.models:
        rows = [
            (t, scores.score_names[t], len(scores.values(model, t)), scores.interval(model, t)) for t in scores.tasks
        ]
        for task, score, seeds, found in [*rows, ("overall", "s(m)", "", summary.overall.get(model))]:
            if found is not None:
                size = summary.parameters.get(model, "")
                writer.writerow([model, size, task, score, seeds, found.mean, found.low, found.high])
    return buffer.getvalue()


def to_latex(summary: Summary) -> str:
    """Write the main table for a paper (it needs the booktabs package)."""
    header, rows = score_rows(summary)
    best = _best_cells(summary)
    lines = [r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}", r"\toprule"]
    lines += [" & ".join(_tex(name) for name in header) + r" \\", r"\midrule"]
    for i, row in enumerate(rows):
        cells = [_tex(cell).replace("±", r"$\pm$") for cell in row]
        lines.append(" & ".join(rf"\textbf{{{c}}}" if (i, j) in best else c for j, c in enumerate(cells)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def to_html(summary: Summary, results: Sequence[Result]) -> str:
    """Write one page with tables and figures that loads nothing from elsewhere."""
    header, rows = score_rows(summary)
    best = _best_cells(summary)
    parts = ["<h1>Evaluation</h1>", f"<p>{html.escape(_caption(summary))}</p>", webpage.table(header, rows, bold=best)]
    parts += ["<h2>Scores by task</h2>", webpage.figure(figures.draw_scores(summary.scores), "Scores by task")]
    if summary.overall:
        title = "Overall score against parameters"
        drawn = figures.draw_overall(summary.scores.models, summary.overall, summary.parameters)
        parts += [f"<h2>{title}</h2>", webpage.figure(drawn, title)]
    if len(summary.ranks) > 1:
        critical = statistics.critical_difference(len(summary.ranks), len(summary.scores.shared_tasks()))
        drawn = figures.draw_ranks(summary.ranks, critical)
        parts += ["<h2>Mean ranks</h2>", "<p>A bar joins models that the Nemenyi test at 5 % does not tell apart.</p>"]
        parts.append(webpage.figure(drawn, "Mean ranks"))
    if summary.comparisons:
        parts += ["<h2>Models in pairs</h2>", webpage.table(_PAIR_COLUMNS, _comparison_rows(summary))]
        parts += [f"<p>{html.escape(_verdict(pair))}</p>" for pair in summary.comparisons]
    parts += _confusion_parts(results)
    return webpage.page("Evaluation", parts)


def _confusion_parts(results: Sequence[Result]) -> list[str]:
    labels = {result.task: result.run["labels"] for result in results if result.run.get("labels")}
    confusions = statistics.sum_confusions(results)
    parts = ["<h2>Confusions</h2>", "<p>Share of each true class, over all seeds and folds.</p>"] if confusions else []
    for (model, task), counts in sorted(confusions.items(), key=lambda item: item[0][::-1])[:_MOST_CONFUSIONS]:
        name = f"{task}: {model}"
        drawn = figures.draw_confusion(counts, labels.get(task, [str(k) for k in range(len(counts))]))
        parts.append(f"<details><summary>{html.escape(name)}</summary>{webpage.figure(drawn, name)}</details>")
    if len(confusions) > _MOST_CONFUSIONS:
        parts.append(f"<p>{len(confusions) - _MOST_CONFUSIONS} more are in the result folders.</p>")
    return parts


def _caption(summary: Summary) -> str:
    scores = summary.scores
    counts = sorted({len(values) for values in scores.by_seed.values()})
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    names = ", ".join(f"{task} {scores.score_names[task]}" for task in scores.tasks)
    text = f"Mean and half width of the 95 % Student-t interval over {seeds} seeds ({names})."
    if summary.overall:
        shared = len(scores.shared_tasks())
        text += f" s(m): mean over {shared} tasks of the score scaled to 0-100 between the worst and best model,"
        text += " with a bootstrap interval over seeds."
    missing = [f"{m} on {t}" for m in scores.models for t in scores.tasks if not scores.values(m, t)]
    return text + (f" Missing: {', '.join(missing)}." if missing else "")


def _cell(interval: Interval | None, digits: int = 3) -> str:
    if interval is None:
        return "-"
    margin = f" ± {interval.half_width:.{digits}f}" if math.isfinite(interval.half_width) else ""
    return f"{interval.mean:.{digits}f}{margin}"


def _best_cells(summary: Summary) -> set[tuple[int, int]]:
    """Find row and column of every task's best mean, with at least two models to choose from."""
    scores, best = summary.scores, set()
    for column, task in enumerate(scores.tasks, start=1):
        means = {i: v.mean for i, m in enumerate(scores.models) if (v := scores.interval(m, task)) is not None}
        if len(means) > 1:
            pick = max if scores.maximise[task] else min
            best |= {(i, column) for i, mean in means.items() if mean == pick(means.values())}
    return best


def _comparison_rows(summary: Summary) -> list[list[str]]:
    rows = []
    for pair in summary.comparisons:
        for task, gap, seeds in ((d.task, d.interval, d.seeds) for d in pair.differences):
            bounds = f"{gap.low:+.4f} to {gap.high:+.4f}" if seeds > 1 else "-"
            rows.append([pair.first, pair.second, task, f"{gap.mean:+.4f}", bounds, str(seeds)])
    return rows


def _verdict(pair: Comparison) -> str:
    if not pair.differences:
        return f"{pair.first} and {pair.second} have no task in common."
    better, worse, open_tasks = (pair.count(sign) for sign in (1, -1, 0))
    verdict = f"better than {pair.second} on {better} of {len(pair.differences)} tasks, worse on {worse}"
    undecided = f"; on {open_tasks} the interval of the difference contains 0" if open_tasks else ""
    return f"{pair.first} is {verdict}{undecided}."


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _tex(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", "/"))
