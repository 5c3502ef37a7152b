"""Read and write our checkpoints: ``config.json`` beside ``model.safetensors``, the layout of the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from axlstm.audio.logmel import FrontendConfig
from axlstm.checkpoints.unreadable import unreadable
from axlstm.errors import CheckpointError, ConfigError, name_some
from axlstm.files import write_atomically
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
MODEL_TYPE = "axlstm"
FORMAT_VERSION = 1
_KEYS: dict[str, tuple[type, str]] = {
    "model_type": (str, "a text"),
    "format_version": (int, "a whole number"),
    "name": (str, "a text"),
    "trained": (bool, "true or false"),
    "model": (dict, "an object"),
    "frontend": (dict, "an object"),
    "training": (dict, "an object"),
}


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
        return {
            "model_type": MODEL_TYPE,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "trained": self.trained,
            "model": self.model.config.to_dict(),
            "frontend": self.frontend.to_dict(),
            "training": dict(self.training),
        }

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> Path:
        """Write ``model.safetensors`` and ``config.json`` into ``folder``, each atomically, and return it.

        The weights file holds the configuration too, so that it can be loaded by itself. Equal content gives equal
        bytes.

        Args:
            folder: the folder, which is made if it does not exist.
            dtype: precision of the weights in the file; None keeps the model's. Loading gives float32 again.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        description = json.dumps(self.description(), indent=2) + "\n"
        states = self.model.state_dict().items()
        tensors = {name: value.detach().to("cpu", dtype or value.dtype).contiguous() for name, value in states}
        metadata = {"format": "pt", CONFIG_NAME: description}
        write_atomically(folder / CONFIG_NAME, description.encode())
        write_atomically(folder / WEIGHTS_NAME, _with_sorted_metadata(serialise(tensors, metadata)))
        return folder


def _with_sorted_metadata(content: bytes) -> bytes:
    """Sort the metadata of the safetensors file ``content``, which the library writes in random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(content)[end:]])


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a folder with ``config.json`` and ``model.safetensors``, or such a weights file by itself.

    Raises:
        CheckpointError: a file is missing or unreadable, or the weights do not fit the configuration (the first
            tensors that differ are named).
        ConfigError: the configuration has unknown keys or impossible values.
    """
    path = Path(path)
    weights = path / WEIGHTS_NAME if path.is_dir() else path
    if not weights.is_file():
        raise CheckpointError(f"{path}: no {WEIGHTS_NAME} here; expected a folder written by save_pretrained")
    try:
        with safe_open(weights, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise unreadable(weights, f"not a readable safetensors file ({error})") from error
    beside = weights.parent / CONFIG_NAME
    if path.is_dir() or (CONFIG_NAME not in metadata and beside.is_file()):
        source = str(beside)
        try:
            text = beside.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{beside}: cannot be read ({error})") from error
    elif CONFIG_NAME in metadata:
        source, text = f"{weights} (its metadata)", metadata[CONFIG_NAME]
    else:
        raise CheckpointError(f"{weights}: no {CONFIG_NAME} beside it and none inside; load the whole folder")
    description = _parse_description(text, source)
    config = ModelConfig.from_dict(description.get("model", {}), f"{source}: model")
    return Checkpoint(
        model=build_model(config, tensors, str(weights)),
        frontend=FrontendConfig.from_dict(description.get("frontend", {}), f"{source}: frontend"),
        training=description.get("training", {}),
        name=description.get("name", "") or (path.name if path.is_dir() else path.stem),
        trained=description.get("trained", True),
    )


def _parse_description(text: str, source: str) -> dict[str, Any]:
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits, objects nested too deeply
        raise unreadable(source, f"not valid JSON ({error})") from error
    if not isinstance(description, dict) or description.get("model_type") != MODEL_TYPE:
        raise CheckpointError(f'{source}: expected an object with "model_type": "{MODEL_TYPE}"')
    for key, (kind, expected) in _KEYS.items():
        if not isinstance(description.get(key, kind()), kind):
            raise CheckpointError(f"{source}: {key}: expected {expected}, not {repr(description[key])[:80]}")
    if description.get("format_version", 0) > FORMAT_VERSION:
        raise CheckpointError(f"{source}: format_version is above {FORMAT_VERSION}; install a newer axlstm")
    if unknown := sorted(set(description) - set(_KEYS)):
        raise CheckpointError(f"{source}: unknown keys {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    return description


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
        problems = [f"{name} holds NaN or infinity" for name in expected if not tensors[name].isfinite().all()]
    if problems:
        raise CheckpointError(f"{source}: the weights do not fit the configuration: {name_some(problems, '; ')}")
    model.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
    return model.requires_grad_(True)


def fingerprint(model: MaskedPatchModel, frontend: FrontendConfig) -> str:
    """Compute the SHA-256 of configuration and weights; models of one fingerprint give the same embeddings."""
    shape = model.config.to_dict()
    del shape["masked_positions"]  # concerns pretraining only: an embedding hides no patches
    digest = hashlib.sha256(json.dumps([shape, frontend.to_dict()], sort_keys=True).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().float().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
