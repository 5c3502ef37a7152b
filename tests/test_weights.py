"""The weights that come with the package: there without a network, small, described, and better than none."""

from __future__ import annotations

import json
import logging
import socket
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import axlstm
from axlstm.audio.read import load_audio
from axlstm.cli import main
from axlstm.pretrain.config import ObjectiveConfig
from axlstm.pretrain.reconstruct import reconstruct_clip
from axlstm.samples import sample_path
from axlstm.store.formats import read_records

WEIGHTS = Path(str(resources.files("axlstm") / "weights"))
NAMES = sorted(path.name for path in WEIGHTS.iterdir())
NEVER_HEARD = ("piano_C4", "violin_A4", "speech_it_queue", "bird_song")  # of groups that the study tests on


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("name", NAMES)
def test_weights_load_offline_and_silently(name: str, offline: None, caplog: pytest.LogCaptureFixture) -> None:
    del offline
    with caplog.at_level(logging.INFO):
        embedder = axlstm.load_model(name)
    assert embedder.trained
    assert embedder.name == name
    assert not caplog.records


def test_a_file_is_embedded_by_trained_weights_without_naming_any(
    tmp_path: Path, offline: None, capsys: pytest.CaptureFixture[str]
) -> None:
    del offline
    out = tmp_path / "embeddings.parquet"
    assert main(["embed", str(sample_path("bell")), "-o", str(out)]) == 0
    assert "random" not in "".join(capsys.readouterr())
    expected = axlstm.load_model("axlstm-tiny").embed(sample_path("bell")).scene
    [stored] = [clip.scene for clip in read_records(out)]
    np.testing.assert_allclose(stored, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("sample", NEVER_HEARD)
def test_what_is_hidden_is_predicted_from_what_surrounds_it(sample: str) -> None:
    embedder = axlstm.load_model("axlstm-tiny")
    result = reconstruct_clip(embedder.checkpoint, load_audio(sample_path(sample)), ObjectiveConfig())
    assert result.hidden_error < 0.6 * result.mean_error


def test_weights_are_small_and_say_where_they_come_from() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 12_000_000
    assert {path.name for path in files} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    for name in NAMES:
        card = (WEIGHTS / name / "README.md").read_text(encoding="utf-8")
        for section in ("Scores", "Data", "Use and limits", "Licence", "How to reproduce"):
            assert f"\n## {section}\n" in card
        count = sum(p.numel() for p in axlstm.load_model(name).checkpoint.model.parameters())
        assert f"{count / 1e6:.2f} M parameters" in card
        assert json.loads((WEIGHTS / name / "config.json").read_text())["training"]["config"]["schedule"]["steps"] > 0


@pytest.mark.parametrize("engine", [None, "openvino"])
def test_half_precision_products_change_the_embeddings_little(engine: str | None) -> None:
    exact, fast = axlstm.load_model("axlstm-tiny"), axlstm.load_model("axlstm-tiny", dtype="bfloat16", engine=engine)
    for sample in NEVER_HEARD:
        one, other = (embedder.embed(sample_path(sample)).frames.astype(np.float64) for embedder in (exact, fast))
        lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
        assert ((one * other).sum(-1) / lengths).min() > 0.999
