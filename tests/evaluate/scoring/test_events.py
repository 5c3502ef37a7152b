"""Events and their scores equal hear-eval-kit's with sed_eval 0.2.1."""

import numpy as np
import pytest

from axlstm.errors import ConfigError
from axlstm.evaluate.scoring.events import (
    Event,
    Postprocessing,
    event_score,
    find_events,
    find_events_in_files,
    postprocessing_grid,
)
from tests.evaluate.reference import DATA, read_json_xz

VECTORS = DATA / "metric_vectors"
CASES = read_json_xz(VECTORS / "event_scores.json.xz")["cases"]
POSTPROCESSED = read_json_xz(VECTORS / "postprocess_events.json.xz")


def read_events(files: dict) -> dict[str, list[Event]]:
    return {file: [Event.from_dict(event) for event in events] for file, events in files.items()}


@pytest.mark.parametrize("case", CASES)
def test_scores_equal_the_kit(case: str) -> None:
    reference, predicted = read_events(CASES[case]["reference"]), read_events(CASES[case]["predicted"])
    for name, expected in CASES[case]["scores"].items():
        found = event_score(name, reference, predicted)
        assert list(found) == [sub for sub, _ in expected]
        for sub, value in expected:
            np.testing.assert_allclose(found[sub], value, rtol=1e-12, atol=1e-9, err_msg=f"{name} {sub}")


def test_events_equal_the_kit() -> None:
    with np.load(VECTORS / "postprocess_inputs.npz") as arrays:
        inputs = dict(arrays)
    assert len(POSTPROCESSED) > 100
    for case in POSTPROCESSED:
        key = f"hop{case['hop']:g}"
        found = find_events(
            inputs[f"{key}/prob"],
            inputs[f"{key}/timestamps_ms"],
            ["a", "b", "c"],
            Postprocessing(case["median_filter_ms"], case["min_duration"]),
        )
        assert found == [Event.from_dict(event) for event in case["events"]], case


def test_a_packed_split_is_taken_apart_by_file() -> None:
    frames = [("b.wav", 40.0), ("b.wav", 0.0), ("a.wav", 0.0)]
    probability = np.array([[0.9], [0.8], [0.1]], dtype=np.float32)
    found = find_events_in_files(probability, frames, ["dog"], Postprocessing(0, 0))
    assert found == {"b.wav": [Event("dog", 0.0, 40.0)], "a.wav": []}


def test_the_grid_comes_from_the_task() -> None:
    assert postprocessing_grid({}) == [Postprocessing(250, 125), Postprocessing(250, 250)]
    given = {"event_postprocessing_grid": {"median_filter_ms": [150], "min_duration": [50]}}
    assert postprocessing_grid(given) == [Postprocessing(150, 50)]
    assert postprocessing_grid(given)[0].to_pairs() == [("median_filter_ms", 150), ("min_duration", 50)]
    with pytest.raises(ConfigError, match="event_postprocessing_grid has smoothing"):
        postprocessing_grid({"event_postprocessing_grid": {"smoothing": [1]}})


def test_a_clip_score_is_not_an_event_score() -> None:
    with pytest.raises(ConfigError, match="judges clips"):
        event_score("mAP", {}, {})
