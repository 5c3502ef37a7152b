"""A fine-tuned folder classifies the same with load_classifier, the Auto class and the pipeline."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline

import axlstm
from axlstm.errors import ConfigError, DamageError
from axlstm.hf import AxLSTMConfig, AxLSTMForAudioClassification
from tests.finetuning.made import save_small_model, small_config

RATE = 16_000
LABELS = ("high", "low", "noise")
POOLINGS = ("mean", "mean+deviation", "attention")


def logits(model: AxLSTMForAudioClassification, folder: Path, sounds: list) -> Tensor:
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        found: Tensor = model(**extractor(sounds, sampling_rate=RATE, return_tensors="pt")).logits
    return found


def rows(found: list[dict[str, float]]) -> np.ndarray:
    return np.array([[one[label] for label in one] for one in found])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_probabilities_are_those_of_load_classifier(pooling: str, runs: dict[str, Path], sounds: list) -> None:
    model = AutoModelForAudioClassification.from_pretrained(runs[pooling])
    assert model.config.labels == LABELS
    assert (model.config.head_pooling, model.config.problem_type) == (pooling, "single_label_classification")
    expected = axlstm.load_classifier(runs[pooling], engine=None).classify_batch(sounds, RATE)
    assert np.abs(logits(model, runs[pooling], sounds).softmax(-1).numpy() - rows(expected)).max() <= 1e-6


def test_the_pipeline_takes_a_folder(runs: dict[str, Path], sounds: list) -> None:
    classify = pipeline("audio-classification", model=str(runs["mean"]))
    expected = axlstm.load_classifier(runs["mean"], engine=None).classify_batch(sounds, RATE)
    for found in (classify(sounds), classify(sounds, batch_size=3)):
        for told, one in zip(found, expected, strict=True):
            assert {row["label"]: row["score"] for row in told} == pytest.approx(one, abs=1e-5)


def test_clips_of_unequal_lengths_score_as_alone(runs: dict[str, Path], sounds: list) -> None:
    model = AutoModelForAudioClassification.from_pretrained(runs["attention"])
    together = logits(model, runs["attention"], sounds)
    alone = torch.cat([logits(model, runs["attention"], [one]) for one in sounds])
    assert (together - alone).abs().max() <= 1e-5


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, labelled: Path) -> dict[str, Path]:
    """A run of each other kind: several labels, events, a number."""
    folder = tmp_path_factory.mktemp("others")
    base = save_small_model(folder / "base")
    names = sorted(path.relative_to(labelled) for path in labelled.rglob("*.wav"))
    tables = {
        "multilabel": [
            ("path", "label"),
            *((str(n), "high;tone" if n.parent.name == "high" else n.parent.name) for n in names),
        ],
        "events": [("path", "label", "start_ms", "end_ms"), *((str(n), str(n.parent), 50, 250) for n in names)],
        "regression": [("path", "value"), *((str(n), 5 * LABELS.index(str(n.parent)) + int(n.stem)) for n in names)],
    }
    runs = {}
    for kind, table in tables.items():
        with (labelled / f"{kind}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(table)
        runs[kind] = folder / kind
        axlstm.finetune(base, labelled / f"{kind}.csv", runs[kind], small_config(1))
    return runs


@pytest.mark.parametrize("kind", ["multilabel", "events", "regression"])
def test_every_kind_gives_the_numbers_of_load_classifier(
    kind: str, others: dict[str, Path], sounds: list, tmp_path: Path
) -> None:
    model = AutoModelForAudioClassification.from_pretrained(others[kind])
    found = logits(model, others[kind], sounds)
    expected = rows(axlstm.load_classifier(others[kind], engine=None).classify_batch(sounds, RATE))
    found = found if kind == "regression" else found.sigmoid()
    assert np.abs(found.numpy() - expected).max() <= 1e-5 * np.abs(expected).max()
    model.save_pretrained(tmp_path)
    for name in ("classifier.json", "head.safetensors", "model.safetensors"):
        assert (tmp_path / name).read_bytes() == (others[kind] / name).read_bytes()


def test_a_fresh_head_says_nothing_yet(folder: Path, sounds: list) -> None:
    model = AutoModelForAudioClassification.from_pretrained(folder, id2label=dict(enumerate(LABELS)))
    assert not logits(model, folder, sounds).any()
    assert model.classifier.deviation.tolist() == [1.0] * model.config.hidden_size


def test_a_head_that_was_trained_is_read_by_load_classifier(folder: Path, sounds: list, tmp_path: Path) -> None:
    model = AutoModelForAudioClassification.from_pretrained(
        folder, id2label=dict(enumerate(LABELS)), head_pooling="mean+deviation"
    )
    torch.manual_seed(0)
    with torch.no_grad():
        model.classifier.linear.weight.normal_()
    model.save_pretrained(tmp_path)
    found = axlstm.load_classifier(tmp_path, engine=None).classify_batch(sounds, RATE)
    assert np.abs(logits(model, folder, sounds).softmax(-1).numpy() - rows(found)).max() <= 1e-5
    card = json.loads((tmp_path / "classifier.json").read_text())["card"]
    assert card["made_by"] == "axlstm.hf"


def test_a_changed_classifier_loses_the_scores_it_was_judged_with(runs: dict[str, Path], tmp_path: Path) -> None:
    model = AutoModelForAudioClassification.from_pretrained(runs["mean"])
    with torch.no_grad():
        model.encoder.norm.bias[0] += 0.5
    model.save_pretrained(tmp_path)
    before, after = (json.loads((folder / "classifier.json").read_text()) for folder in (runs["mean"], tmp_path))
    assert before["card"]["scores"]
    assert "scores" not in after["card"]
    assert after["slope"] == before["slope"]
    assert axlstm.load_classifier(tmp_path, engine=None).labels == LABELS


@pytest.mark.parametrize(
    ("labels", "problem_type", "loss"),
    [
        (torch.tensor([0, 1, 2]), "single_label_classification", np.log(3)),
        (torch.tensor([[1.0, 0, 0]] * 3), "multi_label_classification", np.log(2)),
    ],
)
def test_the_loss_goes_by_the_labels(
    folder: Path, sounds: list, labels: Tensor, problem_type: str, loss: float
) -> None:
    model = AutoModelForAudioClassification.from_pretrained(folder, num_labels=3)
    given = AutoFeatureExtractor.from_pretrained(folder)(sounds, sampling_rate=RATE, return_tensors="pt")
    assert model(**given, labels=labels).loss.item() == pytest.approx(loss)
    assert model.config.problem_type == problem_type


def test_a_classifier_without_labels_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"a model that embeds and has no labels: give id2label= .* AutoModel"):
        AutoModelForAudioClassification.from_pretrained(folder)
    with pytest.raises(ConfigError, match="no labels: give id2label="):
        AxLSTMForAudioClassification(AxLSTMConfig())


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (("high", "low", "owl"), "in the folder alone noise; asked for alone owl"),
        (("low", "high", "noise"), "the same ones in another order"),
    ],
)
def test_other_labels_are_named(runs: dict[str, Path], labels: tuple[str, ...], told: str) -> None:
    asked = {"id2label": dict(enumerate(labels))}
    with pytest.raises(ConfigError, match=told):
        AutoModelForAudioClassification.from_pretrained(runs["mean"], **asked)
    model = AutoModelForAudioClassification.from_pretrained(runs["mean"], **asked, ignore_mismatched_sizes=True)
    assert model.config.labels == labels
    assert not model.classifier.linear.weight.any()


def test_another_encoder_beside_the_head_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    save_small_model(tmp_path)
    for name in ("classifier.json", "head.safetensors"):
        (tmp_path / name).write_bytes((runs["mean"] / name).read_bytes())
    with pytest.raises(ConfigError, match="not the encoder that the classifier was trained with"):
        AutoModelForAudioClassification.from_pretrained(tmp_path)


def test_a_damaged_head_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "classifier.json", "head.safetensors"):
        (tmp_path / name).write_bytes((runs["mean"] / name).read_bytes())
    content = bytearray((tmp_path / "head.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "head.safetensors").write_bytes(content)
    with pytest.raises(DamageError, match=r"head.safetensors: damaged"):
        AutoModelForAudioClassification.from_pretrained(tmp_path)
