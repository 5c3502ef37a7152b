"""Clip scores equal hear-eval-kit's, and the vectorised ones equal the plain ones."""

import numpy as np
import pytest

from axlstm.errors import ConfigError
from axlstm.evaluate.scoring.clips import SCORES, degenerate_classes, scene_score
from axlstm.evaluate.scoring.members import member_scores
from tests.evaluate.reference import DATA, read_json_xz

VECTORS = DATA / "metric_vectors"
EXPECTED = read_json_xz(VECTORS / "scene_scores.json.xz")
SCENE_SCORES = [score.name for score in SCORES.values() if not score.is_event]


def read_case(case: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(VECTORS / "scene_inputs.npz") as arrays:
        return arrays[f"{case}/target"], arrays[f"{case}/prediction"]


@pytest.mark.parametrize("case", EXPECTED)
@pytest.mark.parametrize("name", SCENE_SCORES)
def test_equals_the_kit(case: str, name: str) -> None:
    target, prediction = read_case(case)
    np.testing.assert_allclose(scene_score(name, target, prediction), EXPECTED[case][name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", EXPECTED)
@pytest.mark.parametrize("name", SCENE_SCORES)
def test_members_at_once_equal_one_by_one(case: str, name: str) -> None:
    target, prediction = read_case(case)
    rng = np.random.default_rng(0)
    coarse = np.round(prediction, 1)  # many equal predictions
    members = np.stack([prediction, coarse, rng.permutation(prediction), np.zeros_like(prediction)])
    expected = [scene_score(name, target, member) for member in members]
    np.testing.assert_allclose(member_scores(name, target, members), expected, rtol=0, atol=1e-9)


def test_a_class_absent_from_a_split_is_told_and_scored() -> None:
    target = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
    (told,) = degenerate_classes(target, ["a", "b", "dog"], ["top1_acc", "mAP"])
    assert told.startswith("no clip of class dog: its average precision counts 0")
    assert degenerate_classes(target, ["a", "b", "dog"], ["top1_acc"]) == []
    (told,) = degenerate_classes(target[:1, :2], ["a", "b"], ["aucroc"])[1:]
    assert told.startswith("every clip is of class a")
    assert scene_score("mAP", target, target) == pytest.approx(2 / 3)
    assert np.isnan(scene_score("aucroc", target, target))


def test_unknown_scores_and_shapes_are_named() -> None:
    target = np.eye(3, dtype=np.float32)
    with pytest.raises(ConfigError, match="unknown score 'f1'; the scores are top1_acc"):
        scene_score("f1", target, target)
    with pytest.raises(ConfigError, match="at least one clip"):
        scene_score("mAP", target[:0], target[:0])
    with pytest.raises(ConfigError, match="judges events"):
        scene_score("segment_1s_er", target, target)
    with pytest.raises(ConfigError, match="not a score of clips"):
        member_scores("segment_1s_er", target, target[None])


def test_one_class_all_right_and_one_all_wrong_has_no_d_prime() -> None:
    target = np.array([[1, 0], [0, 1]], dtype=np.float32)
    prediction = np.array([[0.9, 0.9], [0.1, 0.1]], dtype=np.float32)
    assert np.isnan(scene_score("d_prime", target, prediction))
    assert np.isnan(member_scores("d_prime", target, prediction[None])).all()
