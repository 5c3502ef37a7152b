"""Pack the newest checkpoint of a run into one file in half precision, small enough to keep in a repository.

A packed run holds weights, heads and the EMA teacher in float16, and the optimiser's second moments in bfloat16, whose
range they need. First moments are left out: with AdamW's beta of 0.9 they are a memory of ten steps, and a run that
goes on without them begins with ten smaller steps. So a run that is unpacked goes on nearly as it would have, and not
exactly: its own checkpoints are for that.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from axlstm import __version__
from axlstm.bounds import check_types, parse_object
from axlstm.checkpoints.own import load_checkpoint
from axlstm.errors import ConfigError, DataError, TrainingError, first_line
from axlstm.files import write_atomically
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.pretrain.config import PretrainConfig
from axlstm.pretrain.stepper import Stepper
from axlstm.seals import object_is_whole, seal_object
from axlstm.training.position import Position
from axlstm.training.state import CHECKPOINTS_NAME, read_state, save_state, saved_steps
from axlstm.training.world import joined_world

MOST_BYTES = 25_000_000
_VERSION = 1
_KEY = "packed"  # of the description in the file's header
_MOST_TRIES = 3  # a run that goes on drops its oldest checkpoint, perhaps while it is read


def pack_run(workdir: Path, out: Path) -> int:
    """Write the newest checkpoint of a run into one file; returns its step. The run may go on meanwhile.

    Raises:
        TrainingError: no checkpoint that can be read, or one that is too large.
    """
    weights, content = _read_newest(workdir)
    objectives = content["objectives"]
    teacher = dict(objectives.get("teacher", {}))
    state = content["optimiser"]["state"]
    groups: dict[str, Mapping[Any, Tensor]] = {
        "model": weights,
        "heads": objectives.get("heads", {}),
        "teacher": teacher,
        "square": {number: moments["exp_avg_sq"] for number, moments in state.items()},
    }
    tensors = {
        f"{group}.{name}": _halved(group, value) for group, held in groups.items() for name, value in held.items()
    }
    if broken := [name for name, value in tensors.items() if not torch.isfinite(value).all()]:
        raise TrainingError(f"{workdir}: {broken[0]} is not finite in half precision; nothing is packed")
    position = content["position"]
    notes = {"format_version": _VERSION, "position": position, "config": content["config"], "axlstm": __version__}
    notes |= {"tensors_crc32": _crc_of(tensors)}
    packed = save(tensors, {_KEY: json.dumps(seal_object(notes))})
    if len(packed) > MOST_BYTES:
        raise TrainingError(f"{workdir}: {len(packed) / 1e6:.1f} MB packed, more than {MOST_BYTES / 1e6:g} MB")
    write_atomically(out, packed)
    return int(position["step"])


def _read_newest(workdir: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    for attempt in range(_MOST_TRIES):
        steps = saved_steps(workdir / CHECKPOINTS_NAME)
        if not steps:
            raise TrainingError(f"{workdir}: no checkpoint to pack; expected the workdir of a run that has saved one")
        try:
            content = read_state(steps[-1][1])
            weights = load_checkpoint(steps[-1][1]).model.state_dict()
        except FileNotFoundError:
            if attempt == _MOST_TRIES - 1:
                raise
            continue
        return weights, content
    raise AssertionError("unreachable")


def _halved(group: str, value: Tensor) -> Tensor:
    """Store matrices in half precision; vectors are small, and some hold moments that need all their digits."""
    if not value.is_floating_point() or value.ndim < 2:
        return value.contiguous()
    return value.to(torch.bfloat16 if group == "square" else torch.float16).contiguous()


def _crc_of(tensors: Mapping[str, Tensor]) -> int:
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes(), crc)
    return crc


def unpack_run(packed: Path, workdir: Path) -> PretrainConfig:
    """Make a workdir that ``axlstm pretrain`` goes on from; returns the configuration of the run.

    With a schedule of fewer steps instead of its own, the learning rate soon reaches zero and the run ends early.

    Raises:
        ConfigError: a workdir that holds checkpoints.
        DataError: a file that is damaged, or not of a packed run.
    """
    if saved_steps(workdir / CHECKPOINTS_NAME):
        raise ConfigError(f"{workdir}: holds checkpoints; unpack into a new folder")
    notes, tensors = _read_packed(packed)
    config = PretrainConfig.from_dict(notes["config"])
    done = int(notes["position"]["step"])
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "heads": {}, "teacher": {}, "square": {}}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        groups[group][rest] = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    with joined_world("cpu") as world:
        sizes = _teacher_sizes(config, groups["heads"])
        stepper = Stepper(MaskedPatchModel.initialised(config.model, config.seed), config, world, sizes)
        try:
            stepper.model.load_state_dict(groups["model"])
            stepper.load_further_state({name: groups[name] for name in ("heads", "teacher") if groups[name]})
            _load_squares(stepper, groups["square"], done)
        except (RuntimeError, KeyError, ValueError) as error:
            raise DataError(f"{packed}: not of the run that it describes ({first_line(error)})") from error
        kept = {
            name: notes["position"][name] for name in ("step", "nonfinite_steps", "skipped_records", "train_seconds")
        }
        workdir.mkdir(parents=True, exist_ok=True)
        save_state(workdir, stepper, Position(**kept), config, {"data": "", "config": config.to_dict()})
    return config


def _teacher_sizes(config: PretrainConfig, heads: Mapping[str, Tensor]) -> list[int]:
    """Read the size of each teacher's embeddings from its head."""
    sizes = []
    for number in range(len(config.objective.teachers.folders)):
        biases = [value for name, value in heads.items() if name.startswith(f"teacher_{number}.") and value.ndim == 1]
        sizes.append(len(biases[0]) if biases else 0)
    return sizes


def _load_squares(stepper: Stepper, squares: Mapping[str, Tensor], done: int) -> None:
    state = stepper.optimiser.state_dict()
    parameters = [p for group in stepper.optimiser.param_groups for p in group["params"]]
    for number, parameter in enumerate(parameters):
        square = squares[str(number)]
        if square.shape != parameter.shape:
            raise ValueError(f"moments of shape {tuple(square.shape)} for {tuple(parameter.shape)}")
        moments = {"step": torch.tensor(float(done)), "exp_avg": torch.zeros_like(square), "exp_avg_sq": square}
        state["state"][number] = moments
    stepper.optimiser.load_state_dict(state)


def _read_packed(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            notes = parse_object(file.metadata()[_KEY])
            if not object_is_whole(notes):
                raise ValueError("its checksum is another one")
            check_types(notes, {"format_version": int, "position": dict, "config": dict, "tensors_crc32": int})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            if _crc_of(tensors) != notes["tensors_crc32"]:
                raise ValueError("the checksum of its tensors is another one")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected what pack-run wrote") from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged, or not a packed run ({first_line(error)})") from error
    if notes["format_version"] > _VERSION:
        raise DataError(f"{path}: format_version {notes['format_version']} is above {_VERSION}; use a newer recipe")
    return notes, tensors
