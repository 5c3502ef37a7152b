"""Measure the hours of audio that one core prepares in an hour, by format and length of the files, and its memory.

python -m benchmarks prepare [--source DIR]
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from axlstm.data.config import PrepareConfig
from axlstm.data.prepare import prepare as write_shards
from benchmarks.machine import describe_machine
from benchmarks.report import save


def prepare(source: Path | None = None, minutes: float = 20.0) -> int:
    """Prepare files of several formats on one core.

    Args:
        source: a folder of recordings to prepare besides what is made here.
        minutes: audio made for each format.
    """
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    print(f"{'input':34} {'hours/core-hour':>16} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        inputs = {
            f"{kind}, {rate_hz} Hz, {channels} channels, {length_s:g} s each": (
                _make_files(Path(folder, f"{kind}-{rate_hz}-{length_s:g}"), kind, rate_hz, channels, length_s, minutes)
            )
            for kind, rate_hz, channels, length_s in (
                ("flac", 16_000, 1, 10.0),
                ("flac", 44_100, 2, 10.0),
                ("ogg", 44_100, 2, 10.0),
                ("ogg", 44_100, 1, 2.0),
                ("ogg", 44_100, 2, 60.0 * minutes),
                ("wav", 48_000, 2, 10.0),
            )
        }
        if source is not None:
            inputs[str(source.name)] = source
        for number, (name, audio) in enumerate(inputs.items()):
            begin = time.process_time()
            index = write_shards([audio], Path(folder, str(number)), PrepareConfig(held_out=0.0), processes=1)
            spent = time.process_time() - begin
            speed = index["splits"]["train"]["hours"] * 3600 / spent
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            rows.append({"input": name, "hours_per_core_hour": speed, "peak_mib": peak_mib})
            print(f"{name:34} {speed:16.0f} {peak_mib:9}")
    save("prepare", {"machine": describe_machine(), "rows": rows})
    return 0


def _make_files(folder: Path, kind: str, rate_hz: int, channels: int, length_s: float, minutes: float) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    block_s = min(length_s, 10.0)
    time_s = np.arange(round(rate_hz * block_s)) / rate_hz
    for number in range(max(1, round(60 * minutes / length_s))):
        with soundfile.SoundFile(folder / f"{number:04d}.{kind}", "w", rate_hz, channels) as file:
            for _ in range(max(1, round(length_s / block_s))):
                tone = np.sin(2 * np.pi * rng.uniform(100, 4000) * time_s)
                noise = 0.02 * rng.standard_normal((len(time_s), channels))
                file.write(0.3 * tone[:, None] * rng.uniform(0.5, 1.0, channels) + noise)
    return folder
