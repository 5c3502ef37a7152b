"""Choose who runs parts."""

from __future__ import annotations

from functools import partial

from axlstm.devices import find_device
from axlstm.errors import ConfigError
from axlstm.options import PART_DEFAULTS, PartOptions, RunnerName, check_choice, refuse_unknown
from axlstm.parts.drive import Runner
from axlstm.parts.on_ray import on_ray
from axlstm.parts.runners import in_processes
from axlstm.threads import count_cores


def check_part_options(options: PartOptions) -> PartOptions:
    """Fill in the defaults, and check the options against each other.

    Raises:
        ConfigError: an unknown option or runner, a number out of range, or options that do not fit the runner.
    """
    refuse_unknown(options, PART_DEFAULTS)
    chosen: PartOptions = {**PART_DEFAULTS, **options}
    chosen["runner"] = check_choice("--runner", chosen["runner"] or "processes", RunnerName)
    workers, gpus = chosen["workers"], chosen["gpus"]
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: expected 1 or more")
    if chosen["runner"] != "ray" and (chosen["ray_address"] is not None or gpus is not None):
        raise ConfigError("--ray-address and --gpus are for --runner ray")
    if gpus is not None and not gpus >= 0:
        raise ConfigError(f"--gpus {gpus:g}: expected 0 or more")
    return chosen


def choose_runner(options: PartOptions, device: str = "cpu") -> Runner:
    """Return the runner that the options name; tasks of Slurm run by themselves (`axlstm.parts.slurm`).

    Args:
        device: of the encoder; with an accelerator, processes are one by default, and a worker of Ray has a GPU.

    Raises:
        ConfigError: as `check_part_options`, or Slurm.
    """
    chosen = check_part_options(options)
    workers, gpus = chosen["workers"], chosen["gpus"]
    if chosen["runner"] == "slurm":
        raise ConfigError("--runner slurm: the parts are run by Slurm, from scripts that the command line writes")
    if chosen["runner"] == "ray":
        shares = float(str(device).startswith("cuda")) if gpus is None else gpus
        return partial(on_ray, workers=workers, address=chosen["ray_address"], gpus=shares)
    on_cpu = find_device(device).type == "cpu"
    return partial(in_processes, workers=workers or (count_cores() if on_cpu else 1))
