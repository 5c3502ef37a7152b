"""Do parts of a planned output, and close it: ``axlstm work``, ``axlstm collect``."""

from __future__ import annotations

from tyro.conf import Positional

from axlstm.cli.parts import find_work, tell
from axlstm.cli.progress import Progress


def work(out: Positional[str], task: int = 0, tasks: int = 1) -> int:
    """Do a share of the parts of an output that was planned: what a task of an array runs.

    Parts that are done are passed over, and others may do parts at the same time. axlstm collect comes behind it. The
    exit status is 1 if a part failed each time. Example: axlstm work embeddings --task 3 --tasks 100

    Args:
        out: the output, or the folder of its parts; either can be a URL.
        task: number of this share, from 0.
        tasks: number of shares.
    """
    from axlstm.errors import ConfigError
    from axlstm.parts.drive import work_on
    from axlstm.parts.opening import find_planned

    if not 0 <= task < tasks:
        raise ConfigError(f"--task {task} --tasks {tasks}: expected a task from 0 to {tasks - 1}")
    folder, plan = find_planned(out)
    parts = range(task, plan.parts, tasks)
    with Progress("recordings", sum(plan.counts[part] for part in parts)) as progress:
        failed = work_on(folder, plan, find_work(plan), parts, progress.advance)
    for part, reason in failed.items():
        print(f"part {part} failed: {reason}")
    return 1 if failed else 0


def collect(out: Positional[str]) -> int:
    """Compare every part of an output with its account, write the summary, and make what the parts are for.

    That is a collection of axlstm index, the detections of axlstm detect, the shards of axlstm prepare, or the
    embeddings of axlstm hear embed. The exit status is 1 if a part is missing.

    Args:
        out: the output, or the folder of its parts; either can be a URL.
    """
    from axlstm.parts.drive import close
    from axlstm.parts.opening import find_planned

    folder, plan = find_planned(out)
    return tell(str(plan.job.get("out", out)), plan, close(folder, plan, find_work(plan)))
