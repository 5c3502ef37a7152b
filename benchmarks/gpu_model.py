"""Make rows of the table: training steps, embedding, training from shards, and probes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import axlstm
from axlstm.data.config import PrepareConfig
from axlstm.data.prepare import prepare
from axlstm.data.reader import LogMelBatch
from axlstm.embed.batching import embed_in_groups
from axlstm.evaluate.embedding.packed import read_embeddings
from axlstm.evaluate.pipeline import find_embeddings
from axlstm.evaluate.probes.batched import Compute
from axlstm.evaluate.probes.probe import probe_embeddings
from axlstm.evaluate.probes.protocol import find_protocol
from axlstm.model.config import preset_config
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.options import Precision
from axlstm.pretrain.config import PretrainConfig, PretrainLogConfig, ReadingConfig, pretrain_preset
from axlstm.pretrain.loop import pretrain
from axlstm.pretrain.meter import training_flops_per_crop
from axlstm.pretrain.stepper import Stepper
from axlstm.training.config import HardwareConfig, OptimiserConfig, ScheduleConfig
from axlstm.training.meter import peak_flops
from axlstm.training.world import World
from benchmarks.floors import Work
from benchmarks.gpu_setting import RELEASED, Setting
from benchmarks.reader import make_sound
from benchmarks.released import ReleasedEmbedder, as_released

STEP_BAR, MFU_BAR, WAIT_BAR, PROBES_BAR_S = 4.0, 0.35, 0.10, 60.0
EMBED_BARS = {"tiny": 20.0, "base": 10.0}


def step_rows(setting: Setting) -> Iterator[dict[str, Any]]:
    """Time a pretraining step of tiny, small and base, batch 256, bfloat16 and float16, from crops on the device."""
    batch = 2 if setting.small else 256
    for size in ("tiny",) if setting.small else ("tiny", "small", "base"):
        precisions: tuple[Precision, ...] = ("bfloat16",) if setting.small else ("bfloat16", "float16")
        for precision in precisions:
            config = training_config(size, setting, precision, batch)
            flops = batch * training_flops_per_crop(config.model)
            runs: dict[str, Callable[[], object]] = {
                RELEASED: stepping(config, setting, released=True),
                "ours": stepping(config, setting, released=False),
            }
            about = {"row": "step", "work": f"axlstm-{size}, batch {batch}, {precision}"}
            peak = peak_flops(setting.device, precision, tf32=True)
            for row in setting.compare(about, runs, Work(flops, 0.0), precision, STEP_BAR):
                if peak and "median_ms" in row:
                    row["mfu"] = 1e3 * flops / row["median_ms"] / peak
                    if size == "base" and row["competitor"] != RELEASED:
                        row["mfu_bar"], row["mfu_met"] = f">= {MFU_BAR}", row["mfu"] >= MFU_BAR
                yield row


def embed_rows(setting: Setting) -> Iterator[dict[str, Any]]:
    """Embed two-second clips from memory: the released algorithm window by window, ours in float32 and bfloat16.

    The released algorithm embeds a fiftieth of the clips: each costs it the same.
    """
    clips = 4 if setting.small else 10_000
    rng = torch.Generator().manual_seed(0)
    waves = [0.1 * torch.randn(32_000, generator=rng) for _ in range(min(clips, 500))]
    waves = [waves[number % len(waves)] for number in range(clips)]
    few = waves[: max(1, clips // 50)]
    for size in ("tiny",) if setting.small else ("tiny", "base"):
        name, device = f"axlstm-{size}", str(setting.device)
        released = ReleasedEmbedder(axlstm.create_model(name, device=device))
        exact = axlstm.create_model(name, device=device)
        half = axlstm.create_model(name, device=device, dtype="bfloat16")
        config = preset_config(name)
        for count, part in ((len(few), few), (clips, waves)):
            runs: dict[str, Callable[[], object]] = {
                "ours, float32": partial(_embed_all, exact, part),
                "ours, bfloat16": partial(_embed_all, half, part),
            }
            if part is few:
                runs = {RELEASED: partial(_embed_each, released, part), **runs}
            about = {"row": "embed", "work": f"{name}, {count} clips of 2 s"}
            # Forward: a third of a training crop's operations, one window a clip.
            work = Work(count * training_flops_per_crop(config) / 3, 4.0 * 32_000 * count)
            for row in setting.compare(about, runs, work, "bfloat16"):
                if "median_ms" in row:
                    row["clips_per_s"] = 1e3 * count / row["median_ms"]
                    if row["competitor"] == RELEASED:
                        released_speed = row["clips_per_s"]
                    elif part is waves:
                        times = row["clips_per_s"] / released_speed
                        row["ratio"] = [times] * 3
                        if not setting.small:
                            row |= {"bar": f">= {EMBED_BARS[size]:g}x", "met": times >= EMBED_BARS[size]}
                yield row


def train_rows(setting: Setting) -> Iterator[dict[str, Any]]:
    """Train Tiny from shards of log-mel, and measure the share of time that waits for data."""
    minutes, batch, steps = (1.0, 2, 3) if setting.small else (120.0, 256, 60)
    workers = 1 if setting.small else min(12, max(2, (os.cpu_count() or 2) - 2))
    with tempfile.TemporaryDirectory() as folder:
        source = make_sound(Path(folder, "source.flac"), minutes)
        prepare([source], Path(folder, "shards"), PrepareConfig(held_out=0.0, shard_records=100), processes=1)
        config = replace(
            training_config("tiny", setting, "bfloat16", batch),
            schedule=ScheduleConfig(steps=steps),
            reading=ReadingConfig(workers=workers),
            log=PretrainLogConfig(every_steps=max(1, steps // 3)),
        )
        seen: list[dict[str, float]] = []
        pretrain(config, Path(folder, "shards"), Path(folder, "run"), lambda _, values: seen.append(dict(values)))
    last = seen[-1]  # the first of the three reports holds the start of workers and kernels
    yield {
        "row": "train",
        "work": f"axlstm-tiny from shards, batch {batch}, {workers} workers",
        "competitor": "ours",
        "median_ms": 1e3 * batch / last["crops_per_second"],
        "crops_per_s": last["crops_per_second"],
        "data_wait_share": last["data_wait_share"],
        "mfu": last.get("mfu"),
        "bar": f"<= {WAIT_BAR:.0%} waiting",
        "met": last["data_wait_share"] <= WAIT_BAR,
    }


def probe_rows(setting: Setting) -> Iterator[dict[str, Any]]:
    """Probe the tasks of a folder with 10 seeds at once, and with one seed at a time."""
    about = {"row": "probes", "work": "HEAR probes, 10 seeds"}
    if setting.tasks is None:
        yield {**about, "competitor": "ours", "note": "left out: pass --tasks DIR with embeddings directories"}
        return
    folders = find_embeddings(setting.tasks)
    tasks = [read_embeddings(folder) for folder in folders]
    protocol, seeds = find_protocol("published"), range(1 if setting.small else 10)
    total = 0.0
    for folder, task in zip(folders, tasks, strict=True):
        begin = time.perf_counter()
        list(probe_embeddings(task, seeds, protocol, compute=Compute(device=str(setting.device))))
        ours = time.perf_counter() - begin
        begin = time.perf_counter()
        list(probe_embeddings(task, range(1), protocol, exact=True))
        slow = (time.perf_counter() - begin) * len(seeds)
        total += ours
        named = {**about, "work": f"{folder.name}, {len(seeds)} seeds", "competitor": "ours"}
        yield {**named, "median_ms": 1e3 * ours, "one_after_another_ms": 1e3 * slow, "ratio": [slow / ours] * 3}
    row = {**about, "work": f"all {len(tasks)} tasks, {len(seeds)} seeds", "competitor": "ours"}
    yield {**row, "median_ms": 1e3 * total, "bar": f"< {PROBES_BAR_S:g} s", "met": total < PROBES_BAR_S}


def training_config(size: str, setting: Setting, precision: Precision, batch: int) -> PretrainConfig:
    return replace(
        pretrain_preset(f"axlstm-{size}"),
        optimiser=OptimiserConfig(global_batch=batch, micro_batch=batch),
        hardware=HardwareConfig(device=str(setting.device), precision=precision),
    )


def stepping(config: PretrainConfig, setting: Setting, released: bool) -> Callable[[], object]:
    """Make a training step on crops that are on the device already."""
    model = MaskedPatchModel.initialised(config.model)
    stepper = Stepper(as_released(model) if released else model, config, World(0, 1, setting.device))
    shape = (config.optimiser.global_batch, config.model.window_frames, config.model.mel_bands)
    rng = torch.Generator(setting.device).manual_seed(0)
    windows = torch.randn(shape, generator=rng, device=setting.device)
    batch = LogMelBatch(windows, torch.arange(len(windows)), [])
    return lambda: stepper.step(repeat(batch), 1e-4, False)


def _embed_all(embedder: axlstm.Embedder, waves: list[Tensor]) -> None:
    for _ in embed_in_groups(embedder, waves, 16_000):
        pass


def _embed_each(released: ReleasedEmbedder, waves: list[Tensor]) -> None:
    for wave in waves:
        released.embed(wave.to(released.embedder.device)).cpu()
