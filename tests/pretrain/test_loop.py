"""What a run writes, reports and refuses."""

from __future__ import annotations

import errno
import gc
import io
import json
import logging
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

import axlstm
from axlstm.cli.pretrain import pretrain as pretrain_command
from axlstm.cli.reconstruct import reconstruct
from axlstm.data.index import write_index
from axlstm.data.reader import LogMelBatch
from axlstm.errors import ConfigError, DataError, TrainingError, WriteError
from axlstm.locks import InUseError
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel, count_parameters
from axlstm.options import ModelChanges
from axlstm.pretrain.config import (
    ObjectiveConfig,
    PretrainConfig,
    PretrainLogConfig,
    ReadingConfig,
    Recipe,
    pretrain_preset,
)
from axlstm.pretrain.loop import pretrain
from axlstm.pretrain.meter import training_flops_per_crop
from axlstm.pretrain.stepper import Stepper, masks_of
from axlstm.training.config import CheckpointConfig, HardwareConfig, OptimiserConfig, ScheduleConfig, differing_fields
from axlstm.training.metrics import read_metrics
from axlstm.training.state import saved_steps
from axlstm.training.stepper import parts_per_step
from axlstm.training.world import World
from tests.pretrain.runs import SMALL, Processes, prepare_sounds, small_config, weights_hash

