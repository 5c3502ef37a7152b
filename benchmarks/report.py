"""Write results as ``benchmarks/results/NAME.json``, or ``NAME-FAMILY.json`` where processors differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from axlstm.files import write_atomically
from benchmarks.machine import processor_family

RESULTS = Path(__file__).parent / "results"


def save(name: str, result: dict[str, Any], by_family: bool = False) -> None:
    """Write a result as JSON beside the others.

    Args:
        by_family: keep one for each family of processors.
    """
    RESULTS.mkdir(exist_ok=True)
    path = family_path(name) if by_family else RESULTS / f"{name}.json"
    write_atomically(path, (json.dumps(result, indent=2) + "\n").encode())
    print(path)


def family_path(name: str) -> Path:
    """Return the file of a result for the processor that this runs on."""
    return RESULTS / f"{name}-{processor_family()}.json"
