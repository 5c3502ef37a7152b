"""Measure what checksums and bounds cost: embedding, preparing and training with them and without, in turns.

python -m benchmarks checks [--rounds 7]

The time is that of the processor: both ways do the same work in one process, and other work on the machine disturbs it
less than the clock's.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
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
from axlstm.pretrain.config import (
    CheckpointConfig,
    HardwareConfig,
    OptimiserConfig,
    PretrainConfig,
    ReadingConfig,
    ScheduleConfig,
)
from axlstm.pretrain.loop import pretrain
from axlstm.store.batch import embed_files
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_folder
from benchmarks.report import save

_FILES = 200
_FILE_S = 2.0
_STEPS = 4
_BATCH = 8


def checks(rounds: int = 7) -> int:
    """Time each command on one core.

    Args:
        rounds: times that each command runs with the checks, and as often without them.
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
            seconds = _take_turns(run, Path(folder), rounds)
            shares = [with_checks / without - 1 for with_checks, without in seconds]
            rows.append({"command": name, "cost": statistics.median(shares), "costs": shares, "seconds": seconds})
            spread = f"{min(shares):+.2%} .. {max(shares):+.2%}"
            print(f"{name:34} {statistics.median(shares):+.2%} ({spread}), {statistics.median(seconds[0]):.2f} s")
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


def _take_turns(run: Callable[[Path], object], folder: Path, rounds: int) -> list[tuple[float, float]]:
    """Return the seconds of each round with checks and without, after one of each that does not count."""
    seconds = []
    for number in range(rounds + 1):
        pair = {}
        for has_checks in (True, False) if number % 2 else (False, True):
            with tempfile.TemporaryDirectory(dir=folder) as out, ExitStack() as held:
                if not has_checks:
                    held.enter_context(_no_checks())
                begin = time.process_time()
                run(Path(out))
                pair[has_checks] = time.process_time() - begin
        seconds.append((pair[True], pair[False]))
    return seconds[1:]


@contextmanager
def _no_checks() -> Iterator[None]:
    """Put functions that do nothing in the place of checksums and bounds, wherever they were imported to."""
    instead: dict[Any, Callable[..., Any]] = {
        seals.seal_object: lambda values: {**values, seals.OBJECT_KEY: "00000000"},
        seals.object_is_whole: lambda _: True,
        seals.crc_of_file: lambda *_, **__: 0,
        seals.crc_of_path: lambda _: "00000000",
        bounds.parse_json: lambda content, *_: json.loads(content),
        bounds.parse_object: lambda content, *_: json.loads(content),
        bounds.check_types: lambda *_: None,
        bounds.check_zip: lambda *_: None,
        bounds.check_parquet: lambda *_: None,
    }
    with ExitStack() as held:
        held.enter_context(patch.object(zlib, "crc32", lambda *_: 0))
        for module in [module for name, module in sys.modules.items() if name.startswith("axlstm.")]:
            for name, value in list(vars(module).items()):
                if callable(value) and getattr(value, "__hash__", None) and value in instead:
                    held.enter_context(patch.object(module, name, instead[value]))
        yield
