"""transformers' Trainer fine-tunes the models, and resumes what was interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

import axlstm
from tests.finetuning.made import LABELS, sound

RATE = 16_000


def rows(folder: Path, numbers: range) -> list[dict[str, Any]]:
    """Clips of 0.3 to 1.1 s as Trainer takes them: features and the number of a label."""
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    made = []
    for number in numbers:
        clip = sound(LABELS[number % 3], 0.3 + 0.1 * (number % 9), number)
        features = extractor(clip, sampling_rate=RATE)["input_values"][0]
        made.append({"input_values": features, "label": number % 3})
    return made


def accuracy(judged: Any) -> dict[str, float]:
    return {"accuracy": float((judged.predictions.argmax(-1) == judged.label_ids).mean())}


def make_trainer(folder: Path, out: Path, **changes: Any) -> Trainer:
    torch.manual_seed(0)
    model = AutoModelForAudioClassification.from_pretrained(folder, id2label=dict(enumerate(LABELS)))
    settings: dict[str, Any] = {
        "output_dir": str(out),
        "per_device_train_batch_size": 6,
        "learning_rate": 3e-3,
        "num_train_epochs": 4,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "use_cpu": True,
    }
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    return Trainer(
        model,
        TrainingArguments(**{**settings, **changes}),
        train_dataset=rows(folder, range(36)),
        eval_dataset=rows(folder, range(36, 54)),
        processing_class=extractor,
        data_collator=DataCollatorWithPadding(extractor),
        compute_metrics=accuracy,
    )


def test_it_learns_and_what_it_saves_is_a_classifier(folder: Path, tmp_path: Path) -> None:
    trainer = make_trainer(folder, tmp_path / "out")
    before = trainer.evaluate()["eval_accuracy"]
    trainer.train()
    after = trainer.evaluate()["eval_accuracy"]
    assert before < 0.5
    assert after >= 0.9
    trainer.save_model(tmp_path / "saved")
    classifier = axlstm.load_classifier(tmp_path / "saved")
    clips = [sound(LABELS[number % 3], 0.5, 1000 + number) for number in range(12)]
    found = classifier.classify_batch(clips, RATE)
    right = [max(one, key=lambda label: one[label]) == LABELS[number % 3] for number, one in enumerate(found)]
    assert np.mean(right) >= 0.9


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(folder: Path, tmp_path: Path) -> None:
    whole = make_trainer(folder, tmp_path / "whole")
    whole.train()
    resumed = make_trainer(folder, tmp_path / "resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-12"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_the_best_checkpoint_is_taken_up_with_its_head(folder: Path, tmp_path: Path) -> None:
    trainer = make_trainer(
        folder, tmp_path, load_best_model_at_end=True, metric_for_best_model="eval_loss", num_train_epochs=2
    )
    trainer.train()
    best = Path(trainer.state.best_model_checkpoint)
    expected = AutoModelForAudioClassification.from_pretrained(best).state_dict()
    assert expected["classifier.linear.weight"].any()
    assert all(torch.equal(trainer.model.state_dict()[name], value) for name, value in expected.items())


@pytest.mark.parametrize("changes", [{"bf16": True}, {"activation_checkpointing": True}])
def test_its_switches(folder: Path, tmp_path: Path, changes: dict[str, bool]) -> None:
    trainer = make_trainer(folder, tmp_path, num_train_epochs=1, **changes)
    losses = [row["loss"] for row in _train(trainer) if "loss" in row]
    assert losses
    assert all(np.isfinite(losses))


def _train(trainer: Trainer) -> list[dict[str, float]]:
    trainer.args.logging_steps = 1
    trainer.train()
    history: list[dict[str, float]] = trainer.state.log_history
    return history


def test_a_run_of_axlstm_is_trained_further(runs: dict[str, Path], tmp_path: Path) -> None:
    trainer = make_trainer(runs["mean"], tmp_path, num_train_epochs=2)
    assert trainer.model.config.classifier is not None
    trainer.train()
    trainer.save_model(tmp_path / "saved")
    card = json.loads((tmp_path / "saved" / "classifier.json").read_text())["card"]
    assert card["made_by"] == "axlstm.hf"
    assert trainer.evaluate()["eval_accuracy"] >= 0.9


def test_a_head_begins_with_the_probe_of_the_encoder(folder: Path, tmp_path: Path) -> None:
    trainer = make_trainer(folder, tmp_path)
    before = trainer.evaluate()["eval_loss"]
    losses = trainer.model.fit_head(trainer.get_train_dataloader(), trainer.get_eval_dataloader())
    after = trainer.evaluate()
    assert after["eval_loss"] == pytest.approx(min(losses.values()), rel=1e-3)
    assert after["eval_loss"] < 0.5 * before
    assert after["eval_accuracy"] >= 0.9


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification"])
def test_accumulated_batches_make_the_steps_of_whole_ones(folder: Path, tmp_path: Path, problem_type: str) -> None:
    weights = []
    for batch, steps in ((6, 1), (2, 3)):
        changes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps}
        trainer = make_trainer(folder, tmp_path, optim="sgd", max_grad_norm=0.0, num_train_epochs=1, **changes)
        trainer.args.eval_strategy = trainer.args.save_strategy = "no"
        trainer.model.config.problem_type = problem_type
        if problem_type == "multi_label_classification":
            for row in trainer.train_dataset:
                row["label"] = np.eye(3, dtype=np.float32)[row["label"]]
        trainer.train()
        weights.append(trainer.model.state_dict())
    start = AutoModelForAudioClassification.from_pretrained(folder, num_labels=3).state_dict()
    moved = (weights[0]["classifier.linear.weight"] - start["classifier.linear.weight"]).abs().max()
    for name, value in weights[0].items():
        assert (weights[1][name] - value).abs().max() <= 1e-3 * moved, name
