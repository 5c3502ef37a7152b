"""Measure cost against length and batch: the forms of the mLSTM on sequences, the encoder on batches of windows.

python -m benchmarks scaling [--rounds 5] [--figure docs/figures/scaling.png]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import axlstm
from axlstm.mlstm import choose, mlstm
from axlstm.options import EngineName, Precision
from axlstm.show.figures import new_figure, save_figure
from benchmarks.machine import describe_machine
from benchmarks.released import ReleasedEmbedder
from benchmarks.report import save
from benchmarks.timing import take_turns

STEPS = (64, 128, 251, 512, 1024, 2048, 4096)
BATCHES = (1, 2, 4, 8, 16, 32)
FORMS = ("parallel", "factored", "chunkwise")
WAYS: tuple[tuple[EngineName | None, Precision], ...] = (
    (None, "float32"),
    ("openvino", "float32"),
    (None, "bfloat16"),
    ("openvino", "bfloat16"),
)
HEADS, HEAD_WIDTH = 4, 96  # of Tiny


def scaling(rounds: int = 5, figure: Path | None = None, model: str = "axlstm-tiny") -> int:
    """Time the cell at growing lengths and the encoder at growing batches, and draw both.

    Args:
        rounds: times each competitor runs.
        figure: a PNG to write.
        model: size of the encoder; its weights are random, which does not change the time.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of the cell: one core, so that lengths can be compared
    lengths = [_at_length(steps, rounds) for steps in STEPS]
    torch.set_num_threads(threads)
    batches = _at_batches(model, rounds)
    save("scaling", {"machine": describe_machine(), "model": model, "lengths": lengths, "batches": batches}, True)
    if figure is not None:
        _draw(lengths, batches, figure)
        print(figure)
    return 0


def _at_length(steps: int, rounds: int) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, HEADS, steps, HEAD_WIDTH, generator=rng) for _ in range(3))
    igate, fgate = (torch.randn(1, HEADS, steps, generator=rng) + shift for shift in (0.0, 4.0))

    def run(form: str) -> Tensor:
        with torch.no_grad():
            return mlstm(q, k, v, igate, fgate, backend=form)

    timings = take_turns({form: partial(run, form) for form in FORMS}, rounds)
    chosen = choose(device="cpu", steps=steps, dtype=torch.float32, head_width=HEAD_WIDTH).name
    row: dict[str, Any] = {"steps": steps, "auto": chosen}
    row |= {form: 1e6 * timing.median / steps for form, timing in timings.items()}
    print(
        f"{steps:5} steps, us a step: " + ", ".join(f"{form} {row[form]:.2f}" for form in FORMS) + f"; auto: {chosen}"
    )
    return row


def _at_batches(model: str, rounds: int) -> list[dict[str, Any]]:
    released = ReleasedEmbedder(axlstm.create_model(model))
    wave = 0.1 * torch.randn(2 * 16_000 - 1, generator=torch.Generator().manual_seed(0))
    rows = []
    for batch in BATCHES:
        runs: dict[str, Callable[[], object]] = {}
        if batch == 1:
            runs["released"] = partial(released.embed, wave)
        for engine, dtype in WAYS:
            embedder = axlstm.create_model(model, engine=engine, dtype=dtype, batch_windows=batch)
            clips = [embedder.prepare(wave, 16_000) for _ in range(batch)]
            runs[_name(engine, dtype)] = partial(embedder.embed_prepared, clips)
        timings = take_turns(runs, rounds)
        row: dict[str, Any] = {"windows": batch}
        row |= {name: 1e3 * timing.median / batch for name, timing in timings.items()}
        rows.append(row)
        print(
            f"{batch:5} windows together, ms a window: "
            + ", ".join(f"{name} {value:.1f}" for name, value in row.items() if name != "windows")
        )
    return rows


def _name(engine: str | None, dtype: str) -> str:
    return f"{engine or 'torch'}, {dtype}"


def _draw(lengths: list[dict[str, Any]], batches: list[dict[str, Any]], path: Path) -> None:
    sheet = new_figure(9.0, 3.6)
    left, right = sheet.subplots(1, 2)
    for form in FORMS:
        left.loglog([row["steps"] for row in lengths], [row[form] for row in lengths], "o-", ms=3, label=form)
    left.set(xlabel="steps S", ylabel="microseconds a step", title="mLSTM of Tiny, one core, float32")
    for way in (_name(*way) for way in WAYS):
        right.semilogx([row["windows"] for row in batches], [row[way] for row in batches], "o-", ms=3, label=way)
    right.axhline(batches[0]["released"], color="0.5", lw=1, label="released, one by one")
    right.set(xlabel="windows together", ylabel="milliseconds a window", title="encoder", ylim=(0, None))
    for axis in (left, right):
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    save_figure(sheet, path)
