"""Count the arithmetic of pretraining."""

from __future__ import annotations

from dataclasses import replace

import torch

from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.pretrain.config import PretrainConfig
from axlstm.training.meter import Meter, peak_flops
from axlstm.training.world import World


def make_meter(config: PretrainConfig, world: World) -> Meter:
    """Make the meter of a run."""
    latent = config.objective.latent  # a pass for each mask, and the teacher's, which is forward only
    lengths = config.crop_frames or (config.model.window_frames,)
    each = [training_flops_per_crop(replace(config.model, window_frames=frames)) for frames in lengths]
    peak = peak_flops(world.device, config.hardware.precision, config.hardware.tf32)
    flops = sum(each) / len(each) * (latent.masks + latent.active / 3)
    return Meter(config.optimiser.global_batch, flops, peak * world.size if peak else None)


def training_flops_per_crop(config: ModelConfig) -> float:
    """Count the operations of one crop, forward and backward: three times the forward's matrix products.

    Two for every weight of a matrix and token, and two products over all pairs of tokens in each block
    (q k^T, and its product with v), however they are computed; after Chowdhery et al. 2022 (PaLM), appendix B.
    """
    with torch.device("meta"):
        model = MaskedPatchModel(config)
    tokens = config.tokens + config.cls_token
    matrices = sum(p.numel() for p in model.parameters() if p.ndim > 1)
    mixed_width = config.inner_width if config.family == "axlstm" else config.width
    pairs = config.depth * 2 * tokens * tokens * mixed_width
    return 3.0 * 2.0 * (matrices * tokens + pairs)
