"""Write the scripts of a Slurm array whose tasks do the parts of an output."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from axlstm.files import write_atomically, writing
from axlstm.parts.plan import Plan
from axlstm.remote import is_url

_MOST_TASKS = 100  # by default; clusters allow 1,001 unless they are told otherwise

_ARRAY = """#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --cpus-per-task=1
#SBATCH --output={array_log}
# Add what your cluster asks for, such as #SBATCH --partition, --account, --time and --mem.
# A task that is ended, or run twice, does no harm: submit the array again, and it does what is not done.
export OMP_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-1}}"
exec {axlstm} work {out} --task "$SLURM_ARRAY_TASK_ID" --tasks {tasks}
"""

_COLLECT = """#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --output={collect_log}
exec {axlstm} collect {out}
"""


def write_scripts(out: str, plan: Plan, tasks: int | None) -> tuple[Path, Path]:
    """Write the script of the array and of the job behind it, into the folder ``OUT.slurm``.

    It lies beside the output, or for a URL in the current folder. Scripts that are there are written anew.

    Args:
        out: the output, a path or a URL.
        tasks: of the array; None takes 100. There are at most as many as parts.

    Returns:
        The paths of ``array.sh`` and ``collect.sh``.

    Raises:
        WriteError: they cannot be written.
    """
    name = out.rstrip("/").rpartition("/")[2]
    place = out if is_url(out) else str(Path(out).absolute())
    folder = Path.cwd() / f"{name}.slurm" if is_url(out) else Path(f"{place}.slurm")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    count = max(1, min(tasks or _MOST_TASKS, plan.parts))
    values = {
        "name": shlex.quote(f"axlstm-{name}"),
        "last": count - 1,
        "tasks": count,
        "array_log": shlex.quote(f"{folder}/%A-%a.log"),
        "collect_log": shlex.quote(f"{folder}/%j-collect.log"),
        "axlstm": f"{shlex.quote(sys.executable)} -m axlstm",
        "out": shlex.quote(place),
    }
    paths = folder / "array.sh", folder / "collect.sh"
    for path, text in zip(paths, (_ARRAY, _COLLECT), strict=True):
        write_atomically(path, text.format(**values).encode())
        path.chmod(0o755)
    return paths
