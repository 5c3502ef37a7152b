"""Measure the speed of a run: crops a second, arithmetic, and its share of the device's peak."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.options import TrainingPrecision
from axlstm.pretrain.config import PretrainConfig
from axlstm.pretrain.world import World

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


class Meter:
    """Speed of training, the wait for data included and shown by itself."""

    def __init__(self, config: PretrainConfig, world: World) -> None:
        self._batch = config.optimiser.global_batch
        latent = config.objective.latent  # a pass for each mask, and the teacher's, which is forward only
        lengths = config.crop_frames or (config.model.window_frames,)
        each = [training_flops_per_crop(replace(config.model, window_frames=frames)) for frames in lengths]
        self._flops = sum(each) / len(each) * (latent.masks + latent.active / 3)
        peak = peak_flops(world.device, config.hardware.precision, config.hardware.tf32)
        self._peak = peak * world.size if peak else None
        self._seconds, self._waited, self._steps = 0.0, 0.0, 0
        self.restart()

    def restart(self) -> None:
        """Leave out the time since the last step: validation, pictures, checkpoints."""
        self._since = time.perf_counter()

    def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yield the same batches, and add up the wait for each."""
        begin = time.perf_counter()
        for batch in batches:
            self._waited += time.perf_counter() - begin
            yield batch
            begin = time.perf_counter()

    def step_done(self) -> float:
        """Note the end of a step; returns how long it took."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        self._seconds += seconds
        self._steps += 1
        return seconds

    def report(self, steps_left: int) -> dict[str, float]:
        """Return the speed since the last report."""
        speed = self._steps * self._batch / self._seconds
        values = {
            "crops_per_second": speed,
            "data_wait_share": self._waited / self._seconds,
            "eta_seconds": steps_left * self._seconds / self._steps,
            "tflops": speed * self._flops / 1e12,
        }
        if self._peak:
            values["mfu"] = speed * self._flops / self._peak
        self._seconds, self._waited, self._steps = 0.0, 0.0, 0
        return values


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


def peak_flops(device: torch.device, precision: TrainingPrecision, tf32: bool) -> float | None:
    """Look up a device's peak operations per second in a precision; None where it is not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    single, half = next((peaks for part, peaks in _PEAKS.items() if part in name), (None, None))
    peak = half if precision != "float32" else single if tf32 else None
    return peak and peak * 1e12
