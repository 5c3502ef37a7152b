"""Evaluate a model on the audio tasks of MTEB, which fetches them from the Hugging Face Hub.

pip install "axlstm[mteb]"
python maeb.py axlstm-tiny                              # MAEB(v1, audio-only): 19 tasks, which are large
python maeb.py my-run/ --tasks BeijingOpera GTZANGenre  # or some of them

A task that fails is named with its error, and the others go on. MTEB keeps the results by the fingerprint of the model,
and runs what is missing. Five of the tasks decode sound by themselves and need torchcodec: see docs/adapters.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import mteb

from axlstm.adapters.mteb import MtebEncoder

BENCHMARK = "MAEB(v1, audio-only)"


def main() -> None:
    """Print a line for each task; exit with status 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="axlstm-tiny", help="a name, folder or Hub id")
    parser.add_argument("--tasks", nargs="+", help=f"names of MTEB's tasks; all of {BENCHMARK} if left out")
    parser.add_argument("--pooling", default="mean", choices=["mean", "mean+deviation"])
    parser.add_argument("--results", type=Path, default=Path("maeb"), help="folder for the results")
    parser.add_argument("--list", action="store_true", help="list the tasks, and do nothing")
    options = parser.parse_args()
    tasks = list(mteb.get_tasks(tasks=options.tasks) if options.tasks else mteb.get_benchmark(BENCHMARK).tasks)
    if options.list:
        sys.stdout.writelines(f"{task.metadata.name}: {task.metadata.type}\n" for task in tasks)
        return
    encoder = MtebEncoder(options.model, pooling=options.pooling)
    cache, failed = mteb.ResultCache(options.results), 0
    for task in tasks:
        result = mteb.evaluate(encoder, task, cache=cache, raise_error=False)
        for done in result.task_results:
            sys.stdout.write(f"{task.metadata.name}: {task.metadata.main_score} {done.get_score():.4f}\n")
        for error in result.exceptions or ():
            failed += 1
            sys.stdout.write(f"{task.metadata.name}: failed: {error.exception}\n")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
