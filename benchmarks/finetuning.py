"""Time a fine-tuning on small data, from the command to its best epoch.

python -m benchmarks finetuning [--clips 400] [--seconds 5]
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

from axlstm.audio.read import load_audio
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.finetuning.config import FinetuneConfig
from axlstm.finetuning.run import finetune
from axlstm.samples import sample_names, sample_path
from axlstm.training.metrics import read_metrics
from benchmarks.machine import describe_machine
from benchmarks.report import save

BAR_MINUTES = 15.0
_LABELS = 8
_DB = (0.0, 12.0)  # of another recording below the one that gives the label


def finetuning(model: str = "axlstm-tiny", data: Path | None = None, clips: int = 400, seconds: float = 5.0) -> int:
    """Fine-tune with the default recipe, and tell the minutes until the best epoch and until the end.

    Args:
        model: what to begin with.
        data: labelled clips; without any, mixtures of the bundled recordings are made: a clip has the label of the
            louder of two, from a place in it that is drawn.
        clips: number of those that are made.
        seconds: their length.
    """
    with TemporaryDirectory() as folder:
        if data is None:
            data = Path(folder) / "clips"
            make_mixtures(data, clips, seconds)
        begin, reached = time.perf_counter(), {}

        def note(step: int, values: Any) -> None:
            if "validation_score" in values:
                reached[step] = time.perf_counter() - begin

        summary = finetune(model, data, Path(folder) / "run", FinetuneConfig(), on_metrics=note)
        end = time.perf_counter() - begin
        rates = [line["crops_per_second"] for line in read_metrics(Path(folder) / "run") if "crops_per_second" in line]
    row = {
        "model": model,
        "clips": summary["clips"],
        "seconds": seconds,
        "minutes_to_best": reached[summary["best_step"]] / 60,
        "minutes": end / 60,
        "best_epoch": summary["best_epoch"],
        "epochs": summary["epochs"],
        "clips_per_second": float(np.median(rates)),
        "scores": summary["scores"],
        "probe": summary["probe"],
        "bar_minutes": BAR_MINUTES,
    }
    print(json.dumps(row, indent=1))
    save("finetuning", {"machine": describe_machine(), "rows": [row]})
    return 0 if row["minutes_to_best"] <= BAR_MINUTES else 1


def make_mixtures(folder: Path, count: int, seconds: float) -> None:
    """Write clips in folders by label, each a stretch of a bundled recording with another one below it."""
    rng = np.random.default_rng(0)
    names = sample_names()
    sounds = [load_audio(sample_path(name)) for name in names[: 2 * _LABELS]]
    length = round(seconds * SAMPLE_RATE_HZ)
    for number in range(count):
        label = number % _LABELS
        other = _LABELS + int(rng.integers(len(sounds) - _LABELS))
        loud, soft = (_stretch(sounds[place], length, rng) for place in (label, other))
        below = 10 ** (-rng.uniform(*_DB) / 20)
        path = folder / names[label] / f"{number:05d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.5 * (loud + below * soft), SAMPLE_RATE_HZ)


def _stretch(sound: Any, length: int, rng: np.random.Generator) -> Any:
    """Take a stretch from anywhere, around the end if need be, as loud as all others."""
    turned = np.resize(np.roll(sound, -int(rng.integers(len(sound)))), length)
    return turned / max(float(np.sqrt(np.mean(turned**2))), 1e-4) * 0.1
