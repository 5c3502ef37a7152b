"""A run from clips to a folder that embeds, classifies, detects and is exported."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
from axlstm.cli import main
from axlstm.collection.classifiers.classifier import load_classifier
from axlstm.collection.detections.run import detect
from axlstm.errors import ConfigError, DataError, TrainingError
from axlstm.finetuning.clips import targets_of
from axlstm.finetuning.config import AdaptConfig, AugmentConfig, HeadConfig, StoppingConfig, ThresholdConfig
from axlstm.finetuning.run import finetune
from axlstm.finetuning.sources import read_clips
from axlstm.training.metrics import read_metrics
from tests.finetuning.made import LABELS, small_config, sound


@pytest.fixture(scope="module")
def run(model: Path, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    finetune(model, clips / "table.csv", out, small_config(8, head=HeadConfig(begin="zeros")))
    return out


def test_a_run_learns_and_says_how_well(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert summary["scores"]["top1_acc"][0] > 0.8
    scores = [line["validation_score"] for line in read_metrics(run) if "validation_score" in line]
    assert scores[0] < max(scores) == summary["validation_score"]
    page = (run / "report.html").read_text(encoding="utf-8")
    for part in ("top1_acc", "frozen encoder", "Confusions", "Calibration", "Worst errors", "<audio"):
        assert part in page


def test_the_folder_embeds_and_classifies_with_one_encoder(run: Path, clips: Path) -> None:
    embedder, classifier = axlstm.load_model(run), axlstm.load_classifier(run)
    assert classifier.labels == LABELS
    paths = [clips / label / "0.wav" for label in LABELS]
    vectors = np.stack([embedder.embed(path).scene for path in paths])
    found = classifier.classify_batch(paths)
    expected = load_classifier(run).probabilities(vectors)
    assert np.allclose([list(one.values()) for one in found], expected, atol=1e-6)
    assert [max(one, key=lambda label: one[label]) for one in found] == list(LABELS)
    assert sum(found[0].values()) == pytest.approx(1)


def test_it_hears_labels_in_a_recording_as_detect_does(run: Path, tmp_path: Path) -> None:
    import soundfile

    parts = [sound(label, 3.0, seed) for seed, label in enumerate(("high", "noise", "low"))]
    soundfile.write(tmp_path / "long.wav", np.concatenate(parts), 16_000)
    events = axlstm.load_classifier(run).events(tmp_path / "long.wav")
    detect(run, [tmp_path / "long.wav"], tmp_path / "found.csv")
    with (tmp_path / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], float(row["start_s"])) for row in rows] == [
        (event.label, pytest.approx(event.start_s, abs=1e-3)) for event in events
    ]
    assert len({event.label for event in events}) > 1


def test_the_folder_may_move(run: Path, clips: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "moved")
    assert json.loads((run / "classifier.json").read_text())["encoder"]["source"] == "."
    path = clips / "high" / "1.wav"
    assert axlstm.load_classifier(tmp_path / "moved").classify(path) == axlstm.load_classifier(run).classify(path)


def test_a_finished_run_stays_as_it_is(run: Path, model: Path, clips: Path) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.suffix != ".holder"}
    finetune(model, clips / "table.csv", run, small_config(8, head=HeadConfig(begin="zeros")))
    assert {name: (run / name).read_bytes() for name in before} == before


def test_a_probe_is_where_training_begins(model: Path, clips: Path, tmp_path: Path) -> None:
    summary = finetune(model, clips / "table.csv", tmp_path / "run", small_config(1))
    first = next(line for line in read_metrics(tmp_path / "run") if "validation_score" in line)
    assert first["step"] == 0
    assert first["validation_score"] > 0.5
    assert summary["validation_score"] >= first["validation_score"]


RECIPES = {
    "attention": {"head": HeadConfig(pooling="attention", dropout=0.1, label_smoothing=0.1, rate=3.0)},
    "deviation": {"head": HeadConfig(pooling="mean+deviation", balance="weights")},
    "low rank": {"adapt": AdaptConfig(low_rank=2)},
    "average": {"adapt": AdaptConfig(ema=0.9, drop_path=0.2, frozen_steps=2)},
    "changes": {
        "augment": AugmentConfig(mixup=0.5, masks=0.5, gain=0.5, shift=0.5),
        "head": HeadConfig(balance="sampling"),
        "thresholds": ThresholdConfig(precision=0.9),
    },
    "fresh": {"adapt": AdaptConfig(fresh=True)},
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_leaves_what_can_be_used(name: str, model: Path, clips: Path, tmp_path: Path) -> None:
    background = shutil.copytree(clips / "noise", tmp_path / "background") if name == "changes" else None
    config = small_config(1, **RECIPES[name])
    if background is not None:
        config = replace(config, augment=replace(config.augment, background=str(background)))
    finetune(model, clips / "table.csv", tmp_path / "run", config)
    before = axlstm.load_model(model).model.encoder.state_dict()
    after = axlstm.load_model(tmp_path / "run").model.encoder.state_dict()
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert "blocks.1.layer.up.weight" in changed
    if name == "low rank":
        assert {key.rpartition(".")[0].rpartition(".")[2] for key in changed} == {"up", "down"}
    found = axlstm.load_classifier(tmp_path / "run").classify(clips / "low" / "2.wav")
    assert set(found) == set(LABELS)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["finished"]


def test_training_ends_when_the_score_rises_no_more(model: Path, clips: Path, tmp_path: Path) -> None:
    from axlstm.training.config import OptimiserConfig

    still = OptimiserConfig(learning_rate=1e-12, global_batch=4, micro_batch=4)
    config = small_config(50, stopping=StoppingConfig(patience=2), optimiser=still)
    summary = finetune(model, clips / "table.csv", tmp_path / "run", config)
    assert summary["stopped_early"]
    assert summary["steps"] < 30


def test_folders_that_are_named_by_label_need_no_table(model: Path, clips: Path, tmp_path: Path) -> None:
    shutil.copytree(clips, tmp_path / "sounds", ignore=shutil.ignore_patterns("*.csv"))
    out = tmp_path / "run"
    words = ["finetune", str(model), "--data", str(tmp_path / "sounds"), "-o", str(out), "--hardware.threads", "1"]
    assert main([*words, "--schedule.epochs", "1", "--optimiser.global-batch", "4"]) == 0
    assert axlstm.load_classifier(out).labels == LABELS


def multilabel_table(folder: Path) -> Path:
    """High and low of one place in one file, some without any label, and splits."""
    import soundfile

    rows = [("path", "label", "split")]
    for number in range(18):
        labels = [label for place, label in enumerate(("high", "low")) if number >> place & 1]
        made = sum((sound(label, 0.6, number) for label in labels), start=sound("noise", 0.6, number))
        soundfile.write(folder / f"{number}.wav", made, 16_000)
        split = ("train", "train", "train", "valid", "test")[number // 4]
        rows.append((f"{number}.wav", ";".join(labels) or ";", split))
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "table.csv"


def test_several_labels_of_a_clip(model: Path, tmp_path: Path) -> None:
    table = multilabel_table(tmp_path)
    summary = finetune(model, table, tmp_path / "run", small_config(2, head=HeadConfig(balance="weights")))
    assert summary["score"] == "mAP"
    found = axlstm.load_classifier(tmp_path / "run").classify(tmp_path / "3.wav")
    assert set(found) == {"high", "low"}
    assert all(0 <= value <= 1 for value in found.values())
    with pytest.raises(DataError, match=r"kind=multiclass, but .*\.wav has [02] labels"):
        finetune(model, table, tmp_path / "other", small_config(1, kind="multiclass"))


def test_a_classifier_is_trained_further_and_refuses_other_labels(
    run: Path, clips: Path, tmp_path: Path, model: Path
) -> None:
    summary = finetune(run, clips / "table.csv", tmp_path / "more", small_config(1, head=HeadConfig(begin="model")))
    first = next(line for line in read_metrics(tmp_path / "more") if "validation_score" in line)
    assert first["validation_score"] == json.loads((run / "summary.json").read_text())["validation_score"]
    assert summary["finished"]
    renamed = tmp_path / "renamed.csv"
    renamed.write_text((clips / "table.csv").read_text().replace(",noise,", ",hiss,"))
    for label in LABELS:
        shutil.copytree(clips / label, tmp_path / label)
    with pytest.raises(TrainingError, match=r"in the classifier alone noise; in the data alone hiss"):
        finetune(run, renamed, tmp_path / "other", small_config(1, head=HeadConfig(begin="model")))
    with pytest.raises(ConfigError, match="has no head of labels"):
        finetune(model, clips / "table.csv", tmp_path / "none", small_config(1, head=HeadConfig(begin="model")))


def test_a_loss_that_is_no_number_ends_the_run(
    model: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("axlstm.finetuning.stepper.losses_of", lambda scores, *_: scores.sum(dim=-1) * torch.nan)
    with (
        pytest.raises(TrainingError, match=r"3 steps in a row without a finite loss"),
        caplog.at_level(logging.WARNING),
    ):
        finetune(model, clips / "table.csv", tmp_path / "run", small_config(3, most_nonfinite_steps=3))
    assert axlstm.load_classifier(tmp_path / "run").labels == LABELS  # the probe that it began with


def test_an_encoder_is_no_classifier(model: Path) -> None:
    with pytest.raises(DataError, match=r"a model that embeds and has no labels .*axlstm finetune gives it some"):
        axlstm.load_classifier(model)


def test_a_collection_with_labels(model: Path, clips: Path, tmp_path: Path) -> None:
    from axlstm.collection.collection import create

    verdicts = tmp_path / "labels.csv"
    lines = ["path,label,verdict"]
    for label in ("high", "low"):
        lines += [f"high/{n}.wav,{label},{'yes' if label == 'high' else 'no'}" for n in range(8)]
        lines += [f"low/{n}.wav,{label},{'yes' if label == 'low' else 'no'}" for n in range(6)]
    verdicts.write_text("\n".join(lines) + "\n")
    with create(tmp_path / "tones.collection", clips) as collection:
        collection.index([clips / "high", clips / "low"], model=str(model), window_s=1.0)
    assert main(["label", "import", str(tmp_path / "tones.collection"), str(verdicts)]) == 0
    read = read_clips(tmp_path / "tones.collection")
    assert read.kind == "multilabel"
    assert read.labels == ("high", "low")
    targets = targets_of(read.clips, "multilabel", 2)
    assert np.isfinite(targets).all()
    assert targets.sum(axis=0).tolist() == [8.0, 6.0]
    summary = finetune(model, tmp_path / "tones.collection", tmp_path / "run", small_config(1))
    assert summary["labels"] == ["high", "low"]


def test_every_fold_is_tested_by_a_model_that_never_saw_it(model: Path, clips: Path, tmp_path: Path) -> None:
    few = clips / "few.csv"
    few.write_text("\n".join((clips / "table.csv").read_text().splitlines()[:10]) + "\n")  # of three groups
    words = ["finetune", str(model), "--data", str(few), "-o", str(tmp_path / "run"), "--every-fold"]
    words += ["--hardware.threads", "1", "--hardware.precision", "float32"]
    assert main([*words, "--schedule.epochs", "0.5", "--optimiser.global-batch", "4"]) == 0
    result = json.loads((tmp_path / "run" / "folds.json").read_text())
    assert result["folds"] == 3
    assert len(result["of_folds"]["top1_acc"]) == 3
    tested: list[str] = []
    for fold in range(3):
        with (tmp_path / "run" / f"fold-{fold}" / "predictions.csv").open(newline="") as file:
            tested += [row["path"] for row in csv.DictReader(file)]
    assert len(tested) == len(set(tested)) == 9
    assert 0 <= result["scores"]["top1_acc"][0] <= 1
