"""Do parts of a planned output, and close it: ``axlstm work``, ``axlstm collect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tyro.conf import Positional

from axlstm.cli.embed import print_report
from axlstm.cli.progress import Progress

if TYPE_CHECKING:
    from axlstm.parts.folders import Folder
    from axlstm.parts.plan import Plan


def work(out: Positional[str], task: int = 0, tasks: int = 1) -> int:
    """Do a share of the parts of an output that was planned: what a task of an array runs.

    Parts that are done are passed over, and others may do parts at the same time. axlstm collect comes behind it. The
    exit status is 1 if a part failed each time. Example: axlstm work embeddings --task 3 --tasks 100

    Args:
        out: the folder, or its URL.
        task: number of this share, from 0.
        tasks: number of shares.
    """
    from axlstm.errors import ConfigError
    from axlstm.parts.drive import work_on
    from axlstm.store.dataset import EmbedWork

    if not 0 <= task < tasks:
        raise ConfigError(f"--task {task} --tasks {tasks}: expected a task from 0 to {tasks - 1}")
    folder, plan = _open(out)
    parts = range(task, plan.parts, tasks)
    with Progress("recordings", sum(plan.counts[part] for part in parts)) as progress:
        failed = work_on(folder, plan, EmbedWork, parts, progress.advance)
    for part, reason in failed.items():
        print(f"part {part} failed: {reason}")
    return 1 if failed else 0


def collect(out: Positional[str]) -> int:
    """Compare every part of an output with its account, and write the summary and the list of what was skipped.

    The exit status is 1 if a part is missing.

    Args:
        out: the folder, or its URL.
    """
    from axlstm.parts.collect import collect as run

    return print_report(out, run(*_open(out)), 0, {})


def _open(out: str) -> tuple[Folder, Plan]:
    from axlstm.errors import ConfigError
    from axlstm.parts.opening import open_folder
    from axlstm.parts.plan import read_plan

    folder = open_folder(out)
    plan = read_plan(folder)
    if plan is None:
        raise ConfigError(f"{out}: no plan of parts there; axlstm embed plans it")
    return folder, plan
