"""Measure what checksums and bounds cost: their share of the time that embedding, preparing and training take.

python -m benchmarks checks [--rounds 5]

Both are times of the processor in the same run, so that other work on the machine disturbs them alike.
"""

from __future__ import annotations

import inspect
import statistics
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import axlstm
from axlstm import bounds, seals
from axlstm.data.config import PrepareConfig
from axlstm.data.prepare import prepare
from axlstm.pretrain.config import PretrainConfig, ReadingConfig
from axlstm.pretrain.loop import pretrain
from axlstm.store.batch import embed_files
from axlstm.training.config import CheckpointConfig, HardwareConfig, OptimiserConfig, ScheduleConfig
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_folder
from benchmarks.report import save

_FILES = 200
_FILE_S = 2.0
_STEPS = 4
_BATCH = 8
_CHECKS: tuple[Callable[..., Any], ...] = (
    seals.seal_object,
    seals.object_is_whole,
    seals.crc_of_file,
    seals.crc_of_path,
    bounds.parse_json,
    bounds.parse_object,
    bounds.check_types,
    bounds.check_zip,
    bounds.check_parquet,
    bounds.read_npy,
)


def checks(rounds: int = 5) -> int:
    """Time each command on one core.

    Args:
        rounds: times that each command runs, after one run that does not count.
    """
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = write_folder(Path(folder, "sounds"), _FILES, _FILE_S)
        embedder = axlstm.load_model("axlstm-tiny")
        prepare([Path(folder, "sounds")], Path(folder, "shards"), PrepareConfig(held_out=0.0), processes=1)
        runs: dict[str, Callable[[Path], object]] = {
            f"embed, {_FILES} files of {_FILE_S:g} s": lambda out: embed_files(embedder, files, out / "e.parquet"),
            f"prepare, {_FILES} files of {_FILE_S:g} s": lambda out: prepare(
                [Path(folder, "sounds")], out / "shards", PrepareConfig(held_out=0.0), processes=1
            ),
            f"pretrain, {_STEPS} steps of {_BATCH} crops": lambda out: pretrain(
                _training(), Path(folder, "shards"), out / "run"
            ),
        }
        for name, run in runs.items():
            shares, seconds = zip(*(_measure(run, Path(folder)) for _ in range(rounds + 1)), strict=True)
            share = statistics.median(shares[1:])
            rows.append({"command": name, "share": share, "shares": shares[1:], "seconds": seconds[1:]})
            spread = f"{min(shares[1:]):.3%} .. {max(shares[1:]):.3%}"
            print(f"{name:34} {share:.3%} ({spread}) of {statistics.median(seconds[1:]):.2f} s", flush=True)
    save("checks", {"machine": describe_machine(), "rounds": rounds, "rows": rows})
    return 0


def _training() -> PretrainConfig:
    return PretrainConfig(
        optimiser=OptimiserConfig(global_batch=_BATCH, micro_batch=_BATCH),
        schedule=ScheduleConfig(steps=_STEPS, warmup_steps=1),
        reading=ReadingConfig(workers=0),
        checkpoints=CheckpointConfig(every_steps=_STEPS),
        hardware=HardwareConfig(device="cpu", precision="float32", threads=1),
    )


def _measure(run: Callable[[Path], object], folder: Path) -> tuple[float, float]:
    """Run a command: the share of its time that checks take, and its time in seconds."""
    with tempfile.TemporaryDirectory(dir=folder) as out, _timed_checks() as spent:
        begin = time.process_time()
        run(Path(out))
        seconds = time.process_time() - begin
    return sum(spent) / seconds, seconds


@contextmanager
def _timed_checks() -> Iterator[list[float]]:
    """Time checksums and bounds, wherever they were imported to: the seconds of each outermost call."""
    spent: list[float] = []
    within = threading.local()

    def timed(check: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if getattr(within, "check", False):
                return check(*args, **options)
            within.check, begin = True, time.thread_time()
            try:
                return check(*args, **options)
            finally:
                spent.append(time.thread_time() - begin)
                within.check = False

        return call

    instead = {check: timed(check) for check in _CHECKS}
    with ExitStack() as held:
        held.enter_context(patch.object(zlib, "crc32", timed(zlib.crc32)))
        for module in [module for name, module in sys.modules.items() if name.startswith("axlstm.")]:
            for name, value in list(vars(module).items()):
                if inspect.isfunction(value) and value in instead:
                    held.enter_context(patch.object(module, name, instead[value]))
        yield spent
