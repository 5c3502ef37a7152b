"""Small runs on made shards, in this process or in others that can be killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from axlstm.data.config import PrepareConfig
from axlstm.data.prepare import prepare
from axlstm.model.config import ModelConfig
from axlstm.options import Content
from axlstm.pretrain.config import PretrainConfig, PretrainLogConfig, ReadingConfig, ValidationConfig
from axlstm.training.config import CheckpointConfig, HardwareConfig, OptimiserConfig, ScheduleConfig
from axlstm.training.state import saved_steps
from tests.shards.made import write_sound


class Cut(Exception):
    """Stands for whatever ends a run in the middle."""


def cut_after(last_step: int) -> Callable[[int, Any], None]:
    """A callback that ends a run after a step."""

    def cut(step: int, _: Any) -> None:
        if step == last_step:
            raise Cut

    return cut


SMALL = ModelConfig(depth=2, width=16, heads=2, patch_frames=20)


def make_shards(folder: Path, clips: int = 24) -> Path:
    for number in range(clips):
        write_sound(folder / "sounds" / f"{number:02d}.wav", 2.0 + 0.13 * number, number)
    return prepare_sounds(folder / "sounds", folder / "shards", "logmel")


def prepare_sounds(sounds: Path, shards: Path, content: Content) -> Path:
    prepare([sounds], shards, PrepareConfig(held_out=0.2, shard_records=7, content=content), processes=1)
    return shards


def small_config(steps: int = 12, **changes: Any) -> PretrainConfig:
    """A run of a fraction of a second a step, on the CPU in one thread."""
    config = PretrainConfig(
        model=SMALL,
        optimiser=OptimiserConfig(learning_rate=3e-3, global_batch=8, micro_batch=4, clip_norm=1.0),
        schedule=ScheduleConfig(steps=steps, warmup_steps=2),
        reading=ReadingConfig(workers=0, shuffle_records=16),
        hardware=HardwareConfig(device="cpu", precision="float32", threads=1),
        validation=ValidationConfig(every_steps=4),
        checkpoints=CheckpointConfig(every_steps=3, keep_last=2),
        log=PretrainLogConfig(every_steps=1, pictures_every_steps=1000),
    )
    return replace(config, **changes)


def weights_hash(workdir: Path) -> str:
    """SHA-256 of the weights of the newest checkpoint."""
    from safetensors.torch import load_file

    digest = hashlib.sha256()
    newest = saved_steps(workdir / "checkpoints")[-1][1]
    for name, value in sorted(load_file(newest / "model.safetensors").items()):
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


_CODE = """
import json, logging, sys, warnings
from pathlib import Path
warnings.simplefilter("error")
logging.basicConfig(level="INFO")
import torch
torch.set_num_threads(1)
from axlstm.pretrain.config import PretrainConfig
from axlstm.pretrain.loop import pretrain
config = PretrainConfig.from_dict(json.loads(sys.argv[1]))
if config.hardware.precision == "float16":  # which a CPU is too slow for in use, not in tests of the loss scaler
    import axlstm.training.loop
    axlstm.training.loop.find_precision = lambda name, device: name
pretrain(config, Path(sys.argv[2]), Path(sys.argv[3]))
"""


class Processes:
    """A run in ``count`` processes, joined as torchrun joins them."""

    def __init__(self, config: PretrainConfig, data: Path, workdir: Path, count: int = 1) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.started = []
        for rank in range(count):
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            if count > 1:
                ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
                environment |= {**ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            arguments = [sys.executable, "-c", _CODE, json.dumps(config.to_dict()), str(data), str(workdir)]
            self.started.append(
                subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            )

    def finish(self) -> str:
        """Wait for the end; returns the first process's output, and fails if any has failed."""
        outputs = [process.communicate(timeout=300)[0].decode() for process in self.started]
        for process, output in zip(self.started, outputs, strict=True):
            assert process.returncode == 0, output
        return outputs[0]

    def kill_after(self, workdir: Path, lines: int, seconds: float) -> bool:
        """SIGKILL all, ``seconds`` after the metrics have grown by ``lines``; False if the run ended before."""
        before = _count_lines(workdir)
        while _count_lines(workdir) < before + lines and self.started[0].poll() is None:
            time.sleep(0.002)
        time.sleep(seconds)
        running = all(process.poll() is None for process in self.started)
        self.send(signal.SIGKILL)
        for process in self.started:
            process.communicate()
        return running

    def send(self, number: int) -> None:
        for process in self.started:
            process.send_signal(number)


def _count_lines(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0
