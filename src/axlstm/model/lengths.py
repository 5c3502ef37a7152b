"""Use a model's weights at windows of another length."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from axlstm.model.encoder import Encoder
from axlstm.model.patches import position_table
from axlstm.model.pretraining import MaskedPatchModel

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def encoder_at_length(encoder: Encoder, window_frames: int) -> Encoder:
    """Return an encoder of the same weights, which it shares, for windows of ``window_frames`` frames.

    Positions go on where those of the encoder end: they are fixed sines and cosines of the time.

    Raises:
        ConfigError: a number of frames that is no multiple of a patch's.
    """
    config = replace(encoder.config, window_frames=window_frames)
    view = _shared(encoder, config=config)
    view._modules["patches"] = _shared(encoder.patches, config=config)
    view._buffers["positions"] = position_table(config).to(encoder.positions)
    return view


def model_at_length(model: MaskedPatchModel, window_frames: int) -> MaskedPatchModel:
    """Return a model of the same weights, which it shares; see `encoder_at_length`."""
    encoder = encoder_at_length(model.encoder, window_frames)
    view = _shared(model, config=encoder.config)
    view._modules["encoder"] = encoder
    return view


def _shared(module: ModuleT, **attributes: Any) -> ModuleT:
    """Copy a module with its own tables of children and buffers, and these attributes."""
    view = copy.copy(module)
    for table in ("_modules", "_buffers"):
        view.__dict__[table] = dict(module.__dict__[table])
    view.__dict__.update(attributes)
    return view
