"""The tables and figures of an evaluation: Markdown, CSV, LaTeX and one HTML page."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from axlstm.evaluate.reporting import figures
from axlstm.evaluate.reporting.results import Result
from axlstm.evaluate.reporting.statistics import (
    Comparison,
    Interval,
    Scores,
    compare,
    critical_difference,
    mean_ranks,
    overall_scores,
    sum_confusions,
)
from axlstm.show import webpage

PAGE_FILE = "report.html"
_MOST_CONFUSIONS = 24  # figures on the page


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
        """The statistics of a set of results."""
        scores = Scores(results)
        parameters = {r.model: int(r.run["parameters"]) for r in results if r.run.get("parameters")}
        pairs = [compare(scores, a, b) for a, b in combinations(scores.models, 2)]
        return cls(scores, overall_scores(scores), mean_ranks(scores), pairs, parameters)


def write_report(results: Sequence[Result], out: Path) -> Summary:
    """Write ``report.md``, ``report.csv``, ``report.tex`` and ``report.html`` to a folder."""
    summary = Summary.of(results)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("report.md", to_markdown(summary)),
        ("report.csv", to_csv(summary)),
        ("report.tex", to_latex(summary)),
        (PAGE_FILE, to_html(summary, results)),
    ):
        (out / name).write_text(text, encoding="utf-8")
    return summary


def score_rows(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """The main table: a row a model, a column a task, then the overall score and the mean rank."""
    scores = summary.scores
    header = ["model", *scores.tasks]
    header += ["s(m)"] if summary.overall else []
    header += ["rank"] if len(scores.models) > 1 and summary.ranks else []
    rows = []
    for model in scores.models:
        row = [model, *(_cell(scores.interval(model, task)) for task in scores.tasks)]
        row += [_cell(summary.overall[model], digits=1)] if summary.overall else []
        row += [f"{summary.ranks[model]:.2f}"] if header[-1] == "rank" else []
        rows.append(row)
    return header, rows


def to_markdown(summary: Summary) -> str:
    """The tables as Markdown; the best mean of a task is bold."""
    header, rows = score_rows(summary)
    best = _best_cells(summary)
    text = ["# Evaluation", "", _caption(summary), "", _markdown_line(header), _markdown_line(["---"] * len(header))]
    for i, row in enumerate(rows):
        text.append(_markdown_line([f"**{cell}**" if (i, j) in best else cell for j, cell in enumerate(row)]))
    if summary.comparisons:
        text += ["", "## Models in pairs", ""]
        columns = ["first", "second", "task", "difference", "95 % interval", "seeds"]
        text += [_markdown_line(columns), _markdown_line(["---"] * len(columns))]
        text += [_markdown_line(row) for row in _comparison_rows(summary)]
        text += ["", *map(_verdict, summary.comparisons)]
    return "\n".join(text) + "\n"


def to_csv(summary: Summary) -> str:
    """One row a model and task, and one a model for the overall score."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["model", "parameters", "task", "score", "seeds", "mean", "low95", "high95"])
    scores = summary.scores
    for model in scores.models:
        size = summary.parameters.get(model, "")
        for task in scores.tasks:
            interval = scores.interval(model, task)
            if interval is not None:
                seeds = len(scores.values(model, task))
                values = [interval.mean, interval.low, interval.high]
                writer.writerow([model, size, task, scores.score_names[task], seeds, *values])
        if model in summary.overall:
            value = summary.overall[model]
            writer.writerow([model, size, "overall", "s(m)", "", value.mean, value.low, value.high])
    return buffer.getvalue()


def to_latex(summary: Summary) -> str:
    """The main table for a paper (needs the booktabs package)."""
    header, rows = score_rows(summary)
    best = _best_cells(summary)
    lines = [r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}", r"\toprule"]
    lines += [" & ".join(_tex(name) for name in header) + r" \\", r"\midrule"]
    for i, row in enumerate(rows):
        cells = [_tex(cell).replace("±", r"$\pm$") for cell in row]
        lines.append(" & ".join(rf"\textbf{{{c}}}" if (i, j) in best else c for j, c in enumerate(cells)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def to_html(summary: Summary, results: Sequence[Result]) -> str:
    """One page with tables and figures, and nothing to load from elsewhere."""
    header, rows = score_rows(summary)
    best = _best_cells(summary)
    parts = ["<h1>Evaluation</h1>", f"<p>{html.escape(_caption(summary))}</p>", webpage.table(header, rows, best)]
    parts += ["<h2>Scores by task</h2>", webpage.figure(figures.draw_scores(summary.scores), "Scores by task")]
    if summary.overall:
        drawn = figures.draw_overall(summary.scores.models, summary.overall, summary.parameters)
        parts += [
            "<h2>Overall score against parameters</h2>",
            webpage.figure(drawn, "Overall score against parameters"),
        ]
    if len(summary.ranks) > 1:
        critical = critical_difference(len(summary.ranks), len(summary.scores.shared_tasks()))
        drawn = figures.draw_ranks(summary.ranks, critical)
        parts += ["<h2>Mean ranks</h2>", "<p>A bar joins models that the Nemenyi test at 5 % does not tell apart.</p>"]
        parts.append(webpage.figure(drawn, "Mean ranks"))
    if summary.comparisons:
        columns = ["first", "second", "task", "difference", "95 % interval", "seeds"]
        parts += ["<h2>Models in pairs</h2>", webpage.table(columns, _comparison_rows(summary), set())]
        parts += [f"<p>{html.escape(_verdict(pair))}</p>" for pair in summary.comparisons]
    parts += _confusion_parts(results)
    return webpage.page("Evaluation", parts)


def _confusion_parts(results: Sequence[Result]) -> list[str]:
    labels = {result.task: result.run["labels"] for result in results if result.run.get("labels")}
    confusions = sum_confusions(results)
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
    if not math.isfinite(interval.half_width):
        return f"{interval.mean:.{digits}f}"
    return f"{interval.mean:.{digits}f} ± {interval.half_width:.{digits}f}"


def _best_cells(summary: Summary) -> set[tuple[int, int]]:
    """Row and column of every task's best mean, with at least two models to choose from."""
    scores, best = summary.scores, set()
    for column, task in enumerate(scores.tasks, start=1):
        means = {i: v.mean for i, m in enumerate(scores.models) if (v := scores.interval(m, task)) is not None}
        if len(means) > 1:
            pick = max if scores.maximise[task] else min
            best |= {(i, column) for i, mean in means.items() if mean == pick(means.values())}
    return best


def _comparison_rows(summary: Summary) -> list[list[str]]:
    return [
        [
            comparison.first,
            comparison.second,
            difference.task,
            f"{difference.interval.mean:+.4f}",
            f"{difference.interval.low:+.4f} to {difference.interval.high:+.4f}" if difference.seeds > 1 else "-",
            str(difference.seeds),
        ]
        for comparison in summary.comparisons
        for difference in comparison.differences
    ]


def _verdict(pair: Comparison) -> str:
    if not pair.differences:
        return f"{pair.first} and {pair.second} have no task in common."
    better, worse, open_tasks = (pair.count(sign) for sign in (1, -1, 0))
    verdict = (
        f"{pair.first} is better than {pair.second} on {better} of {len(pair.differences)} tasks, worse on {worse}"
    )
    return f"{verdict}; on {open_tasks} the interval of the difference contains 0." if open_tasks else f"{verdict}."


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _tex(text: str) -> str:
    for character in "\\&%$#_{}":
        text = text.replace(character, f"\\{character}" if character != "\\" else "/")
    return text
