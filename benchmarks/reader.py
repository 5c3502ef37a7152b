"""Measure crops per second of the reader alone, from shards of log-mel and sound, and the share of a step that waits.

python -m benchmarks reader [--minutes 40] [--workers 2] [--seconds 10]
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import soundfile
import torch

from axlstm.data.config import PrepareConfig
from axlstm.data.order import BatchPlan
from axlstm.data.prepare import prepare
from axlstm.data.reader import CropReader, micro_batches
from axlstm.data.shards import open_shards
from axlstm.options import Content
from axlstm.pretrain.config import PretrainLogConfig, ReadingConfig, pretrain_preset
from axlstm.pretrain.loop import pretrain
from axlstm.training.config import HardwareConfig, OptimiserConfig, ScheduleConfig
from benchmarks.machine import describe_machine
from benchmarks.report import save

BATCH = 256


def reader(minutes: float = 40.0, workers: int = 2, seconds: float = 10.0, steps: int = 12) -> int:
    """Read 10-second records made of noise and tones, then train Tiny on them for a few steps.

    Args:
        minutes: audio that is prepared first, the same for both contents.
        workers: processes that read.
        seconds: how long each content is read.
        steps: of training, for the share of time that waits for data.
    """
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        source = make_sound(Path(folder, "source.flac"), minutes)
        for content in get_args(Content):
            shards = Path(folder, content)
            prepare([source], shards, PrepareConfig(content=content, held_out=0.0, shard_records=100), processes=1)
            speed = _crops_per_second(shards, workers, seconds)
            wait = _data_wait_share(shards, Path(folder, f"run-{content}"), steps)
            core = _crops_per_core_second(shards)
            rows.append(
                {
                    "content": content,
                    "workers": workers,
                    "crops_per_second": speed,
                    "crops_per_core_second": core,
                    "data_wait_share": wait,
                }
            )
            print(
                f"{content:8} {speed:8.0f} crops/s with {workers} workers  {core:8.0f} crops per second of one core  "
                f"a step of axlstm-tiny waits {100 * wait:.2f} % for data"
            )
    save("reader", {"machine": describe_machine(), "rows": rows})
    return 0


def make_sound(path: Path, minutes: float) -> Path:
    """Write ``minutes`` of tones and noise at 16 kHz, with no two minutes alike."""
    rng = np.random.default_rng(0)
    time_s = np.arange(16_000 * 60) / 16_000
    with soundfile.SoundFile(path, "w", 16_000, 1) as file:
        for _ in range(max(1, round(minutes))):
            tone = np.sin(2 * np.pi * rng.uniform(100, 4000) * time_s) * np.sin(
                2 * np.pi * rng.uniform(0.1, 2) * time_s
            )
            file.write(0.3 * tone + 0.02 * rng.standard_normal(len(time_s)))
    return path


def _crops_per_second(directory: Path, workers: int, seconds: float) -> float:
    shards = open_shards(directory)
    starts = tuple(shards.starts.tolist())
    crop_reader = CropReader(shards, pretrain_preset("axlstm-tiny").model, seed=0)
    plan = BatchPlan(starts, min(BATCH, len(shards)), seed=0, shuffle_records=16_384)
    batches = micro_batches(crop_reader, plan, first_step=0, last_step=10**9, workers=workers)
    for _ in range(2 * workers + 2):
        next(batches)
    crops, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        crops += len(next(batches).keys)
    return crops / (time.perf_counter() - begin)


def _crops_per_core_second(directory: Path) -> float:
    """Return crops for each second of processor time, the rate of a free core."""
    shards = open_shards(directory)
    crop_reader = CropReader(shards, pretrain_preset("axlstm-tiny").model, seed=0)
    records = np.arange(len(shards))
    crop_reader.read(0, records)
    begin, epochs = time.process_time(), 5
    for epoch in range(epochs):
        crop_reader.read(epoch, records)
    return epochs * len(records) / (time.process_time() - begin)


def _data_wait_share(directory: Path, workdir: Path, steps: int) -> float:
    config = replace(
        pretrain_preset("axlstm-tiny"),
        optimiser=OptimiserConfig(global_batch=16, micro_batch=16),
        schedule=ScheduleConfig(steps=steps),
        reading=ReadingConfig(workers=1),
        hardware=HardwareConfig(device="cpu", precision="bfloat16", threads=1),
        log=PretrainLogConfig(every_steps=steps),
    )
    shares: list[float] = []
    pretrain(config, directory, workdir, lambda _, values: shares.append(values["data_wait_share"]))
    return shares[-1]
