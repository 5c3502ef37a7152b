"""The encoder in ONNX Runtime and OpenVINO, behind the same embedder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import axlstm
from axlstm.cli import main
from axlstm.engines import openvino, runtimes
from axlstm.errors import ConfigError
from axlstm.options import Precision
from axlstm.samples import sample_path, sample_paths
from axlstm.store.formats import read_records
from tests.seeded import audio

SMALL = {"depth": 2, "width": 32, "heads": 2}


@pytest.mark.parametrize(("family", "padding"), [("axlstm", "window"), ("axlstm", "none"), ("ssast", "none")])
@pytest.mark.parametrize("engine", runtimes.ENGINES)
def test_an_engine_gives_torchs_numbers(engine: str, family: str, padding: str) -> None:
    options = {"padding": padding, **SMALL}
    in_torch, in_engine = (axlstm.create_model(f"{family}-tiny", engine=name, **options) for name in (None, engine))
    clips = [audio(seconds, seed) for seed, seconds in enumerate((0.5, 2.0, 9.3, 0.03, 2.04))]
    for ours, theirs in zip(in_engine.embed_batch(clips, 16_000), in_torch.embed_batch(clips, 16_000), strict=True):
        np.testing.assert_allclose(ours.frames, theirs.frames, atol=1e-4)
    blocks = [block.frames for block in in_engine.embed_stream(clips[2], 16_000)]
    np.testing.assert_allclose(np.concatenate(blocks), in_torch.embed(clips[2], 16_000).frames, atol=2e-4)
    assert in_engine.fingerprint != in_torch.fingerprint


@pytest.mark.parametrize("shape", [{"window_frames": 24}, {"window_frames": 120}, {"cls_token": False}])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_openvino_computes_windows_of_any_shape_whole_or_not(shape: dict[str, int], dtype: Precision) -> None:
    """120 frames are 151 steps, which two parts share unevenly."""
    options = {**SMALL, "depth": 4, **shape}
    exact, compiled = (
        axlstm.create_model("axlstm-tiny", engine=engine, dtype=precision, **options)
        for engine, precision in ((None, "float32"), ("openvino", dtype))
    )
    for seconds in (0.05, 0.2, 0.7, 1.2, 2.0, 3.1):
        clip = audio(seconds, 0)
        ours, theirs = compiled.embed(clip, 16_000).frames, exact.embed(clip, 16_000).frames
        if dtype == "float32":
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
        else:
            cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
            assert cosines.min() > 0.998


def test_openvino_keeps_short_windows_apart_from_what_is_not_real() -> None:
    """Steps that are not real come first in reverse: the logarithms of their gates add up to thousands here."""
    exact = axlstm.create_model("axlstm-tiny", engine=None, **{**SMALL, "depth": 4})
    for name, weight in exact.model.named_parameters():
        if name.endswith("forget_gate.bias"):
            weight.data.fill_(-20.0)
    compiled = axlstm.Embedder(exact.checkpoint, engine="openvino")
    for seconds in (0.05, 0.3, 1.0):
        ours, theirs = (embedder.embed(audio(seconds, 0), 16_000).frames for embedder in (compiled, exact))
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_a_version_of_openvino_without_an_undocumented_option_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = []
    for settings in (openvino._STEP_BY_STEP, {"NO_SUCH_OPTION": "1"}):
        monkeypatch.setattr(openvino, "_STEP_BY_STEP", settings)
        embeddings.append(axlstm.create_model("axlstm-tiny", engine="openvino", **SMALL).embed(audio(2.0, 0), 16_000))
    np.testing.assert_allclose(embeddings[0].frames, embeddings[1].frames, atol=1e-4)


def test_bfloat16_in_openvino_is_near_to_exact() -> None:
    options = {"layers": (1, 2), **SMALL}
    exact = axlstm.create_model("axlstm-tiny", **options)
    fast = axlstm.create_model("axlstm-tiny", engine="openvino", dtype="bfloat16", **options)
    assert str(fast.dtype) == "torch.bfloat16"
    for path in sample_paths()[:4]:
        a, b = exact.embed(path).scene, fast.embed(path).scene
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999


def test_the_command_line_takes_an_engine(tmp_path: Path) -> None:
    model = axlstm.create_model("ssast-tiny", **SMALL)
    model.save_pretrained(tmp_path / "model")
    out, sound = tmp_path / "e.npz", sample_path("bell")
    arguments = ["embed", str(sound), "-o", str(out), "-m", str(tmp_path / "model")]
    assert main([*arguments, "--engine", "onnxruntime"]) == 0
    (record,) = read_records(out)
    assert record.scene is not None
    np.testing.assert_allclose(record.scene, model.embed(sound).scene, atol=1e-4)


def test_engines_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"engine='tvm': expected one of onnxruntime \(installed\), openvino"):
        axlstm.create_model("axlstm-tiny", engine="tvm", **SMALL)
    with pytest.raises(ConfigError, match="'onnxruntime' computes in float32, not in bfloat16"):
        axlstm.create_model("axlstm-tiny", engine="onnxruntime", dtype="bfloat16", **SMALL)
    monkeypatch.setattr(runtimes, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"'openvino' is not installed: pip install \"axlstm\[openvino\]\""):
        axlstm.create_model("axlstm-tiny", engine="openvino", **SMALL)
    with pytest.raises(ConfigError, match=r"onnxruntime \(missing: pip install \"axlstm\[onnx\]\"\)"):
        axlstm.create_model("axlstm-tiny", engine="tvm", **SMALL)
