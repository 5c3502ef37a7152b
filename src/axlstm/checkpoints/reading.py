"""Read a checkpoint of our own as arrays or tensors, and identify its weights. This module loads no torch by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.frontend import FrontendConfig
from axlstm.checkpoints.description import check_weights, read_description
from axlstm.checkpoints.unreadable import unreadable
from axlstm.errors import CheckpointError
from axlstm.model.config import ModelConfig, resolve_preset, short_name

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
PREPROCESSOR_NAME = "preprocessor_config.json"
PREPROCESSOR = b'{"feature_extractor_type": "AxLSTMFeatureExtractor"}\n'
"""By it transformers finds the class that reads the front end from ``config.json``."""

CLASSIFIER_PREFIX = "classifier."
"""Begins the names of a classifier's tensors in a weights file. They are copies of those in its own file."""

MODEL_FILES = (WEIGHTS_NAME, CONFIG_NAME, PREPROCESSOR_NAME)
_SHIPPED = resources.files("axlstm") / "weights"


@dataclass(frozen=True)
class ReadCheckpoint:
    """The content of a checkpoint: its description, and the tensors of its weights file as they lie there."""

    description: Mapping[str, Any]
    config: ModelConfig
    frontend: FrontendConfig
    name: str
    weights_file: Path
    tensors: Mapping[str, Any]


def read_checkpoint(path: str | Path, kind: Literal["pt", "np"]) -> ReadCheckpoint:
    """Read a folder with ``config.json`` and ``model.safetensors``, or such a weights file by itself.

    Args:
        kind: tensors of torch, or arrays; NumPy has no bfloat16.

    Raises:
        CheckpointError: a file is missing or unreadable.
        ConfigError: the configuration has unknown keys or impossible values.
        TypeError: weights that NumPy has no type for.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    weights = path / WEIGHTS_NAME if path.is_dir() else path
    if not weights.is_file():
        raise CheckpointError(f"{path}: no {WEIGHTS_NAME} here; expected a folder written by save_pretrained")
    try:
        check_weights(weights)
        with safe_open(weights, framework=kind) as file:
            metadata = file.metadata() or {}
            names = [name for name in file.keys() if not name.startswith(CLASSIFIER_PREFIX)]  # noqa: SIM118 (no mapping)
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise unreadable(weights, f"not a readable safetensors file ({error})") from error
    beside = weights.parent / CONFIG_NAME
    if path.is_dir() or (CONFIG_NAME not in metadata and beside.is_file()):
        source = str(beside)
        try:
            text: bytes | str = beside.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{beside}: cannot be read ({error})") from error
    elif CONFIG_NAME in metadata:
        source, text = f"{weights} (its metadata)", metadata[CONFIG_NAME]
    else:
        raise CheckpointError(f"{weights}: no {CONFIG_NAME} beside it and none inside; load the whole folder")
    description = read_description(text, source, metadata.get(CONFIG_NAME))
    return ReadCheckpoint(
        description,
        config=ModelConfig.from_dict(description.get("model", {}), f"{source}: model"),
        frontend=FrontendConfig.from_dict(description.get("frontend", {}), f"{source}: frontend"),
        name=description.get("name", "") or (path.name if path.is_dir() else path.stem),
        weights_file=weights,
        tensors=tensors,
    )


def fingerprint_weights(weights: Mapping[str, NDArray[Any]], config: ModelConfig, frontend: FrontendConfig) -> str:
    """Compute the SHA-256 of configuration and weights, which are taken in float32."""
    shape = config.to_dict()
    del shape["masked_positions"]  # concerns pretraining only: an embedding hides no patches
    digest = hashlib.sha256(json.dumps([shape, frontend.to_dict()], sort_keys=True).encode())
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value, dtype=np.float32).data)
    return digest.hexdigest()


def has_weights(preset: str) -> bool:
    """Tell whether trained weights of a preset come with the package."""
    return (_SHIPPED / short_name(preset)).is_dir()


def find_own(source: str) -> Path | None:
    """Find a checkpoint of our own on the disk: a folder, a weights file, or the name of shipped weights.

    None for all else that `axlstm.load_model` takes, and for what is not there.
    """
    path, preset = Path(source), resolve_preset(source)
    if path.is_dir():
        return path if (path / WEIGHTS_NAME).is_file() else None
    if path.is_file():
        return path if path.suffix == ".safetensors" else None
    shipped = None if preset is None or not has_weights(preset) else _SHIPPED / short_name(preset)
    return shipped if isinstance(shipped, Path) else None
