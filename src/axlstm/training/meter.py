"""Measure the speed of a run: crops a second, arithmetic, and its share of the device's peak."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

import axlstm.vector_math
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


class Meter:
    """Speed of training, the wait for data included and shown by itself.

    Args:
        batch: crops of a step, of all processes.
        flops: operations of a crop, forward and backward; None where they are not the same for all.
        peak: operations that all devices can do in a second; None where it is not known.
    """

    def __init__(self, batch: int, flops: float | None = None, peak: float | None = None) -> None:
        self._batch, self._flops, self._peak = batch, flops, peak
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
        }
        if self._flops is not None:
            values["tflops"] = speed * self._flops / 1e12
        if self._flops is not None and self._peak:
            values["mfu"] = speed * self._flops / self._peak
        self._seconds, self._waited, self._steps = 0.0, 0.0, 0
        return values


def peak_flops(device: torch.device, precision: TrainingPrecision, tf32: bool) -> float | None:
    """Look up a device's peak operations per second in a precision; None where it is not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    single, half = next((peaks for part, peaks in _PEAKS.items() if part in name), (None, None))
    peak = half if precision != "float32" else single if tf32 else None
    return peak and peak * 1e12
