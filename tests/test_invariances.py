"""What changes an embedding that should not: the numbers of axlstm's models, and the measures themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from axlstm.errors import ConfigError
from benchmarks.invariance_listeners import RATE_HZ, Entry, Frames, NotOffered, Sound, our_entries
from benchmarks.invariance_rows import EXACT, ROWS, bundled, compare, cosine, find_clicks, measure
from benchmarks.invariance_table import TITLES, draw, make_invariance_table, share, show
from benchmarks.invariances import invariances
from benchmarks.report import RESULTS

SHORT = ("snare_hit", "tabla_na", "speech_ru_unavailable")
COMMITTED: dict[str, Any] = json.loads((RESULTS / "invariances.json").read_bytes())
MODULE = """
import torch
def load_model(path):
    model = torch.nn.Conv1d(1, 8, 400, stride=320, padding=200)
    model.load_state_dict(torch.load(path))
    model.sample_rate, model.scene_embedding_size, model.timestamp_embedding_size = 16_000, 8, 8
    return model
def get_timestamp_embeddings(audio, model):
    frames = model(audio[:, None]).abs().transpose(1, 2)
    return frames, 20.0 * torch.arange(frames.shape[1]).expand(len(frames), -1)
def get_scene_embeddings(audio, model):
    return get_timestamp_embeddings(audio, model)[0].mean(dim=1)
