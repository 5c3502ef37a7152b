"""Load an embedder by name, path or Hub id, or create an untrained one."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any, Unpack

from axlstm.checkpoints.sources import untrained_checkpoint
from axlstm.embed.embedder import Embedder
from axlstm.embed.settings import check_options
from axlstm.model.config import ModelConfig
from axlstm.options import EMBEDDER_DEFAULTS, CreateOptions, EmbedderOptions, refuse_unknown


def load_model(
    source: str | os.PathLike[str] = "axlstm-tiny", *, revision: str | None = None, **options: Unpack[EmbedderOptions]
) -> Embedder:
    """Load an embedder. Nothing found in a checkpoint is executed.

    Args:
        source: a folder with ``config.json`` and ``model.safetensors``; such a weights file; a run folder or
            ``.pth`` file of the published release; a name from `list_models`, long or short; or a Hub id
            (``owner/name``). A path that exists on the disk comes first.
        revision: branch, tag or commit of a Hub id. None takes the newest weights.
        options: see `axlstm.options.EmbedderOptions`. They are checked before the weights are read.

    Raises:
        ConfigError: an unknown name (the known ones are listed) or option, or a revision without a Hub id.
        CheckpointError: weights that cannot be read or do not fit.
    """
    return Embedder.from_pretrained(source, revision=revision, **options)


def create_model(name: str = "axlstm-tiny", seed: int = 0, **options: Unpack[CreateOptions]) -> Embedder:
    """Create an embedder with freshly initialised weights.

    Args:
        name: a published size, from `list_models`.
        seed: seed of the weights. The global random state does not change.
        options: those of `axlstm.options.EmbedderOptions`, and fields of `ModelConfig` to change, such as ``depth``.
            Fresh weights are there to be changed, so that the engine is torch (None) unless another is named.

    Raises:
        ConfigError: an unknown name, field or option.
    """
    refuse_unknown(options, (*EMBEDDER_DEFAULTS, *(field.name for field in fields(ModelConfig))))
    embedder: Any = {key: value for key, value in options.items() if key in EMBEDDER_DEFAULTS}
    model: Any = {key: value for key, value in options.items() if key not in EMBEDDER_DEFAULTS}
    check_options(embedder)
    return Embedder(untrained_checkpoint(name, seed, **model), **embedder)
