"""AdamW with the published rule of what decays."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW

from axlstm.pretrain.config import OptimiserConfig

# One-dimensional here, but (1, 1, D) in the release, whose rule "more than one dimension" lets them decay.
_DECAYING_VECTORS = ("encoder.cls_token", "encoder.mask_token")


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: to what has more than one dimension in the published model."""
    return parameter.ndim > 1 or name in _DECAYING_VECTORS


def make_optimiser(model: nn.Module, config: OptimiserConfig) -> AdamW:
    """AdamW (Loshchilov & Hutter 2019) over the trainable parameters, in two groups: with decay and without."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for name, p in named if decays(name, p)], "weight_decay": config.weight_decay},
        {"params": [p for name, p in named if not decays(name, p)], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=config.peak_learning_rate, betas=config.betas, eps=config.eps)
