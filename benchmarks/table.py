"""Write tables of documents from the committed results; that of docs/performance.md has a column for each family.

python -m benchmarks table [--check]
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from axlstm.files import write_atomically
from benchmarks.invariance_table import make_invariance_table
from benchmarks.neighbours import make_neighbour_table
from benchmarks.report import RESULTS

DOCUMENTS = Path(__file__).parents[1] / "docs"
FAMILIES = {"amd-avx512_bf16": "AMD, AVX-512 with bfloat16", "intel-amx": "Intel, AMX"}
_BEGIN, _END = "<!-- table: python -m benchmarks table -->\n", "<!-- end of table -->\n"

Result = dict[str, Any]
Cell = Callable[[Result], str]


def table(check: bool = False) -> int:
    """Replace the tables in the documents.

    Args:
        check: change nothing, and end with status 1 if a document has another table.
    """
    changed = False
    for name, make in _TABLES.items():
        path = DOCUMENTS / name
        text = path.read_text(encoding="utf-8")
        begin, end = text.index(_BEGIN) + len(_BEGIN), text.index(_END)
        written = text[:begin] + make() + text[end:]
        changed |= written != text
        if not check:
            write_atomically(path, written.encode())
    return int(check and changed)


def make_table() -> str:
    """Make the table: what was not measured on a family is a dash."""
    lines = [f"| work | command | bar | {' | '.join(FAMILIES.values())} |", "|---" * (3 + len(FAMILIES)) + "|"]
    for work, command, bar, name, cell in _ROWS:
        cells = [_cell(name, family, cell) for family in FAMILIES]
        lines.append(f"| {work} | `{command}` | {bar} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(name: str, family: str, cell: Cell) -> str:
    path = RESULTS / f"{name}-{family}.json"
    if not path.exists():
        return "-"
    try:
        return cell(json.loads(path.read_bytes()))
    except (KeyError, StopIteration):
        return "-"


def _ratio(model: str, competitor: str) -> Cell:
    """Show a ratio to the released algorithm; earlier results have other names of competitors."""

    def cell(result: Result) -> str:
        earlier = re.sub("^auto", "openvino", competitor)
        names = (competitor, earlier, earlier.replace("float32", "fp32").replace("bfloat16", "bf16"))
        rows = (row for row in result["rows"] if row.get("model", model) == model and row.get("competitor") in names)
        return f"{next(rows)['ratio'][1]:.1f}x"

    return cell


def _many(work: str, way: str) -> Cell:
    def cell(result: Result) -> str:
        row = next(row for row in result["rows"] if row["work"] == work)
        others = row["all but the encoder"]["wall_s"] / row[way]["wall_s"]
        return f"{row[way]['ratio'][1]:.1f}x ({others:.0%} around the encoder)"

    return cell


def _start(name: str) -> Cell:
    def cell(result: Result) -> str:
        runs = result["rows"][name]
        wall, memory = (median(run[key] for run in runs) for key in ("wall_s", "peak_mib"))
        return f"{wall:.2f} s, {memory:.0f} MiB"

    return cell


def _late(result: Result) -> str:
    return f"{median(result['stream_late_s']):.2f} s"


_EMBEDDING, _FOLDER = "python -m benchmarks embedding", "python -m benchmarks folder"
_TRAINING, _MANY, _START = "python -m benchmarks training", "python -m benchmarks many", "python -m benchmarks start"
_FLOAT, _HALF = "axlstm embed, float32", "axlstm embed, bfloat16"
_ROWS: tuple[tuple[str, str, str, str, Cell], ...] = (
    ("60 s, Tiny, float32, default", _EMBEDDING, "4.5x", "embedding", _ratio("axlstm-tiny", "auto, float32")),
    ("the same, torch in threads", _EMBEDDING, "", "embedding", _ratio("axlstm-tiny", "threads, float32")),
    ("the same, torch in processes", _EMBEDDING, "", "embedding", _ratio("axlstm-tiny", "processes, float32")),
    ("60 s, Tiny, bfloat16, default", _EMBEDDING, "6x", "embedding", _ratio("axlstm-tiny", "auto, bfloat16")),
    ("60 s, Base, float32, default", _EMBEDDING, "2x", "embedding", _ratio("axlstm-base", "auto, float32")),
    ("60 s, Base, bfloat16, default", _EMBEDDING, "5x", "embedding", _ratio("axlstm-base", "auto, bfloat16")),
    ("500 files of 2 s, float32", _FOLDER, "8x", "folder", _ratio("axlstm-tiny", "auto, float32")),
    ("500 files of 2 s, bfloat16", _FOLDER, "12x", "folder", _ratio("axlstm-tiny", "auto, bfloat16")),
    ("10,000 files of 0.5 s, float32", _MANY, "", "many", _many("10000x0.5", _FLOAT)),
    ("10,000 files of 0.5 s, bfloat16", _MANY, "", "many", _many("10000x0.5", _HALF)),
    ("20 files of 10 min, float32", _MANY, "", "many", _many("20x600", _FLOAT)),
    ("20 files of 10 min, bfloat16", _MANY, "", "many", _many("20x600", _HALF)),
    ("a file of 10 h, float32", _MANY, "", "many", _many("1x36000", _FLOAT)),
    ("a file of 10 h, bfloat16", _MANY, "", "many", _many("1x36000", _HALF)),
    ("`axlstm embed` of 2 s, a fresh process", _START, "0.7 s, 250 MiB", "start", _start("float32")),
    ("the same, the first time ever", _START, "", "start", _start("first, float32")),
    ("the same, in torch", _START, "", "start", _start("torch")),
    ("`axlstm stream`: first line behind its sound", _START, "0.5 s", "start", _late),
    (
        "training step, Tiny, float32, a process a core",
        _TRAINING,
        "3x",
        "training",
        _ratio("axlstm-tiny", "processes, float32"),
    ),
    (
        "training step, Tiny, bfloat16, a process a core",
        _TRAINING,
        "4x",
        "training",
        _ratio("axlstm-tiny", "processes, bfloat16"),
    ),
)
_TABLES: dict[str, Callable[[], str]] = {
    "performance.md": make_table,
    "invariances.md": make_invariance_table,
    "comparison.md": make_neighbour_table,
}