FINISHED = small_config(
    40,
    optimiser=OptimiserConfig(learning_rate=1e-2, global_batch=8, micro_batch=8, clip_norm=1.0),
    log=PretrainLogConfig(every_steps=1, pictures_every_steps=20),
)
ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def finished(shards, tmp_path_factory):
    """A finished run of 40 steps, and what it returned."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, pretrain(FINISHED, shards, workdir)


def test_the_loss_falls_below_predicting_the_mean(finished):
    _, summary = finished
    assert summary["finished"]
    assert summary["best_validation_loss"] < 0.9 * summary["baseline"]["mean"]
    assert summary["crops"] == 40 * 8


def test_a_run_leaves_metrics_pictures_curve_and_summary(finished):
    workdir, summary = finished
    metrics = read_metrics(workdir)
    losses = [line for line in metrics if "loss" in line]
    assert [line["step"] for line in losses] == list(range(1, 41))
    assert {"learning_rate", "gradient_norm", "crops_per_second", "data_wait_share", "eta_seconds"} <= set(losses[0])
    assert [line["step"] for line in metrics if "validation_loss" in line] == list(range(4, 41, 4))
    for picture in ("loss.png", "reconstructions/step-000000020.png", "reconstructions/step-000000040.png"):
        assert (workdir / picture).read_bytes().startswith(b"\x89PNG")
    written = json.loads((workdir / "summary.json").read_text())
    assert written["validation_loss"] == summary["validation_loss"]
    assert written["config"] == FINISHED.to_dict()


def test_the_last_checkpoints_and_the_best_are_kept_and_load_as_models(finished, tmp_path):
    workdir, summary = finished
    steps = [step for step, _ in saved_steps(workdir / "checkpoints")]
    assert set(steps) == {*steps[-2:], summary["best_step"]}
    assert steps[-1] == 40
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    newest = axlstm.load_model(workdir).embed(noise, sample_rate=16_000)
    again = axlstm.load_model(workdir / "checkpoints" / "step-000000040").embed(noise, sample_rate=16_000)
    np.testing.assert_array_equal(newest.scene, again.scene)
    axlstm.load_model(workdir / "best")
    assert reconstruct(_sound(tmp_path), tmp_path / "picture.png", str(workdir)) == 0
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def _sound(folder):
    from tests.shards.made import write_sound

    return write_sound(folder / "sound.wav", 3.0, 7)


def test_a_finished_run_is_left_as_it_is(finished, shards):
    workdir, summary = finished
    before = weights_hash(workdir)
    again = pretrain(replace(FINISHED, log=PretrainLogConfig(every_steps=5)), shards, workdir)
    assert weights_hash(workdir) == before
    assert {**again, "config": None} == {**summary, "config": None}


def test_a_workdir_of_another_run_is_refused_with_the_differences(finished, shards, tmp_path):
    workdir, _ = finished
    config = replace(FINISHED, seed=3, objective=ObjectiveConfig(mask_ratio=0.75))
    with pytest.raises(TrainingError, match=r"seed: 0 there, 3 here; objective\.mask_ratio: 0\.5 there, 0\.75 here"):
        pretrain(config, shards, workdir)
    config = replace(FINISHED, validation=replace(FINISHED.validation, crops=3))  # another measure of the best
    with pytest.raises(TrainingError, match=r"validation\.crops: \d+ there, 3 here"):
        pretrain(config, shards, workdir)
    other = tmp_path / "shards"
    shutil.copytree(shards, other)
    (tar, *_) = sorted(other.glob("train-*.tar"))
    tar.write_bytes(tar.read_bytes()[:100_000])
    with pytest.raises(TrainingError, match="begun on other data"):
        pretrain(FINISHED, other, workdir)


def test_a_workdir_in_use_is_refused(shards, tmp_path):
    run = Processes(small_config(100_000), shards, tmp_path)
    while not (tmp_path / "metrics.jsonl").exists() and run.started[0].poll() is None:
        pass
    with pytest.raises(InUseError, match=f"in use by process {run.started[0].pid}"):
        pretrain(small_config(100_000), shards, tmp_path)
    run.kill_after(tmp_path, 0, 0.0)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(shards, tmp_path, caplog):
    pretrain(small_config(7), shards, tmp_path)
    newest = saved_steps(tmp_path / "checkpoints")[-1][1]
    whole = weights_hash(tmp_path)
    state = newest / "training_state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        pretrain(small_config(7), shards, tmp_path)
    assert "going back to the checkpoint before it" in caplog.text
    assert weights_hash(tmp_path) == whole


def test_going_back_from_a_damaged_checkpoint_keeps_what_is_saved_then(shards, tmp_path):
    pretrain(small_config(7), shards, tmp_path)
    (_, before), (_, last) = saved_steps(tmp_path / "checkpoints")[-2:]
    damaged = last.rename(before.with_name("step-000000100"))
    (damaged / "training_state.pt").write_bytes(b"")
    pretrain(small_config(7, checkpoints=CheckpointConfig(every_steps=3, keep_last=1)), shards, tmp_path)
    kept = [step for step, _ in saved_steps(tmp_path / "checkpoints")]
    assert kept[-1] == 7


def test_steps_without_a_finite_loss_are_skipped_counted_and_end_the_run(shards, tmp_path, monkeypatch):
    forward = MaskedPatchModel.forward
    calls = []

    def sometimes_nan(self, windows, mask, **options):
        out = forward(self, windows, mask, **options)
        if not torch.is_grad_enabled():
            return out
        calls.append(1)
        bad = len(calls) in (5, 6) or len(calls) > 20  # the third step; and all from the eleventh on
        return out._replace(loss=out.loss * torch.nan) if bad else out

    monkeypatch.setattr(MaskedPatchModel, "forward", sometimes_nan)
    config = replace(small_config(40), most_nonfinite_steps=4)
    with pytest.raises(TrainingError, match=r"4 steps in a row without a finite loss .* 14\."):
        pretrain(config, shards, tmp_path)
    losses = {line["step"]: line["loss"] for line in read_metrics(tmp_path) if "loss" in line}
    assert losses[3] is None
    assert all(losses[step] is not None for step in (1, 2, 4, 10))
    newest, folder = saved_steps(tmp_path / "checkpoints")[-1]
    assert newest == 9
    axlstm.load_model(folder)


@pytest.mark.parametrize(("units", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_the_precision_that_fits_the_processor_is_taken_and_noted(units, precision, shards, tmp_path, monkeypatch):
    monkeypatch.setattr("axlstm.devices.cpu_multiplies_bfloat16", lambda: units)
    hardware = HardwareConfig(device="cpu", threads=1)
    assert hardware.precision == "auto"
    summary = pretrain(small_config(1, hardware=hardware), shards, tmp_path)
    noted = json.loads((tmp_path / "run.json").read_text())["config"]["hardware"]["precision"]
    assert noted == summary["config"]["hardware"]["precision"] == precision


def test_float16_on_a_cpu_is_refused_and_leaves_no_trace(shards, tmp_path):
    hardware = HardwareConfig(device="cpu", precision="float16")
    with pytest.raises(ConfigError, match="expected auto, float32 or bfloat16"):
        pretrain(small_config(1, hardware=hardware), shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.usefixtures("float16_on_the_cpu")
def test_every_precision_learns(shards, tmp_path, precision):
    config = small_config(30, hardware=HardwareConfig(device="cpu", precision=precision, threads=1))
    summary = pretrain(config, shards, tmp_path)
    assert summary["best_validation_loss"] < summary["baseline"]["mean"]
    assert summary["nonfinite_steps"] < 5


@pytest.mark.parametrize(
    "objective",
    [
        ObjectiveConfig(loss="masked"),
        ObjectiveConfig(masking="timestep", mask_ratio=0.3),
        ObjectiveConfig(normalise_targets=True),
    ],
)
def test_every_objective_runs(shards, tmp_path, objective):
    summary = pretrain(small_config(4, objective=objective), shards, tmp_path)
    assert np.isfinite(summary["validation_loss"])
    assert summary["baseline"]["mean"] > 0.5


def test_activation_checkpointing_changes_nothing_but_memory(shards, tmp_path):
    for name, recompute in (("plain", False), ("recomputed", True)):
        hardware = HardwareConfig(device="cpu", precision="float32", threads=1, checkpoint_activations=recompute)
        pretrain(small_config(5, hardware=hardware), shards, tmp_path / name)
    assert weights_hash(tmp_path / "recomputed") == weights_hash(tmp_path / "plain")


def test_workers_change_nothing(shards, tmp_path):
    for workers in (0, 2):
        pretrain(small_config(5, reading=ReadingConfig(workers=workers)), shards, tmp_path / str(workers))
    assert weights_hash(tmp_path / "2") == weights_hash(tmp_path / "0")


def test_shards_of_sound_train_like_shards_of_log_mel(shards, tmp_path):
    sound = prepare_sounds(shards.parent / "sounds", tmp_path / "shards", "audio")
    losses = [
        pretrain(small_config(12), data, tmp_path / name)["validation_loss"]
        for name, data in (("logmel", shards), ("audio", sound))
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_corrupt_record_is_counted_and_training_goes_on(shards, tmp_path, caplog):
    other = tmp_path / "shards"
    shutil.copytree(shards, other)
    (tar, *_) = sorted(other.glob("train-*.tar"))
    content = bytearray(tar.read_bytes())
    content[512:600] = b"\xff" * 88  # the first record's .npy header
    tar.write_bytes(bytes(content))
    with caplog.at_level(logging.WARNING):
        summary = pretrain(small_config(4), other, tmp_path / "run")
    assert summary["finished"]
    assert summary["skipped_records"] > 0
    assert "train-000000.tar, record 0: damaged: its checksum is another one" in caplog.text


@pytest.mark.parametrize(("masked_positions", "warned"), [(False, True), (True, False)])
def test_a_transformer_without_positions_of_hidden_patches_is_warned_of(
    masked_positions, warned, shards, tmp_path, caplog
):
    model = replace(SMALL, family="ssast", masked_positions=masked_positions)
    with caplog.at_level(logging.WARNING):
        pretrain(small_config(1, model=model), shards, tmp_path / "run")
    assert ("predicts the same for all hidden patches" in caplog.text) == warned


def test_masks_do_not_depend_on_how_a_batch_is_split():
    keys = torch.arange(-5, 5)
    whole = masks_of(keys, SMALL, ObjectiveConfig())
    assert torch.equal(whole, torch.cat([masks_of(part, SMALL, ObjectiveConfig()) for part in keys.split(3)]))
    assert (whole.sum(1) == SMALL.tokens // 2).all()
    assert not torch.equal(whole[0], whole[1])


def test_the_global_batch_is_shared_evenly_or_refused():
    def settings(total, most):
        return replace(PretrainConfig(), optimiser=OptimiserConfig(global_batch=total, micro_batch=most))

    assert parts_per_step(settings(1024, 256), 4) == 1
    assert parts_per_step(settings(1024, 256), 1) == 4
    assert parts_per_step(settings(12, 256), 3) == 1
    with pytest.raises(ConfigError, match="not a multiple of the 3 processes"):
        parts_per_step(settings(1024, 256), 3)
    with pytest.raises(ConfigError, match=r"set --optimiser\.micro-batch 2"):
        parts_per_step(settings(10, 4), 1)


def test_clipping_limits_the_update():
    config = small_config(
        4, optimiser=OptimiserConfig(learning_rate=1e-3, global_batch=4, micro_batch=4, clip_norm=1e-9)
    )
    stepper = Stepper(MaskedPatchModel.initialised(SMALL), config, ALONE)
    before = [p.detach().clone() for p in stepper.model.parameters() if p.ndim < 2]
    result = stepper.step(iter([LogMelBatch(torch.randn(4, 200, 80), torch.arange(4), [])]), 1e-3, stop=False)
    assert result.gradient_norm > 1e-3
    after = [p.detach() for p in stepper.model.parameters() if p.ndim < 2]
    # Adam divides by the gradient's own size plus eps = 1e-8: clipped far below that, almost nothing moves.
    assert max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True) if "0" not in str(a.shape)) < 5e-4


def test_mistakes_are_explained(shards, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown model 'axlstm-gigantic'.*axlstm-tiny"):
        pretrain_preset("axlstm-gigantic")
    with pytest.raises(DataError, match="19 records are fewer than one global batch of 1024"):
        pretrain(replace(small_config(), optimiser=OptimiserConfig()), shards, tmp_path / "a")
    with pytest.raises(DataError, match="no such folder"):
        pretrain(small_config(), tmp_path / "nowhere", tmp_path / "b")
    other = tmp_path / "other"
    shutil.copytree(shards, other)
    index = json.loads((other / "index.json").read_text())
    index["frontend"]["hop_samples"] = 320
    write_index(other, index)
    with pytest.raises(DataError, match=r"another front end .hop_samples: 320 there, 160 here"):
        pretrain(small_config(), other, tmp_path / "c")
    with pytest.raises(DataError, match=r"model\.mel_bands=40"):
        pretrain(small_config(model=replace(SMALL, mel_bands=40, patch_bands=8)), shards, tmp_path / "d")
    with pytest.raises(ConfigError, match=r"hardware\.device='tpu'"):
        pretrain(small_config(hardware=HardwareConfig(device="tpu")), shards, tmp_path / "e")
    for wrong in ({"mask_ratio": 1.0}, {"loss": "some"}, {"masking": "none"}):
        with pytest.raises(ConfigError, match="expected"):
            ObjectiveConfig(**wrong)


def test_a_run_that_fails_before_its_first_step_leaves_nothing(shards, tmp_path):
    config = replace(small_config(), optimiser=OptimiserConfig())
    with pytest.raises(DataError, match="fewer than one global batch"):
        pretrain(config, shards, tmp_path / "new" / "run")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("of the user's")
    with pytest.raises(DataError, match="fewer than one global batch"):
        pretrain(config, shards, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "of the user's"


def test_a_second_run_that_is_refused_leaves_the_first_ones_folder(shards, tmp_path):
    refused = []

    def start_another(step, _):
        with pytest.raises(InUseError):
            pretrain(small_config(), shards, tmp_path / "run")
        refused.append(step)

    pretrain(small_config(2, log=PretrainLogConfig(every_steps=1)), shards, tmp_path / "run", start_another)
    assert set(refused) == {1, 2}
    assert [line["step"] for line in read_metrics(tmp_path / "run") if "loss" in line] == [1, 2]


def test_numbers_of_a_run_that_fails_later_stay(shards, tmp_path):
    def fail(step, _):
        if step == 2:
            raise DataError("a failure of the caller")

    with pytest.raises(DataError, match="of the caller"):
        pretrain(small_config(4, log=PretrainLogConfig(every_steps=1)), shards, tmp_path / "run", fail)
    assert [line["step"] for line in read_metrics(tmp_path / "run") if "loss" in line] == [1, 2]


def test_no_shard_stays_open_after_a_run_that_failed(shards, tmp_path):
    def fail(*_):
        raise DataError("a failure of the caller")

    with pytest.raises(DataError) as caught:  # its traceback keeps all that the run knew
        pretrain(small_config(4), shards, tmp_path, fail)
    files = [item for item in gc.get_objects() if type(item) is io.FileIO and not item.closed]
    assert not [file.name for file in files if str(file.name).startswith(str(shards))], caught


def test_a_full_disk_is_explained(shards, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    pretrain(small_config(3), shards, tmp_path / "whole")
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WriteError, match=r"cannot be written .*No space left.*run the same command again"):
        pretrain(small_config(3), shards, tmp_path / "full")
    monkeypatch.undo()
    pretrain(small_config(3), shards, tmp_path / "full")
    assert weights_hash(tmp_path / "full") == weights_hash(tmp_path / "whole")


def test_settings_survive_json_and_differences_are_named():
    config = pretrain_preset("ssast-small")
    assert PretrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    other = replace(config, schedule=ScheduleConfig(steps=5))
    assert differing_fields(config, other) == {"schedule.steps": (None, 5)}
    with pytest.raises(ConfigError, match=r"unknown settings optimiser\.momentum"):
        PretrainConfig.from_dict({"optimiser": {"momentum": 0.9}})


def test_the_command_offers_every_field_of_the_model_that_can_change():
    fixed = {"family", "mel_bands"}
    assert set(ModelChanges.__annotations__) == {f.name for f in fields(ModelConfig)} - fixed


def test_the_command_trains_and_says_where_the_model_is(shards, tmp_path, capsys):
    config = small_config(3)
    status = pretrain_command(
        "axlstm-tiny",
        shards,
        tmp_path,
        model=ModelChanges(depth=1, width=16, heads=2, patch_frames=20),
        recipe=Recipe(
            optimiser=config.optimiser,
            schedule=config.schedule,
            reading=config.reading,
            hardware=config.hardware,
            log=config.log,
        ),
    )
    assert status == 0
    told = capsys.readouterr()
    assert "predicting the mean gives" in told.out
    assert str(tmp_path / "summary.json") in told.out
    assert "data wait" in told.err


@pytest.mark.parametrize("preset", ["axlstm-tiny", "ssast-tiny"])
def test_arithmetic_is_counted_from_the_shapes(preset):
    config = pretrain_preset(preset).model
    with torch.device("meta"):
        parameters = count_parameters(MaskedPatchModel(config))
    flops = training_flops_per_crop(config)
    assert 6 * parameters * config.tokens < flops < 2 * 6 * parameters * config.tokens


def test_tensorboard_and_wandb_without_their_packages_are_explained(shards, tmp_path, monkeypatch):
    import builtins
    import importlib

    real_import, real_module = builtins.__import__, importlib.import_module

    def without(name, *rest, **options):
        if name in ("tensorboard", "torch.utils.tensorboard", "wandb"):
            raise ImportError(name)
        return real_import(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(
        "axlstm.training.metrics.import_module", lambda name: without(name) if name == "wandb" else real_module(name)
    )
    for settings in (PretrainLogConfig(tensorboard=True), PretrainLogConfig(wandb="offline")):
        with pytest.raises(ConfigError, match=r"pip install \"axlstm\[(pretrain|wandb)\]\""):
            pretrain(small_config(2, log=settings), shards, tmp_path / str(settings.tensorboard))
