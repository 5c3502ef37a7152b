"""From a name, a path or a Hub id to an embedder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from axlstm.checkpoints.sources import find_checkpoint, untrained_checkpoint
from axlstm.embed.embedder import Embedder

if TYPE_CHECKING:
    import torch


def load_model(
    source: str | os.PathLike[str] = "axlstm-tiny",
    layout: str = "time",
    *,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    layers: int | Sequence[int] | None = None,
    pooling: str = "mean",
    batch_windows: int | None = None,
    engine: str | None = None,
) -> Embedder:
    """An embedder from weights, wherever they are. Nothing found in a checkpoint is executed.

    Args:
        source: a folder with ``config.json`` and ``model.safetensors``; such a weights file; a run folder or
            ``.pth`` file of the published release; a name from `list_models`, long or short; or a Hub id
            (``owner/name``). What exists on the disk comes first.
        layout, device, dtype, layers, pooling, batch_windows, engine: see `Embedder`.

    Raises:
        ConfigError: an unknown name (the known ones are listed) or option.
        CheckpointError: weights that cannot be read or do not fit.
    """
    return Embedder(
        find_checkpoint(source),
        layout,
        device=device,
        dtype=dtype,
        layers=layers,
        pooling=pooling,
        batch_windows=batch_windows,
        engine=engine,
    )


def create_model(
    name: str = "axlstm-tiny",
    seed: int = 0,
    layout: str = "time",
    *,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    layers: int | Sequence[int] | None = None,
    pooling: str = "mean",
    batch_windows: int | None = None,
    engine: str | None = None,
    **config: Any,
) -> Embedder:
    """An embedder with freshly initialised weights.

    Args:
        name: a published size, from `list_models`.
        seed: of the weights; the global random state is left alone.
        config: fields of `ModelConfig` to change: ``depth``, ``width``, ``heads``, ``expansion``,
            ``patch_frames``, ``window_frames``, ``cls_token``, ...
        layout, device, dtype, layers, pooling, batch_windows, engine: see `Embedder`.

    Raises:
        ConfigError: an unknown name, field or option.
    """
    return Embedder(
        untrained_checkpoint(name, seed, **config),
        layout,
        device=device,
        dtype=dtype,
        layers=layers,
        pooling=pooling,
        batch_windows=batch_windows,
        engine=engine,
    )
