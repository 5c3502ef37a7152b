"""How much arithmetic training takes, and what share of a device's peak that is."""

from __future__ import annotations

import torch

from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.options import TrainingPrecision

# Dense tensor-core peaks in TFLOP/s from NVIDIA's data sheets: float32 in TF32, bfloat16 and float16.
_PEAKS = {
    "H200": (494.0, 989.0),
    "H100 PCIe": (378.0, 756.0),
    "H100": (494.0, 989.0),
    "A100": (156.0, 312.0),
    "L40S": (183.0, 362.0),
    "L4": (60.0, 121.0),
    "A10G": (35.0, 70.0),
}


def training_flops_per_crop(config: ModelConfig) -> float:
    """Floating-point operations of one crop forward and backward: three times the forward's matrix products.

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


def peak_flops(device: torch.device, precision: TrainingPrecision, tf32: bool) -> float | None:
    """Peak operations per second of a device in a precision; None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    for part, (single, half) in _PEAKS.items():
        if part in name:
            if precision == "float32":
                return single * 1e12 if tf32 else None
            return half * 1e12
    return None
