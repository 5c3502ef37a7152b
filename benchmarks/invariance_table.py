"""Show the results of `benchmarks invariances` as a table of Markdown and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.show.figures import new_figure, save_figure
from benchmarks.invariance_rows import EXACT
from benchmarks.report import RESULTS

Result = dict[str, Any]

TITLES = {
    "twice": "computed twice",
    "order": "in two orders",
    "batch": "beside a longer clip",
    "threads": "one thread, two threads",
    "bfloat16": "bfloat16",
    "gain +12 dB": "12 dB louder",
    "gain -12 dB": "12 dB quieter",
    "44.1 kHz": "from 44.1 kHz",
    "shift": "half a hop later",
    "silence": "1 s of quiet noise behind",
    "zeros": "1 s of zeros behind",
    "halves": "mean of two halves",
}
_CLICK = "time of a click: error, ms"
_LEAST, _MOST = 1e-4, 1.0  # shares that have colours of their own


def make_invariance_table() -> str:
    """Make the table of docs/invariances.md from the committed results."""
    result: Result = json.loads((RESULTS / "invariances.json").read_bytes())
    missing = [
        f"- not installed where this was measured: {name} (`{how}`)" for name, how in result["not installed"].items()
    ]
    return "\n".join([show(result, list(result["encoders"])), "", *missing]).rstrip() + "\n"


def show(result: Result, names: Sequence[str]) -> str:
    """Make a table of Markdown with a column for each encoder of these names."""
    encoders = [result["encoders"][name] for name in names]
    lines = [("", *names), ("---",) * (1 + len(names)), ("weights", *(encoder["weights"] for encoder in encoders))]
    lines.append(("another recording", *(f"{encoder['other']['median']:.2f}" for encoder in encoders)))
    lines += [(TITLES[row], *(_cell(row, encoder["rows"][row]) for encoder in encoders)) for row in TITLES]
    lines.append((_CLICK, *(_click(encoder["rows"]["click"]) for encoder in encoders)))
    lines.append(("half a hop, ms", *(f"{500 * encoder['hop_s']:.0f}" for encoder in encoders)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(row: str, measured: Result) -> str:
    """Show worst and median cosine; of a row that should be exact, the largest difference unless cosines show it."""
    if "cosine" not in measured:
        return _lack(measured)
    cosines, difference = measured["cosine"], measured["difference"]["worst"]
    if row in EXACT and difference < 1e-3:
        return "equal" if difference == 0 else f"{difference:.0e}"
    return f"{_number(cosines['worst'])}<br>{_number(cosines['median'])}"


def _number(cosine: float) -> str:
    """Round a cosine; what is not 1 is not shown as 1."""
    return f"{cosine:.3f}" if cosine < 0.9995 else f"{cosine:.5f}" if cosine < 0.999995 else "1.0"


def _click(measured: Result) -> str:
    if "error_s" not in measured:
        return _lack(measured)
    return "<br>".join(f"{1000 * measured['error_s'][key]:.0f}" for key in ("worst", "median"))


def _lack(measured: Result) -> str:
    return "-" if "not offered" in measured else "fails"


def share(encoder: Result, row: str) -> float | None:
    """Return how far the worst recording moves, as a share of the way to another recording; None without a cosine."""
    measured = encoder["rows"][row]
    if "cosine" not in measured:
        return None
    return float((1 - measured["cosine"]["worst"]) / max(1 - encoder["other"]["median"], 1e-12))


def draw(result: Result, path: Path) -> None:
    """Draw how far each row moves each encoder's embeddings, and how far its times of clicks are off."""
    encoders: dict[str, Result] = result["encoders"]
    sheet = new_figure(13.0, 1.6 + 0.36 * len(encoders))
    grid = sheet.add_gridspec(1, 2, width_ratios=(4.2, 1))
    left = sheet.add_subplot(grid[0])
    right = sheet.add_subplot(grid[1], sharey=left)
    _draw_shares(left, encoders)
    _draw_clicks(right, encoders)
    save_figure(sheet, path)


def _draw_shares(axis: Any, encoders: dict[str, Result]) -> None:
    shares = [[share(encoder, row) for row in TITLES] for encoder in encoders.values()]
    levels = np.array([[np.nan if x is None else np.log10(np.clip(x, _LEAST, _MOST)) for x in line] for line in shares])
    image = axis.imshow(levels, aspect="auto", cmap="YlOrRd", vmin=np.log10(_LEAST), vmax=np.log10(_MOST))
    for y, line in enumerate(shares):
        for x, value in enumerate(line):
            text = _percent(value)
            axis.text(x, y, text, ha="center", va="center", fontsize=8, color="w" if value and value > 0.1 else "k")
    axis.set_xticks(range(len(TITLES)), list(TITLES.values()), rotation=35, ha="right", fontsize=8)
    names = [name + ("*" if encoder["weights"].startswith("random") else "") for name, encoder in encoders.items()]
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_title("moved, as a share of the way to another recording (worst recording; * random weights)", fontsize=9)
    bar = axis.figure.colorbar(image, ax=axis, pad=0.01, shrink=0.8)
    ticks = (-4, -3, -2, -1, 0)
    bar.set_ticks(ticks, labels=[f"{100 * 10.0**tick:g}%" for tick in ticks], fontsize=8)


def _percent(value: float | None) -> str:
    if value is None:
        return "-"
    return "0" if value < 1e-6 else "<0.1%" if value < 1e-3 else f"{value:.1%}" if value < 0.01 else f"{value:.0%}"


def _draw_clicks(axis: Any, encoders: dict[str, Result]) -> None:
    for y, encoder in enumerate(encoders.values()):
        measured, half_ms = encoder["rows"]["click"], 500 * encoder["hop_s"]
        if "error_s" not in measured:
            axis.text(1, y, " -", va="center", fontsize=8)
            continue
        error_ms = 1000 * measured["error_s"]["worst"]
        axis.barh(y, error_ms, left=0.0, height=0.6, color="#0072b2" if error_ms <= half_ms else "#d55e00")
        axis.plot([half_ms, half_ms], [y - 0.4, y + 0.4], color="k", lw=1.5)
    axis.set(xscale="log", xlim=(1, 5000), xlabel="ms; the line is half a hop")
    axis.set_title("a click's time, worst error", fontsize=9)
    axis.tick_params(labelleft=False, labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
