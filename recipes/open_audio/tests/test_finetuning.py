"""The comparison of probe, fine-tuning and random weights: what is run, and what its table says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from axlstm.checkpoints.own import Checkpoint
from axlstm.errors import ConfigError
from axlstm.evaluate.tasks.make import TaskRecipe, make_task
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.samples import strokes_table
from recipes.open_audio.study.finetuning import finetune_study, interval_of, make_table


def row(**changes: object) -> dict[str, object]:
    usual = {"task": "drums", "model": "m", "seed": 0, "fold": 0, "share": 1.0, "fresh": False, "score": "top1_acc"}
    return {**usual, "tuned": 0.5, "probe": 0.4, **changes}


def test_a_gain_is_paired_by_seed_and_averaged_over_folds() -> None:
    rows = [
        row(seed=seed, fold=fold, tuned=0.6 + 0.1 * seed + 0.02 * fold, probe=0.5 + 0.1 * seed)
        for seed in range(3)
        for fold in range(2)
    ]
    rows += [row(seed=0, fold=fold, fresh=True, tuned=0.3, probe=None) for fold in range(2)]
    line = make_table(rows)[2]
    assert "| drums | m | 100 % | top1_acc |" in line
    assert "| 0.300 | +0.110 (+0.110 to +0.110) |" in line


def test_an_interval_is_of_seeds() -> None:
    interval = interval_of([0.1, 0.2, 0.3])
    assert interval.mean == pytest.approx(0.2)
    assert interval.low == pytest.approx(0.2 - 4.3027 * 0.1 / 3**0.5, abs=1e-4)


def test_runs_are_taken_up_and_told(tmp_path: Path) -> None:
    make_task(strokes_table(), tmp_path / "tasks", TaskRecipe("drums", folds=3))
    settings = ModelConfig(depth=1, width=16, heads=1, patch_frames=20, patch_bands=40)
    model = str(Checkpoint(MaskedPatchModel.initialised(settings, 1), name="small").save(tmp_path / "small"))
    study: dict[str, Any] = {"models": (model,), "seeds": 1, "most_folds": 1, "epochs": 0.5, "threads": 1}
    table = finetune_study(tmp_path / "tasks", tmp_path / "out", **study)
    assert "| drums-v1-full | small | 100 % | top1_acc |" in table[2]
    first = json.loads((tmp_path / "out" / "finetuning.json").read_text(encoding="utf-8"))
    assert [one["fresh"] for one in first["rows"]] == [False, True]
    assert finetune_study(tmp_path / "tasks", tmp_path / "out", **study) == table
    assert json.loads((tmp_path / "out" / "finetuning.json").read_text(encoding="utf-8"))["rows"] == first["rows"]
    with pytest.raises(ConfigError, match="no task begins with speech; there are drums-v1-full"):
        finetune_study(tmp_path / "tasks", tmp_path / "out", only=("speech",), **study)
