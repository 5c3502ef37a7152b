"""Write results as ``benchmarks/results/NAME.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from axlstm.files import write_atomically

RESULTS = Path(__file__).parent / "results"


def save(name: str, result: dict[str, Any]) -> None:
    """Write a result as JSON beside the others."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    write_atomically(path, (json.dumps(result, indent=2) + "\n").encode())
    print(path)
