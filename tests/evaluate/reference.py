"""Reading the reference files under tests/data/hear."""

from __future__ import annotations

import csv
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parent.parent / "data" / "hear"


def read_json_xz(path: Path) -> Any:
    return json.loads(lzma.decompress(path.read_bytes()))


def unpack_task(name: str, folder: Path) -> Path:
    """A task's embeddings directory; the repository keeps the embeddings' bytes by significance, compressed."""
    target = folder / name
    target.mkdir(parents=True)
    for path in (DATA / "tasks" / name).iterdir():
        if path.name.endswith(".planes.xz"):
            planes = np.frombuffer(lzma.decompress(path.read_bytes()), dtype=np.uint8).reshape(4, -1)
            (target / path.name.removesuffix(".planes.xz")).write_bytes(planes.T.tobytes())
        else:
            (target / path.name).write_bytes(path.read_bytes())
    return target


def read_kit_result(grid: str, task: str, seed: int) -> dict[str, Any]:
    path = DATA / "results" / grid / task / f"seed{seed}" / "test.predicted-scores.json"
    return json.loads(path.read_text())


def read_kit_summary() -> list[dict[str, str]]:
    with (DATA / "results" / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))
