"""Fine-tune a model on labelled clips: ``axlstm finetune``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from axlstm.cli.live_line import LiveLine
from axlstm.cli.repeated import Repeated
from axlstm.finetuning.config import FinetuneConfig

_USUAL = FinetuneConfig()


def finetune(
    model: Positional[str],
    data: Path,
    out: Annotated[Path, arg(aliases=["-o"])],
    label: Repeated = (),
    fold: int | None = None,
    every_fold: bool = False,
    recipe: Annotated[FinetuneConfig, arg(name="")] = _USUAL,
) -> int:
    """Fine-tune a model on labelled clips.

    The same command resumes an interrupted run exactly. OUT loads as a model and as a classifier, OUT/report.html shows
    how good it is, and axlstm detect, stream and export take it. Example: axlstm finetune axlstm-tiny --data clips/ -o
    run, where clips holds a folder of sounds for each label

    Args:
        model: what to begin with, as axlstm embed --model takes it.
        data: a table with the columns path and label, and split or group if you like; a folder of sounds in folders
            that are named by their label; a HEAR task folder; or a collection with labels.
        out: folder of this run.
        label: of a collection; given again, further ones. All of them without it.
        fold: number of the fold to test with, from 0; the first without it.
        every_fold: train once for each fold, in OUT/fold-0 and so on, and score all clips together.
    """
    from axlstm.finetuning.folds import finetune_folds
    from axlstm.finetuning.run import finetune as tune

    line = LiveLine("validation_score", _describe)
    if every_fold:
        return _tell_folds(
            out,
            finetune_folds(model, data, out, recipe, labels=label, on_metrics=line),
        )
    summary = tune(model, data, out, recipe, labels=label, fold=fold, on_metrics=line)
    if summary["rank"] > 0:
        return 0
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if not summary["finished"]:
        print(f"stopped at step {summary['steps']}; the same command goes on from there")
        return 0
    print(
        f"trained {summary['epochs']:.1f} epochs in {60 * summary['train_hours']:.1f} min; "
        f"the best was epoch {summary['best_epoch']:.1f}"
    )
    for name, value in summary["scores"].items():
        gain = summary["gains"].get(name)
        told = f"; the frozen encoder {_show(summary['probe'][name])}" if name in summary["probe"] else ""
        told += f", gain {_show(gain)}" if gain else ""
        print(f"{name} on the {summary['scored_on']} clips: {_show(value)}{told}")
    for note in summary["notes"]:
        print(f"  {note}")
    print(f"model and classifier: {out}    report: {out / 'report.html'}")
    return 0


def _tell_folds(out: Path, result: Mapping[str, Any]) -> int:
    if result["rank"] > 0:
        return 0
    if not result["finished"]:
        print(f"stopped in fold {result['done']} of {result['folds']}; the same command goes on from there")
        return 0
    for name, values in result["of_folds"].items():
        told = f"; of all clips together {_show(result['scores'][name])}" if name in result["scores"] else ""
        print(f"{name} of each fold: {', '.join('-' if one is None else f'{one:.3f}' for one in values)}{told}")
    print(f"a model for each fold: {out / 'fold-0'} ...    summary: {out / 'folds.json'}")
    return 0


def _show(value: list[float | None]) -> str:
    middle, low, high = ("-" if one is None else f"{one:.3f}" for one in value)
    return middle if low == "-" else f"{middle} ({low} to {high})"


def _describe(values: Mapping[str, Any]) -> str:
    left = timedelta(seconds=int(values["eta_seconds"]))
    return f"lr {values['learning_rate']:.2e}  {values['crops_per_second']:.1f} clips/s  left at most {left}"