"""


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    """What is measured of axlstm-tiny with its defaults."""
    (entry,) = [entry for entry in our_entries() if entry.name == "axlstm-tiny"]
    return measure(entry, bundled(SHORT))


@pytest.mark.parametrize("row", EXACT)
def test_ours_does_not_depend_on_what_else_is_computed(ours: dict[str, Any], row: str) -> None:
    assert ours["rows"][row]["difference"]["worst"] <= 1e-6


LEAST = {"bfloat16": 0.9998, "gain +12 dB": 0.995, "gain -12 dB": 0.99, "44.1 kHz": 0.9999, "shift": 0.98}


@pytest.mark.parametrize(("row", "least"), LEAST.items())
def test_ours_hardly_moves(ours: dict[str, Any], row: str, least: float) -> None:
    assert ours["rows"][row]["cosine"]["worst"] >= least


@pytest.mark.parametrize("row", ROWS)
def test_ours_is_as_in_the_table(ours: dict[str, Any], row: str) -> None:
    committed = COMMITTED["encoders"]["axlstm-tiny"]["rows"][row]["cosine"]["worst"]  # of all recordings
    assert ours["rows"][row]["cosine"]["worst"] >= committed - 1e-4


def test_ours_times_a_click_to_half_a_hop(ours: dict[str, Any]) -> None:
    assert ours["rows"]["click"]["error_s"]["worst"] <= ours["hop_s"] / 2


@pytest.mark.parametrize("name", ["axlstm-tiny", "axlstm-tiny, no padding", "axlstm-tiny, published", "ssast-tiny"])
def test_the_committed_results_of_ours_are_equal_where_they_should_be(name: str) -> None:
    rows = COMMITTED["encoders"][name]["rows"]
    assert {row: rows[row]["difference"]["worst"] for row in EXACT} == dict.fromkeys(EXACT, 0.0)


class Levels:
    """Frames of 10 ms with the level of five bands of samples; a frame has its time ``late_s`` too late."""

    hop_s = 0.01

    def __init__(self, late_s: float = 0.0, drift: float = 0.0) -> None:
        self.late_s, self.drift, self.calls = late_s, drift, 0

    def embed(self, clips: Sequence[Sound], rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
        if rate_hz != RATE_HZ:
            raise NotOffered("one rate alone")
        self.calls += 1
        means = np.stack([self.frames(clip).values.mean(axis=0) for clip in clips])
        return means * np.float32(1 + self.drift * self.calls)

    def frames(self, clip: Sound) -> Frames:
        cut = clip[: len(clip) // 160 * 160].reshape(-1, 5, 32)
        return Frames(np.abs(cut).mean(axis=2), (np.arange(len(cut)) + 0.5) * self.hop_s + self.late_s)


def _entry(listener: Levels) -> Entry:
    def load(precision: str) -> Levels:
        if precision == "bfloat16":
            raise RuntimeError("no such kernel\nand more")
        return listener

    return Entry("levels", "none", "pip install levels", load)


def test_what_an_encoder_lacks_and_where_it_fails_is_told() -> None:
    rows = measure(_entry(Levels()), bundled(SHORT[:2]))["rows"]
    assert rows["44.1 kHz"] == {"not offered": "one rate alone"}
    assert rows["bfloat16"] == {"failed": "RuntimeError: no such kernel"}
    assert rows["twice"]["difference"]["worst"] == 0.0
    assert rows["gain +12 dB"]["cosine"]["worst"] == pytest.approx(1.0)
    assert rows["gain +12 dB"]["difference"]["worst"] == pytest.approx(10 ** (12 / 20) - 1, rel=1e-5)
    assert rows["zeros"]["cosine"]["worst"] == pytest.approx(1.0)
    assert rows["silence"]["cosine"]["worst"] < 1 - 1e-6


def test_an_encoder_that_changes_from_call_to_call_is_found() -> None:
    rows = measure(_entry(Levels(drift=0.01)), bundled(SHORT[:2]))["rows"]
    assert rows["twice"]["difference"]["worst"] > 0.001
    assert rows["order"]["difference"]["worst"] > 0.001


@pytest.mark.parametrize("late_s", [0.0, 0.125, -0.25])
def test_times_that_are_late_are_found(late_s: float) -> None:
    found = find_clicks(Levels(late_s))
    assert found["error_s"]["signed"] == pytest.approx(late_s, abs=0.005)
    assert found["width_s"] == pytest.approx(0.01)


def test_comparing() -> None:
    one = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], np.float32)
    other = np.array([[1.0, 0.0], [1.0, 2.0], [0.0, 1.0]], np.float32)
    assert cosine(one, other).tolist() == pytest.approx([1.0, 2 / 5**0.5, 0.0])
    told = compare(one[:2], other[:2], ["a", "b"])
    assert told["difference"] == {"worst": 0.5, "median": 0.25}
    assert told["worst"] == "b"
    assert "not finite" in compare(one * np.nan, other, ["a", "b", "c"])["failed"]


def test_a_module_of_the_hear_api_gets_a_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(MODULE)
    torch.manual_seed(0)
    torch.save(torch.nn.Conv1d(1, 8, 400).state_dict(), tmp_path / "mine.pt")
    results, figure = tmp_path / "results.json", tmp_path / "figure.png"
    results.write_text((RESULTS / "invariances.json").read_text())
    told = {"module": str(tmp_path / "mine.py"), "weights": tmp_path / "mine.pt", "recordings": SHORT[:2]}
    assert invariances(**told, results=results, figure=figure) == 0
    encoders = json.loads(results.read_bytes())["encoders"]
    assert list(encoders) == [*COMMITTED["encoders"], "mine"]
    assert encoders["mine"]["weights"] == "mine.pt"
    assert encoders["mine"]["rows"]["twice"]["difference"]["worst"] == 0.0
    assert encoders["mine"]["rows"]["click"]["error_s"]["worst"] <= 0.0125  # half a hop, half a window beside it
    assert "| computed twice | equal |" in capsys.readouterr().out
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="expected names of axlstm-tiny"):
        invariances(only=("axlstm-huge",), results=tmp_path / "results.json")
    with pytest.raises(ConfigError, match=r"nowhere\.py does not exist"):
        invariances(module="nowhere.py", results=tmp_path / "results.json")
    with pytest.raises(ConfigError, match="expected at least two"):
        invariances(only=("logmel",), recordings=SHORT[:1], results=tmp_path / "results.json")
    with pytest.raises(ConfigError, match="name='logmel': the table has a column of that name"):
        invariances(module="logmel.py", name="logmel", results=tmp_path / "results.json")
    assert not (tmp_path / "results.json").exists()
    monkeypatch.setenv("AXLSTM_ENCODERS", str(tmp_path))
    assert invariances(only=("resemblyzer",), recordings=SHORT[:2], results=tmp_path / "results.json") == 0
    (told,) = json.loads((tmp_path / "results.json").read_bytes())["not installed"].items()
    assert told[0] == "resemblyzer"
    assert told[1].startswith("pip install")


def test_the_table_has_a_line_for_each_row_and_a_column_for_each_encoder() -> None:
    assert list(TITLES) == list(ROWS)
    encoders = COMMITTED["encoders"]
    lines = show(COMMITTED, list(encoders)).splitlines()
    assert len(lines) == 2 + 2 + len(ROWS) + 2
    assert {line.count("|") for line in lines} == {len(encoders) + 2}
    for name in COMMITTED["not installed"]:
        assert f": {name} (`pip" in make_invariance_table()
    moved = share(encoders["axlstm-tiny"], "zeros")
    assert moved is not None
    assert 0 < moved < 1


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw(COMMITTED, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
