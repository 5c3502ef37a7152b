"""A classifier on the disk gets other thresholds, and keeps its curves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from axlstm.collection.classifiers.classifier import DESCRIPTION, load_classifier
from axlstm.collection.classifiers.curves import CURVES, read_curves
from axlstm.collection.classifiers.kept import find_kept, list_kept, new_place
from axlstm.collection.classifiers.thresholds import set_thresholds
from axlstm.collection.collection import Collection
from axlstm.errors import ConfigError, DamageError
from tests.collection.classifiers.made import label_birds, make_birds


@pytest.fixture
def birds(tmp_path: Path) -> Iterator[Collection]:
    with make_birds(tmp_path) as made:
        label_birds(made, 8)
        yield made


def test_thresholds_are_changed_and_nothing_else(birds: Collection, tmp_path: Path) -> None:
    before = birds.train(["wren", "robin"], tmp_path / "birds.model")
    changed = set_thresholds(tmp_path / "birds.model", {"robin": 0.125})
    assert changed.thresholds.tolist() == [before.thresholds[0], 0.125]
    again = load_classifier(tmp_path / "birds.model")
    assert again.thresholds.tolist() == changed.thresholds.tolist()
    assert again.card == before.card
    vectors = np.random.default_rng(0).normal(size=(20, before.encoder.size))
    assert np.array_equal(again.probabilities(vectors), before.probabilities(vectors))
    for wrong in ({"owl": 0.5}, {"wren": -0.1}, {"wren": 1.1}, {"wren": float("nan")}):
        with pytest.raises(ConfigError):
            set_thresholds(tmp_path / "birds.model", wrong)
    assert load_classifier(tmp_path / "birds.model").thresholds.tolist() == changed.thresholds.tolist()
    about = json.loads((tmp_path / "birds.model" / DESCRIPTION).read_text("utf-8"))
    (tmp_path / "birds.model" / DESCRIPTION).write_text(json.dumps({**about, "thresholds": [0.1, 0.1]}), "utf-8")
    with pytest.raises(DamageError):
        set_thresholds(tmp_path / "birds.model", {"wren": 0.5})


def test_curves_are_kept_sealed_beside_a_classifier(birds: Collection, tmp_path: Path) -> None:
    trained = birds.train("wren", tmp_path / "wren.model")
    curves = read_curves(tmp_path / "wren.model")
    assert curves is not None
    about = curves["labels"]["wren"]
    assert about["average_precision"] == pytest.approx(trained.card["labels"]["wren"]["average_precision"], abs=1e-3)
    assert len(about["windows"]) == trained.card["labels"]["wren"]["windows"]
    assert sum(is_yes for *_, is_yes in about["windows"]) == trained.card["labels"]["wren"]["yes"]
    path = tmp_path / "wren.model" / CURVES
    path.write_text(path.read_text("utf-8").replace('"grid": [0.0', '"grid": [0.5'), "utf-8")
    with pytest.raises(DamageError, match=r"curves.json: damaged"):
        read_curves(tmp_path / "wren.model")
    path.unlink()
    assert read_curves(tmp_path / "wren.model") is None


def test_classifiers_are_kept_in_a_collection_by_names_of_their_own(birds: Collection) -> None:
    assert list_kept(birds) == {}
    first = new_place(birds, ["wren/../x", "robin"])
    assert first.parent == birds.folder / "classifiers"
    birds.train("wren", first)
    second = new_place(birds, ["wren/../x", "robin"])
    assert (first.name, second.name) == ("wren_x_robin", "wren_x_robin_2")
    assert list_kept(birds) == {first.name: first}
    assert find_kept(birds, first.name) == first
    for name in ("nothing", "..", "", f"../classifiers/{first.name}"):
        with pytest.raises(ConfigError, match="no classifier"):
            find_kept(birds, name)
