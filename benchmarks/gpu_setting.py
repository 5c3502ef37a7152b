"""Describe the device that the table is made on, and time competitors there, memory included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from axlstm.options import Precision
from benchmarks.floors import Work, find_rates, synchronise
from benchmarks.timing import ratios, take_turns

RELEASED = "released, eager"


@dataclass(frozen=True)
class Setting:
    """The device, whether sizes are small, rounds of each competitor, and the probes' tasks."""

    device: torch.device
    small: bool
    rounds: int
    tasks: Path | None

    def compare(
        self,
        about: dict[str, Any],
        runs: dict[str, Callable[[], object]],
        work: Work | None,
        precision: Precision,
        bar: float | None = None,
        repeats: int = 1,
    ) -> Iterator[dict[str, Any]]:
        """Make one row for each competitor; the released one is the baseline, if it is among ``runs``.

        Args:
            about: ``row`` and ``work``, and what else the result should say.
            runs: competitors by name; one that runs out of memory is reported so and left out.
            work: what the floor is counted from.
            precision: of the device's rates.
            bar: how many times the released speed is asked for; not of a trial.
            repeats: calls timed together, where one is too short to time.
        """
        peaks: dict[str, float | None] = {}
        for name, run in list(runs.items()):
            try:
                peaks[name] = self._peak_mib(run)
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
                del runs[name]
                yield {**about, "competitor": name, "note": "does not fit in the device's memory"}
        timings = take_turns({name: partial(self._timed, run, repeats) for name, run in runs.items()}, self.rounds)
        floor = work.floor(rates := find_rates(self.device, precision, self.small)) if work else None
        for name, timing in timings.items():
            row = {**about, "competitor": name, "median_ms": 1e3 * timing.median / repeats, "peak_mib": peaks[name]}
            row["seconds"] = [seconds / repeats for seconds in timing.seconds]
            if name != RELEASED and RELEASED in timings:
                row["ratio"] = ratios(timings, name, RELEASED)
                if bar is not None and not self.small:
                    row |= {"bar": f">= {bar:g}x", "met": row["ratio"][1] >= bar}
            if work and floor:
                row |= {"operations": work.operations, "bytes": work.bytes, "floor_ms": 1e3 * floor}
                row |= {"of_floor": timing.median / repeats / floor, "rates": rates.to_dict()}
            yield row

    def _timed(self, run: Callable[[], object], repeats: int) -> None:
        for _ in range(repeats):
            run()
        synchronise(self.device)

    def _peak_mib(self, run: Callable[[], object]) -> float | None:
        """Return the memory that a run adds, after a first run that loads its kernels."""
        run()
        if self.device.type != "cuda":
            return None
        synchronise(self.device)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        synchronise(self.device)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
