"""Read and write axlstm's folders for the classes of transformers, which have the same names of weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.utils import cached_file

from axlstm.checkpoints.own import Checkpoint, build_model
from axlstm.checkpoints.reading import CONFIG_NAME, WEIGHTS_NAME, read_checkpoint
from axlstm.hf.config import AxLSTMConfig

DOWNLOADING = ("cache_dir", "force_download", "proxies", "local_files_only", "token", "revision", "subfolder")
"""Arguments of `from_pretrained` that concern files on the Hub."""


@dataclass(frozen=True)
class Found:
    """A folder that a model is made of.

    Args:
        tensors: its weights by the names that they have there, as they are.
        config: for the model, to which a class with a head adds what the folder says of that.
        fresh: whether a fresh head may take the place of one of other labels.
    """

    folder: Path
    tensors: Mapping[str, Tensor]
    config: AxLSTMConfig
    fresh: bool = False


def fetch(source: str | os.PathLike[str], further: tuple[str, ...] = (), **asked: Any) -> Path:
    """Return the folder of a model: a folder on the disk, or that of a Hub id, downloaded as transformers does.

    Args:
        further: files that may be there or not.
        asked: arguments by the names of `DOWNLOADING`.

    Raises:
        OSError: the Hub does not give it.
    """
    if Path(source).is_dir():
        return Path(source) / asked.get("subfolder", "")
    config = Path(cached_file(source, CONFIG_NAME, **asked))
    cached_file(source, WEIGHTS_NAME, **asked)
    for name in further:
        cached_file(source, name, _raise_exceptions_for_missing_entries=False, **asked)
    return config.parent


def read_tensors(folder: Path, config: AxLSTMConfig | None) -> Mapping[str, Tensor]:
    """Read the weights of a folder by the names that they have there, as they are, and check them.

    Args:
        config: sizes that they have to fit; None takes those of the folder.

    Raises:
        CheckpointError: a folder of another kind of model, a damaged file, or weights that do not fit.
    """
    read = read_checkpoint(folder, "pt")
    build_model(read.config if config is None else config.shape, read.tensors, str(read.weights_file))
    tensors: Mapping[str, Tensor] = read.tensors
    return tensors


def make_checkpoint(config: AxLSTMConfig, tensors: Mapping[str, Tensor]) -> Checkpoint:
    """Make a checkpoint of our own of tensors by the names that they have in its file, in float32.

    Raises:
        CheckpointError: tensors that do not fit the configuration, or are not finite.
    """
    there = {name: value.detach().cpu() for name, value in tensors.items()}
    model = build_model(config.shape, there, config.name or "the model")
    return Checkpoint(model, config.front_end, config.training, config.name, config.trained)


def precision_of(tensors: Mapping[str, Tensor]) -> torch.dtype | None:
    """Return the precision that weights are written in; None is that of a checkpoint, float32."""
    dtype = next(iter(tensors.values())).dtype
    return None if dtype == torch.float32 else dtype
