"""Read and write our checkpoints: ``config.json`` beside ``model.safetensors``, the layout of the Hugging Face Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialise
from torch import Tensor

from axlstm.audio.frontend import FrontendConfig
from axlstm.bounds import MOST_WEIGHT
from axlstm.checkpoints.description import describe_model, seal_weights
from axlstm.checkpoints.reading import (
    CLASSIFIER_PREFIX,
    CONFIG_NAME,
    PREPROCESSOR,
    PREPROCESSOR_NAME,
    WEIGHTS_NAME,
    fingerprint_weights,
    read_checkpoint,
)
from axlstm.errors import CheckpointError, ConfigError, name_some
from axlstm.files import write_atomically
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel


@dataclass(frozen=True)
class Checkpoint:
    """A model, its front end, its name and its training arguments (empty if they are unknown).

    Raises:
        ConfigError: the front end and the model differ in their number of mel bands.
    """

    model: MaskedPatchModel
    frontend: FrontendConfig = field(default_factory=FrontendConfig)
    training: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    trained: bool = True

    def __post_init__(self) -> None:
        bands = self.model.config.mel_bands
        if self.frontend.mel_bands != bands:
            raise ConfigError(
                f"{self.name}: the front end gives {self.frontend.mel_bands} mel bands, the model takes {bands}"
            )

    def description(self) -> dict[str, Any]:
        """Return the content of ``config.json``."""
        model, frontend = self.model.config.to_dict(), self.frontend.to_dict()
        return describe_model(self.name, self.trained, model, frontend, self.training)

    def save(
        self, folder: str | Path, dtype: torch.dtype | None = None, beside: Mapping[str, Tensor] | None = None
    ) -> Path:
        """Write ``model.safetensors``, ``config.json`` and what names the front end into ``folder``, and return it.

        Each file is written atomically.

        The weights file holds the configuration too, so that it can be loaded by itself. Equal content gives equal
        bytes.

        Args:
            folder: the folder, which is made if it does not exist.
            dtype: precision of the weights in the file; None keeps the model's. Loading gives float32 again.
            beside: tensors of a classifier, which lie in the same file for who trains it further.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        description = json.dumps(self.description(), indent=2) + "\n"
        states = self.model.state_dict().items()
        tensors = {name: value.detach().to("cpu", dtype or value.dtype).contiguous() for name, value in states}
        tensors |= {f"{CLASSIFIER_PREFIX}{name}": value.detach().cpu() for name, value in (beside or {}).items()}
        metadata = {"format": "pt", CONFIG_NAME: description}
        write_atomically(folder / CONFIG_NAME, description.encode())
        write_atomically(folder / PREPROCESSOR_NAME, PREPROCESSOR)
        write_atomically(folder / WEIGHTS_NAME, seal_weights(serialise(tensors, metadata)))
        return folder


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a folder with ``config.json`` and ``model.safetensors``, or such a weights file by itself.

    Raises:
        CheckpointError: a file is missing or unreadable, or the weights do not fit the configuration (the first
            tensors that differ are named).
        ConfigError: the configuration has unknown keys or impossible values.
    """
    read = read_checkpoint(path, "pt")
    description, weights = read.description, read.weights_file
    return Checkpoint(
        model=build_model(read.config, read.tensors, str(weights)),
        frontend=read.frontend,
        training=description.get("training", {}),
        name=read.name,
        trained=description.get("trained", True),
    )


def build_model(config: ModelConfig, tensors: Mapping[str, Tensor], source: str) -> MaskedPatchModel:
    """Build the model of ``config`` with ``tensors`` as its weights, in float32.

    Raises:
        CheckpointError: tensors are missing, unexpected, of another shape, or not finite; the first are named.
    """
    if config.depth > len(tensors):
        raise CheckpointError(f"{source}: {config.depth} blocks, but only {len(tensors)} tensors")
    try:
        with torch.device("meta"):
            model = MaskedPatchModel(config)
    except (RuntimeError, TypeError, OverflowError) as error:
        raise CheckpointError(f"{source}: the configuration's sizes are too large for any model") from error
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is not in the model" for name in tensors if name not in expected]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}, expected {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    if not problems:
        problems = [fault for name in expected if (fault := _fault(name, tensors[name]))]
    if problems:
        raise CheckpointError(f"{source}: the weights do not fit the configuration: {name_some(problems, '; ')}")
    model.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
    return model.requires_grad_(True)


def _fault(name: str, weight: Tensor) -> str:
    """Say why a tensor cannot be a model's weight, if it cannot; one value of 1e38 makes every embedding NaN."""
    if not weight.is_floating_point():
        return f"{name} is of type {weight.dtype}, expected floats"
    in_range = not weight.numel() or bool(weight.float().abs().max() <= MOST_WEIGHT)
    return "" if in_range else f"{name} holds NaN, infinity or values beyond {MOST_WEIGHT:g}"


def fingerprint(model: MaskedPatchModel, frontend: FrontendConfig) -> str:
    """Compute the SHA-256 of configuration and weights; models of one fingerprint give the same embeddings."""
    weights = {name: value.detach().float().contiguous().cpu().numpy() for name, value in model.state_dict().items()}
    return fingerprint_weights(weights, model.config, frontend)
