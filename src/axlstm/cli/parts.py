"""Have parts do the work of a command, and tell what came of it. The table here says what each command's work is."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from tyro.conf import OmitArgPrefixes

from axlstm.cli.progress import Progress
from axlstm.options import PART_DEFAULTS, Device, PartOptions

if TYPE_CHECKING:
    from axlstm.parts.drive import Report
    from axlstm.parts.folders import Folder
    from axlstm.parts.plan import Limits, Plan
    from axlstm.parts.run import Work

Parts = Annotated[PartOptions, OmitArgPrefixes]
SHOWN = 3


class _Command(NamedTuple):
    """The places of the work of a command and of the function that tells its outcome: MODULE:NAME."""

    work: str
    tell: str


_COMMANDS = {
    "embed": _Command("axlstm.store.dataset:EmbedWork", "axlstm.cli.embed:tell_parts"),
    "index": _Command("axlstm.collection.planned:IndexParts", "axlstm.cli.index:tell_parts"),
    "detect": _Command("axlstm.collection.detections.planned:DetectParts", "axlstm.cli.detect:tell_parts"),
    "prepare": _Command("axlstm.data.planned:PrepareParts", "axlstm.cli.prepare:tell_parts"),
    "hear embed": _Command("axlstm.evaluate.planned:HearParts", "axlstm.cli.hear:tell_parts"),
}


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def find_work(plan: Plan) -> type[Work]:
    """Find the work that a plan is of.

    Raises:
        ConfigError: a command of a later version.
    """
    work: type[Work] = _load(_command_of(plan).work)
    return work


def _command_of(plan: Plan) -> _Command:
    from axlstm.errors import ConfigError

    command = _COMMANDS.get(str(plan.job.get("command")))
    if command is None:
        raise ConfigError(
            f"parts of axlstm {plan.job.get('command')}: expected one of {', '.join(_COMMANDS)}; install a newer axlstm"
        )
    return command


def wants_parts(parts: PartOptions) -> bool:
    """Tell whether a command is to be done in parts, which have a runner.

    Raises:
        ConfigError: options of parts without one.
    """
    from axlstm.errors import ConfigError

    if parts.get("runner") is not None:
        return True
    if given := [name for name, value in PART_DEFAULTS.items() if parts.get(name, value) != value]:
        option = given[0].replace("_", "-")
        raise ConfigError(f"--{option} is for work in parts: add --runner processes, ray or slurm")
    return False


def run_parts(
    out: str, parts: PartOptions, device: Device, plan_parts: Callable[[Limits], tuple[Folder, Plan]], label: str
) -> int:
    """Plan parts, have them done, and tell what came of it; for Slurm, write the scripts.

    Args:
        out: as typed, for messages.
        device: of the encoder.
        plan_parts: makes the plan, or takes the one that is there.
        label: of the progress.

    Returns:
        the exit status.

    Raises:
        AxlstmError: options that do not fit, or as `axlstm.parts.drive.drive`.
    """
    import shlex

    from axlstm.files import readable_name
    from axlstm.parts.choice import check_part_options, choose_runner
    from axlstm.parts.drive import drive
    from axlstm.parts.plan import Limits
    from axlstm.parts.slurm import write_scripts

    limits = Limits(parts["part_files"], parts["part_mb"])
    if check_part_options(parts)["runner"] == "slurm":
        folder, plan = plan_parts(limits)
        array, collecting = write_scripts(folder.name, plan, parts["workers"])
        print(f"{readable_name(out)}: {plan.entries} recordings in {plan.parts} parts; look at the scripts, then")
        print(f"  id=$(sbatch --parsable {shlex.quote(str(array))})")
        print(f"  sbatch --dependency=afterany:$id {shlex.quote(str(collecting))}")
        return 0
    runner = choose_runner(parts, str(device))
    with Progress(label) as progress:
        folder, plan = plan_parts(limits)
        progress.update(0, plan.entries)
        report = drive(folder, plan, find_work(plan), runner, progress.advance)
    return tell(out, plan, report)


def tell(out: str, plan: Plan, report: Report) -> int:
    """Print what became of parts, and of the output that they are for; returns the exit status."""
    from axlstm.files import readable_name
    from axlstm.parts.run import GatheredWork

    told = _load(_command_of(plan).tell)
    status: int = 1
    if report.gathered is not None or not issubclass(find_work(plan), GatheredWork):
        status = told(out, report)
    for part, reason in list(report.failed.items())[:SHOWN]:
        print(f"  part {part} failed: {reason}")
    if missing := len(report.summary.missing):
        print(f"{readable_name(out)}: {missing} of {plan.parts} parts are missing; the same command does them")
        return 1
    return status
