"""A report says the same in Markdown, CSV, LaTeX and on one page."""

import csv
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from axlstm.evaluate.reporting.figures import draw_overall
from axlstm.evaluate.reporting.interval import Interval
from axlstm.evaluate.reporting.report import write_report
from axlstm.evaluate.reporting.results import Result, read_results
from tests.evaluate.reference import DATA


def some_results(models: int = 3, tasks: int = 3, seeds: int = 4) -> list[Result]:
    return [
        Result(
            f"model_{m}", f"task & {t}", s, 0.5 + 0.1 * m + 0.01 * ((s * 7 + m * 3 + t) % 5), "top1_acc", t != 2, {},
            {"parameters": 10**6 * (m + 1) if m else None, "confusion": [[3, 1], [0, 4]], "labels": ["<a>", "b"]},
        )
        for m in range(models) for t in range(tasks) for s in range(seeds)
    ]  # fmt: skip


def test_all_four_files(tmp_path: Path) -> None:
    summary = write_report(some_results(), tmp_path)
    assert set(summary.parameters) == {"model_1", "model_2"}
    markdown = (tmp_path / "report.md").read_text()
    assert "| model | task & 0 | task & 1 | task & 2 | s(m) | rank |" in markdown
    assert re.search(r"\| model_2 \| \*\*0\.7\d\d ± 0\.\d{3}\*\* \|", markdown)
    assert "model_0 is better than model_1 on 1 of 3 tasks, worse on 2." in markdown

    with (tmp_path / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * (3 + 1)
    assert {row["seeds"] for row in rows if row["task"] != "overall"} == {"4"}
    assert all(float(row["low95"]) <= float(row["mean"]) <= float(row["high95"]) for row in rows)

    latex = (tmp_path / "report.tex").read_text()
    assert r"task \& 0" in latex
    assert r"$\pm$" in latex
    assert latex.count(r"\\") == 4


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    write_report(some_results(), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert "@import" not in page
    figures = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(figures) == 3 + 9  # scores, overall, ranks, and a confusion a model and task
    for figure in figures:
        ET.fromstring(figure)
    assert "&lt;a&gt;" in page


def test_forty_models_have_room_beside_their_names() -> None:
    names = [f"model_{m}" for m in range(40)]
    overall = {name: Interval(m, m - 1, m + 1) for m, name in enumerate(names)}
    drawing = draw_overall(names, overall, dict.fromkeys(names[1:], 10**6))
    assert all(f">{name}" in drawing for name in names)


def test_one_model_alone(tmp_path: Path) -> None:
    summary = write_report(some_results(models=1, seeds=1), tmp_path)
    assert summary.overall == {}
    assert "| model_0 | 0.5" in (tmp_path / "report.md").read_text()


def test_models_of_different_tasks(tmp_path: Path) -> None:
    results = [r for r in some_results(models=2) if not (r.model == "model_0" and r.task == "task & 1")]
    write_report(results, tmp_path)
    assert "Missing: model_0 on task & 1." in (tmp_path / "report.md").read_text()


def test_the_kits_own_results(tmp_path: Path) -> None:
    write_report(read_results([DATA / "results"]), tmp_path)
    assert "published_grid" in (tmp_path / "report.md").read_text()


def test_no_win_is_claimed_where_the_interval_contains_zero(tmp_path: Path) -> None:
    scores = {"first": [0.50, 0.61, 0.70], "second": [0.49, 0.60, 0.71], "third": [0.10, 0.20, 0.31]}
    results = [
        Result(model, "t", seed, score, "top1_acc", True, {}, {})
        for model, values in scores.items() for seed, score in enumerate(values)
    ]  # fmt: skip
    write_report(results, tmp_path)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        verdict = (
            "first is better than second on 0 of 1 tasks, worse on 0; on 1 the interval of the difference contains 0."
        )
        assert verdict in text
        assert "first is better than third on 1 of 1 tasks, worse on 0." in text
        assert "wins" not in text
