"""The mask of every crop, drawn from its own key: the same however a batch is split."""

from __future__ import annotations

import torch
from torch import Tensor

from axlstm.model.config import ModelConfig
from axlstm.model.patches import random_mask
from axlstm.pretrain.config import ObjectiveConfig


def masks_of(keys: Tensor, model: ModelConfig, objective: ObjectiveConfig) -> Tensor:
    """``(B, tokens)`` bool from ``keys (B,)``, one `random_mask` each."""
    generator = torch.Generator()
    masks = [
        random_mask(1, model, objective.mask_ratio, objective.masking, generator.manual_seed(key))
        for key in keys.tolist()
    ]
    return torch.cat(masks)
