"""Choose who runs parts."""

from __future__ import annotations

from functools import partial

from axlstm.devices import find_device
from axlstm.errors import ConfigError
from axlstm.options import PART_DEFAULTS, PartOptions, RunnerName, check_choice, refuse_unknown
from axlstm.parts.drive import Runner
from axlstm.parts.on_ray import on_ray
from axlstm.parts.runners import in_processes


def choose_runner(options: PartOptions, device: str = "cpu") -> Runner:
    """Return the runner that the options name.

    Args:
        device: of the encoder; with an accelerator, processes are one by default, and a worker of Ray has a GPU.

    Raises:
        ConfigError: an unknown option or runner, or options that do not fit it.
    """
    import torch

    refuse_unknown(options, PART_DEFAULTS)
    chosen: PartOptions = {**PART_DEFAULTS, **options}
    name, workers, gpus = check_choice("--runner", chosen["runner"], RunnerName), chosen["workers"], chosen["gpus"]
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: expected 1 or more")
    if name == "ray":
        shares = gpus if gpus is not None else float(str(device).startswith("cuda"))
        if shares < 0:
            raise ConfigError(f"--gpus {shares:g}: expected 0 or more")
        return partial(on_ray, workers=workers, address=chosen["ray_address"], gpus=shares)
    if chosen["ray_address"] is not None or gpus is not None:
        raise ConfigError("--ray-address and --gpus are for --runner ray")
    on_cpu = find_device(device).type == "cpu"
    return partial(in_processes, workers=workers or (torch.get_num_threads() if on_cpu else 1))
