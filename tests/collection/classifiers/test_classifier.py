"""A classifier scores as its layers say, comes back from its folder as it was, and damage is told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axlstm.checkpoints.description import seal_weights
from axlstm.collection.classifiers.classifier import DESCRIPTION, HEAD, Classifier, Layer, load_classifier
from axlstm.collection.folder import EncoderEntry
from axlstm.errors import ConfigError, DamageError, DataError
from axlstm.seals import seal_object
from tests.collection.vectors import make_collection

ENCODER = EncoderEntry(0, "made", "nowhere", "abc", 8, 2.0, 1.0, {})


def make_classifier(seed: int = 0, hidden: int | None = None, **changes: Any) -> Classifier:
    rng = np.random.default_rng(seed)
    sizes = [8, *([hidden] if hidden else []), 2]
    layers = tuple(
        Layer(rng.normal(size=(after, before)).astype(np.float32), rng.normal(size=after).astype(np.float32))
        for before, after in pairwise(sizes)
    )
    made = Classifier(
        labels=("wren", "robin"),
        mode="multilabel",
        encoder=ENCODER,
        mean=rng.normal(size=8).astype(np.float32),
        deviation=np.array([1, 2, 0.5, 1, 1, 1, 3, np.inf], np.float32),
        layers=layers,
        slope=np.array([1.5, 0.5]),
        offset=np.array([-1.0, 0.25]),
        thresholds=np.array([0.5, 0.75]),
        card={"windows": 12, "note": "é"},
    )
    return replace(made, **changes)


def test_probabilities_are_those_of_the_layers() -> None:
    classifier = make_classifier(hidden=5)
    vectors = np.random.default_rng(1).normal(size=(9000, 8)).astype(np.float16)  # more than a block
    first, second = classifier.layers
    hidden = ((vectors.astype(np.float32) - classifier.mean) / classifier.deviation) @ first.weight.T + first.bias
    scores = hidden.clip(min=0) @ second.weight.T + second.bias
    np.testing.assert_allclose(classifier.scores(vectors), scores, rtol=1e-5, atol=1e-5)
    expected = 1 / (1 + np.exp(-(classifier.slope * scores + classifier.offset)))
    np.testing.assert_allclose(classifier.probabilities(vectors), expected, atol=1e-5)


def test_a_dimension_of_infinite_deviation_has_no_say() -> None:
    vectors = np.zeros((2, 8), np.float16)
    vectors[1, 7] = 1000
    assert np.ptp(make_classifier().scores(vectors), axis=0).tolist() == [0, 0]


def test_of_classes_one_is_heard_and_none_if_there_is_a_background() -> None:
    vectors = np.random.default_rng(1).normal(size=(5, 8))
    classes = make_classifier(mode="multiclass")
    np.testing.assert_allclose(classes.probabilities(vectors).sum(axis=1), 1)
    with_none = make_classifier(mode="multiclass", background=True).probabilities(vectors)
    assert (with_none.sum(axis=1) < 1).all()
    values = np.exp(classes.slope * classes.scores(vectors) + classes.offset)
    np.testing.assert_allclose(with_none, values / (1 + values.sum(axis=1, keepdims=True)), rtol=1e-5)


def test_a_vector_of_no_numbers_has_no_probability_and_others_keep_theirs() -> None:
    classifier = make_classifier(hidden=3)
    vectors = np.ones((3, 8), np.float16)
    vectors[1, 2] = np.nan
    found = classifier.probabilities(vectors)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()


def test_vectors_of_another_size_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"vectors of shape \(2, 7\): expected \(n, 8\)"):
        make_classifier().scores(np.zeros((2, 7)))


@pytest.mark.parametrize("changes", [{}, {"hidden": 4}, {"mode": "multiclass", "background": True}])
def test_a_classifier_comes_back_from_its_folder(tmp_path: Path, changes: dict[str, Any]) -> None:
    classifier = make_classifier(**changes)
    classifier.save(tmp_path / "wren.model", {"report.html": b"<p>"})
    assert {path.name for path in (tmp_path / "wren.model").iterdir()} == {DESCRIPTION, HEAD, "report.html"}
    again = load_classifier(tmp_path / "wren.model")
    vectors = np.random.default_rng(2).normal(size=(4, 8))
    np.testing.assert_array_equal(again.probabilities(vectors), classifier.probabilities(vectors))
    for name in ("labels", "mode", "encoder", "card", "background"):
        assert getattr(again, name) == getattr(classifier, name)
    np.testing.assert_array_equal(again.thresholds, classifier.thresholds)


def test_equal_classifiers_are_equal_bytes_and_nothing_is_overwritten(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_classifier().save(tmp_path / name)
    for file in (DESCRIPTION, HEAD):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    with pytest.raises(ConfigError, match="there already"):
        make_classifier(1).save(tmp_path / "a")
    assert load_classifier(tmp_path / "a").mean.tolist() == make_classifier().mean.tolist()


def _edit(folder: Path, **changes: Any) -> None:
    """Change the description as somebody would who knows how to seal it."""
    about = json.loads((folder / DESCRIPTION).read_text())
    del about["crc32"]
    (folder / DESCRIPTION).write_text(json.dumps(seal_object({**about, **changes})))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_classifier(hidden=3).save(tmp_path / "wren.model")
    return tmp_path / "wren.model"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels": []}, "0 labels"),
        ({"labels": ["wren", "wren "]}, "two labels of one name"),
        ({"labels": ["wren", 3]}, "expected 1 to 10000 names"),
        ({"labels": ["wren", "a\nb"]}, "cannot be shown"),
        ({"labels": ["wren"]}, "layers from 8 to 2, expected 8 to 1"),
        ({"mode": "both"}, "mode='both'"),
        ({"background": 1}, "background is 1"),
        ({"sizes": [8, 10**9, 2]}, "sizes of layers"),
        ({"sizes": [8, 4, 2]}, "arrays of other names or shapes"),
        ({"sizes": [8, *[2] * 20]}, "sizes of layers"),
        ({"slope": [1.0, float("inf")]}, "slope: expected 2 numbers"),
        ({"slope": [10**350, 1]}, "too large|expected 2 numbers"),
        ({"offset": [1.0]}, "offset: expected 2 numbers"),
        ({"offset": [[], {}]}, "offset: expected 2 numbers"),
        ({"thresholds": [0.5, 1.5]}, "no probabilities"),
        ({"card": []}, "card is list"),
        ({"encoder": {}}, "name is missing"),
        ({"encoder": {**vars(ENCODER), "hop_s": 0.0}}, "hop_s"),
        ({"encoder": {**vars(ENCODER), "size": 9}}, "layers from 8 to 2, expected 9"),
        ({"head_crc32": "00000000"}, "not the one that"),
    ],
)
def test_a_description_of_what_no_classifier_is_is_told(folder: Path, changes: dict[str, Any], told: str) -> None:
    _edit(folder, **changes)
    with pytest.raises(DamageError, match=told):
        load_classifier(folder)


def test_other_versions_and_other_folders_are_told(folder: Path, tmp_path: Path) -> None:
    _edit(folder, version=2)
    with pytest.raises(DataError, match=r"version 2.*install a newer axlstm"):
        load_classifier(folder)
    with pytest.raises(DataError, match="no classifier"):
        load_classifier(tmp_path)
    with pytest.raises(DataError, match="no classifier"):
        load_classifier(folder / HEAD)


def test_a_changed_byte_is_told(folder: Path) -> None:
    for name in (DESCRIPTION, HEAD):
        content = (folder / name).read_bytes()
        for place in range(0, len(content), 7):
            (folder / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(DamageError, match=name):
                load_classifier(folder)
        (folder / name).write_bytes(content)
    load_classifier(folder)
    (folder / HEAD).unlink()
    with pytest.raises(DamageError, match="not there"):
        load_classifier(folder)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("1.bias", np.nan, "1.bias with values"), ("deviation", 0.0, "not above 0"), ("mean", np.inf, "mean with values")],
)
def test_values_that_no_classifier_has_are_told(folder: Path, name: str, value: float, told: str) -> None:
    from safetensors.numpy import load_file, save

    from axlstm.seals import crc_of_path

    arrays = load_file(folder / HEAD)
    arrays[name][0] = value
    (folder / HEAD).write_bytes(seal_weights(save(arrays, {"format": "np"})))
    _edit(folder, head_crc32=crc_of_path(folder / HEAD))
    with pytest.raises(DamageError, match=told):
        load_classifier(folder)


def test_the_windows_of_a_collection_are_those_of_the_same_encoder(tmp_path: Path) -> None:
    classifier = make_classifier()
    with make_collection(tmp_path / "c", tmp_path / "sounds") as collection:
        assert classifier.entry_in(collection) == collection.encoder()
        for change in ({"fingerprint": "abd"}, {"hop_s": 2.0}):
            other = replace(classifier, encoder=replace(ENCODER, **change))
            with pytest.raises(ConfigError, match=r"no windows of the classifier's encoder.*made: 2 s every 1 s"):
                other.entry_in(collection)


def test_a_classifier_does_not_choose_what_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("raise AssertionError\n", encoding="utf-8")
    for source in ("evil.py", "module:evil", "./evil.py@weights"):
        with pytest.raises(ConfigError, match=r"Python module.*give it as the model"):
            make_classifier(encoder=replace(ENCODER, source=source)).load_encoder()


def test_an_encoder_is_loaded_again_and_another_one_is_refused(tmp_path: Path, model: str) -> None:
    from axlstm.collection.loading import load_window_encoder
    from axlstm.embed.windows import Windows
    from tests.collection.made import save_model

    moved = tmp_path / "moved"
    shutil.copytree(model, moved)
    note = load_window_encoder(model, Windows(2.0, 1.0), name="made").note
    entry = replace(ENCODER, source=str(tmp_path / "gone"), fingerprint=note.fingerprint, size=note.size)
    classifier = make_classifier(encoder=entry)
    with pytest.raises(ConfigError, match="name the model that the classifier was trained with"):
        classifier.load_encoder()
    assert classifier.load_encoder(model=str(moved)).note.fingerprint == note.fingerprint
    other = save_model(tmp_path / "other", seed=2)
    with pytest.raises(ConfigError, match="not the model that the classifier was trained with"):
        classifier.load_encoder(model=str(other))
