"""Run the shell and Python blocks of a Markdown document, in order, in a folder with sounds of its own.

A fence says in its first line what a reader has to know, and what this runner then does with the block:

- ``bash`` or ``python`` alone: the block runs.
- ``bash slow="REASON"``: it runs in the slow tests.
- ``bash no-run="REASON"``: it does not run; only its syntax is checked.

Libraries for this exist: sybil, pytest-markdown-docs, pytest-codeblocks, mktestdocs, byexample. None of them runs the
shell and Python blocks of one document together in one folder, and none asks for the reason why a block does not run.
Sybil can be taught both, in as many lines as this file has.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from axlstm.samples import sample_path, strokes, strokes_table

ROOT = Path(__file__).parents[2]
SKIPPING = ("no-run", "slow")

# One process runs a whole document. It reads [language, place, source] from each line of stdin, and writes
# [place, error] to a line of the report.
_DRIVER = """
import json, subprocess, sys, time, traceback
report = open(sys.argv[1], "w")
namespace = {"__name__": "__main__"}
for language, place, source in map(json.loads, sys.stdin):
    print(f"--- {place}", flush=True)
    begin, error = time.perf_counter(), None
    try:
        if language == "python":
            exec(compile(source, place, "exec"), namespace)
        else:
            subprocess.run(["bash", "-e", "-o", "pipefail", "-c", source], stdin=subprocess.DEVNULL, check=True)
    except Exception:
        error = traceback.format_exc(limit=-3)
        print(error, flush=True)
    print(f"--- {time.perf_counter() - begin:.1f} s", flush=True)
    print(json.dumps([place, error]), file=report, flush=True)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, what its fence says, and its source."""

    document: Path
    line: int
    language: str
    notes: dict[str, str]
    source: str

    @property
    def place(self) -> str:
        """``DOCUMENT:LINE``."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def read_blocks(document: Path) -> list[Block]:
    """Read all blocks of code of a document; indented ones have the language ``indented``."""
    blocks = []
    for token in MarkdownIt().parse(document.read_text(encoding="utf-8")):
        if token.type not in ("fence", "code_block"):
            continue
        language, *words = shlex.split(token.info) or ["" if token.type == "fence" else "indented"]
        notes = dict(word.partition("=")[::2] for word in words)
        assert token.map is not None
        blocks.append(Block(document, token.map[0] + 1, language, notes, token.content))
    return blocks


def runnable(blocks: list[Block], slow: bool) -> list[Block]:
    """Select the shell and Python blocks that run, with the slow ones or without."""
    skipping = SKIPPING[:1] if slow else SKIPPING
    return [
        block for block in blocks if block.language in ("bash", "python") and not block.notes.keys() & set(skipping)
    ]


def run_blocks(blocks: list[Block], folder: Path) -> dict[str, str]:
    """Run blocks of one document one after another in a folder that looks like a reader's clone.

    Returns:
        The traceback of each block that failed, by its place.
    """
    clone = folder / "clone"
    make_clone(clone)
    report = folder / "report.jsonl"
    lines = "".join(json.dumps([block.language, block.place, block.source]) + "\n" for block in blocks)
    command = [sys.executable, "-c", _DRIVER, str(report)]
    subprocess.run(command, input=lines, text=True, cwd=clone, env=_environment(), check=True, timeout=1800)
    results = [json.loads(line) for line in report.read_text().splitlines()]
    assert [place for place, _ in results] == [block.place for block in blocks]
    return {place: error for place, error in results if error is not None}


def make_clone(clone: Path) -> None:
    """Make a folder that holds the repository's examples and benchmarks, and sounds to work on.

    ``recordings`` holds the bundled sounds, as the README says; ``table.csv`` lists the bundled drum strokes.
    """
    for name in ("benchmarks", "examples"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(sample_path("bird_song").parent, clone / "recordings")
    shutil.copytree(strokes_table().parent, clone / "strokes")
    with (clone / "table.csv").open("w", newline="") as file:
        rows = [(f"strokes/{stroke.path.name}", stroke.label, stroke.group) for stroke in strokes()]
        csv.writer(file).writerows([("path", "label", "group"), *rows])


def _environment() -> dict[str, str]:
    """Environment of a reader: the tests' interpreter first in PATH, no network, warnings as usual."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
    sources = f"{ROOT / 'src'}{os.pathsep}{inherited.get('PYTHONPATH', '')}".rstrip(os.pathsep)
    return inherited | {"PATH": path, "PYTHONPATH": sources, "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg"}
