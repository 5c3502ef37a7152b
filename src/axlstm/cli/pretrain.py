"""Train a published size, or a variation of it, on shards: ``axlstm pretrain``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from axlstm.cli.live_line import LiveLine
from axlstm.model.config import preset_config
from axlstm.options import ModelChanges
from axlstm.pretrain.config import PretrainConfig, Recipe

_PUBLISHED = Recipe()
_UNCHANGED: ModelChanges = {}


def pretrain(
    preset: Positional[str],
    data: str,
    workdir: Path,
    model: ModelChanges = _UNCHANGED,
    recipe: Annotated[Recipe, arg(name="")] = _PUBLISHED,
) -> int:
    """Pretrain an encoder by masked-patch prediction. The defaults are the published recipe.

    The same command resumes an interrupted run exactly. WORKDIR loads as a model at any time: it is the newest
    checkpoint, and WORKDIR/best is the one with the lowest validation loss. Under torchrun all processes share
    the global batch.

    Args:
        preset: a published size, like axlstm-tiny.
        data: folder of shards that axlstm prepare wrote, or the URL of a copy of it in an object store, which is read
            through a cache on this machine (docs/scale.md).
        workdir: folder of this run.
    """
    from axlstm.pretrain.loop import pretrain as train

    config = PretrainConfig(model=preset_config(preset, **model), **vars(recipe))
    summary = train(config, data, workdir, LiveLine("validation_loss", _describe))
    if summary["rank"] > 0:
        return 0
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if not summary["finished"]:
        print(f"stopped at step {summary['steps']}; the same command goes on from there")
        return 0
    print(f"trained {summary['steps']} steps, {summary['crops']} crops, {summary['train_hours']:.2f} h")
    if summary["validation_loss"] is not None:
        print(
            f"validation loss {summary['validation_loss']:.4f} (lowest {summary['best_validation_loss']:.4f}); "
            f"predicting the mean gives {summary['baseline']['mean']:.4f}"
        )
    print(f"model: {workdir}    summary: {workdir / 'summary.json'}    curve: {workdir / 'loss.png'}")
    return 0


def _describe(values: Mapping[str, Any]) -> str:
    line = (
        f"lr {values['learning_rate']:.2e}  grad {values['gradient_norm']:.3f}  "
        f"{values['crops_per_second']:.1f} crops/s  data wait {100 * values['data_wait_share']:.1f}%  "
        f"left {timedelta(seconds=int(values['eta_seconds']))}"
    )
    return f"{line}  mfu {100 * values['mfu']:.1f}%" if "mfu" in values else line
