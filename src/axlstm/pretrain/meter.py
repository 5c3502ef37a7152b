"""How fast a run is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from axlstm.pretrain.config import PretrainConfig
from axlstm.pretrain.flops import peak_flops, training_flops_per_crop
from axlstm.pretrain.world import World


class Meter:
    """Speed of training, the wait for data included and shown by itself."""

    def __init__(self, config: PretrainConfig, world: World) -> None:
        self._batch = config.optimiser.global_batch
        self._flops = training_flops_per_crop(config.model)
        peak = peak_flops(world.device, config.hardware.precision, config.hardware.tf32)
        self._peak = peak * world.size if peak else None
        self._seconds, self._waited, self._steps = 0.0, 0.0, 0
        self.restart()

    def restart(self) -> None:
        """Leave out what has passed since the last step: validation, pictures, checkpoints."""
        self._since = time.perf_counter()

    def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The same batches, with the wait for each added up."""
        while True:
            begin = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._waited += time.perf_counter() - begin
            yield batch

    def step_done(self) -> float:
        """Note the end of a step; returns how long it took."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        self._seconds += seconds
        self._steps += 1
        return seconds

    def report(self, steps_left: int) -> dict[str, float]:
        """Speed since the last report."""
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
