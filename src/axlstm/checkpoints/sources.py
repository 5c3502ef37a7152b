"""Find checkpoints by name, path or Hub id, and upload them to the Hub."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from axlstm.checkpoints.own import Checkpoint, load_checkpoint
from axlstm.checkpoints.published import load_published, newest_checkpoint
from axlstm.checkpoints.reading import CONFIG_NAME, WEIGHTS_NAME, has_weights
from axlstm.errors import CheckpointError, ConfigError, first_line
from axlstm.model.config import preset_config, resolve_preset, short_name, unknown_model_message
from axlstm.model.pretraining import MaskedPatchModel

logger = logging.getLogger(__name__)
_WEIGHTS = resources.files("axlstm") / "weights"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find_checkpoint(source: str | os.PathLike[str], revision: str | None = None) -> Checkpoint:
    """Load the checkpoint that ``source`` stands for; see `axlstm.load_model`."""
    path, name = Path(source), os.fspath(source)
    preset = resolve_preset(name)
    if revision is not None and (path.exists() or preset is not None or not _HUB_ID.fullmatch(name)):
        raise ConfigError(
            f"revision={revision!r}: expected a Hub id (owner/name), but {name} is "
            f"{'on the disk' if path.exists() else 'not one'}; leave revision out"
        )
    if path.is_dir():
        if (path / WEIGHTS_NAME).is_file():
            return load_checkpoint(path)
        if newest_checkpoint(path):
            return load_published(path)
        raise CheckpointError(
            f"{path}: holds no model; expected {CONFIG_NAME} and {WEIGHTS_NAME}, or checkpoints/checkpoint-EPOCH.pth"
        )
    if path.is_file():
        return load_checkpoint(path) if path.suffix == ".safetensors" else load_published(path)
    if preset is not None:
        return _shipped(preset)
    if path.suffix in (".pth", ".pt", ".ckpt", ".bin", ".safetensors"):
        raise CheckpointError(f"{path}: no such file")
    if _HUB_ID.fullmatch(name):
        return _from_hub(name, revision)
    raise ConfigError(unknown_model_message(name))


def _shipped(preset: str) -> Checkpoint:
    """Load the weights that come with the package, or warn and draw random ones."""
    if has_weights(preset):
        with resources.as_file(_WEIGHTS / short_name(preset)) as path:
            return load_checkpoint(path)
    logger.warning(
        "no trained weights of %s come with this version: its weights are random (seed 0); "
        "load a checkpoint for embeddings that were learned",
        short_name(preset),
    )
    return untrained_checkpoint(preset, seed=0)


def untrained_checkpoint(name: str, seed: int, **config: Any) -> Checkpoint:
    """Draw fresh weights of a published size without touching the global random state; see `axlstm.create_model`."""
    settings = preset_config(name, **config)  # refuses an unknown name
    short = short_name(resolve_preset(name) or name)
    return Checkpoint(MaskedPatchModel.initialised(settings, seed), name=f"{short}-untrained", trained=False)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ConfigError('the Hub needs huggingface_hub: pip install "axlstm[hub]"') from error
    return huggingface_hub


def _from_hub(repo_id: str, revision: str | None) -> Checkpoint:
    hub = _hub()
    try:
        folder = hub.snapshot_download(repo_id, revision=revision, allow_patterns=[CONFIG_NAME, WEIGHTS_NAME])
    except (OSError, ValueError) as error:  # the Hub's own errors are kinds of OSError
        asked = repo_id if revision is None else f"{repo_id} at revision {revision!r}"
        raise CheckpointError(
            f"{asked}: not on the disk, and the Hub did not give it ({type(error).__name__}: {first_line(error)}). "
            + unknown_model_message(repo_id)
        ) from error
    return load_checkpoint(folder)


def push_to_hub(checkpoint: Checkpoint, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload a model as ``config.json`` and ``model.safetensors``; returns the address of the commit.

    Args:
        repo_id: ``owner/name``; the repository is made if it does not exist.
        token: token of the Hub account; None takes the account that is logged in.
    """
    api = _hub().HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(folder)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Upload axlstm model"))
