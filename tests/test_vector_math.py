"""The vector functions of torch: the same numbers at the first call as later, whoever asks first."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import axlstm

SOURCES = Path(axlstm.__file__).parent
HOME = "axlstm.vector_math"
PROCESSES = 10  # without what is tested, four in ten gave other numbers
FIRST_CALL = """
import torch
import axlstm.vector_math
numbers = torch.rand(12000, dtype=torch.float64).float() + 0.1
print(torch.equal(numbers.log(), numbers.log()))
"""


def test_the_first_call_of_a_function_gives_what_later_calls_give() -> None:
    """Processes of their own, since in each only the first call of all can differ, and not in a fork."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", FIRST_CALL]
    told = [subprocess.run(command, env=environment, capture_output=True, text=True).stdout for _ in range(PROCESSES)]
    assert {line.strip() for line in told} == {"True"}


def test_whoever_loads_torch_has_its_functions_settled() -> None:
    reached = {name for name in all_modules() if name != HOME and imports_torch(name) and HOME not in everything(name)}
    assert reached == set()


def all_modules() -> dict[str, Path]:
    paths = {path.relative_to(SOURCES.parent).with_suffix(""): path for path in SOURCES.rglob("*.py")}
    return {".".join(p.parts).removesuffix(".__init__"): path for p, path in paths.items()}


@cache
def imported(name: str) -> frozenset[str]:
    """Name what a module imports when it is loaded."""
    body = ast.parse(all_modules()[name].read_text(encoding="utf-8")).body
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module} | {f"{node.module}.{alias.name}" for alias in node.names})
    return frozenset(names)


def imports_torch(name: str) -> bool:
    return any(other.split(".")[0] == "torch" for other in imported(name))


def everything(name: str) -> set[str]:
    """Name all modules of the package that are loaded with one."""
    modules, found, left = all_modules(), set(), [name]
    while left:
        for other in imported(left.pop()) & modules.keys():
            if other not in found:
                found.add(other)
                left.append(other)
    return found
