"""``python -m benchmarks NAME``: run a benchmark and write its result."""

from __future__ import annotations

import sys

import tyro

from benchmarks.embedding import embedding

BENCHMARKS = {"embedding": embedding}

if __name__ == "__main__":
    app = tyro.extras.SubcommandApp()
    for name, benchmark in BENCHMARKS.items():
        app.command(name=name)(benchmark)
    sys.exit(app.cli(prog="python -m benchmarks", description="Ours beside the released algorithm, in one run."))
