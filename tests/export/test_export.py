"""Exported models give the embedder's numbers, for any batch and length, and say no to what they cannot do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import axlstm
from axlstm.cli import main
from axlstm.engines import onnx as graphs
from axlstm.engines import runtimes
from axlstm.engines.graph import PortableEncoder, WaveformModel, windowed_dft
from axlstm.errors import AudioError, CheckpointError, ConfigError, ExportError, WriteError
from axlstm.export import check, write
from axlstm.export.check import Agreement
from axlstm.samples import sample_path
from tests.export.conftest import small
from tests.seeded import audio

EXAMPLE = Path(__file__).parents[2] / "examples" / "embed_without_torch.py"
RATE = 16_000


@pytest.mark.parametrize("samples", [400, 5_000, 31_999, 32_000, 32_160, 32_320, 70_000])
def test_any_length_gives_the_embedders_numbers(
    model: axlstm.ExportedModel, embedder: axlstm.Embedder, samples: int
) -> None:
    clip = audio(samples / RATE, samples)
    ours, theirs = embedder.embed(clip, RATE), model(clip[None])
    np.testing.assert_allclose(theirs.frames[0], ours.frames, atol=1e-4)
    np.testing.assert_allclose(theirs.scene[0], ours.scene, atol=1e-4)
    np.testing.assert_allclose(theirs.timestamps_ms, ours.timestamps_ms)


def test_clips_of_a_batch_do_not_mix(model: axlstm.ExportedModel) -> None:
    clips = np.stack([audio(2.5, 1), np.zeros(40_000, np.float32), audio(2.5, 3)])
    together = model(clips)
    assert together.scene.shape == (3, 160)
    for clip, frames in zip(clips, together.frames, strict=True):
        np.testing.assert_allclose(frames, model(clip[None]).frames[0], atol=2e-5)


def test_files_are_decoded(model: axlstm.ExportedModel, embedder: axlstm.Embedder) -> None:
    path = sample_path("water_river")
    frames = model.embed(path).frames
    np.testing.assert_allclose(frames[0], embedder.embed(path).frames, atol=1e-4)


@pytest.mark.parametrize("exported", ["onnx"], indirect=True)
def test_openvino_runs_onnx_files(exported: Path, embedder: axlstm.Embedder) -> None:
    model = axlstm.ExportedModel(exported, engine="openvino")
    assert model.metadata["fingerprint"] == embedder.fingerprint
    np.testing.assert_allclose(
        model.embed(audio(2.5, 2), RATE).frames[0], embedder.embed(audio(2.5, 2), RATE).frames, atol=1e-4
    )


def test_the_file_says_what_it_is(model: axlstm.ExportedModel, embedder: axlstm.Embedder) -> None:
    metadata = model.metadata
    assert metadata["name"] == "axlstm-tiny-untrained"
    assert metadata["layout"] == "time"
    assert metadata["sample_rate_hz"] == "16000"
    assert metadata["hop_ms"] == "40"
    assert metadata["axlstm_version"] == axlstm.__version__
    assert metadata["fingerprint"] == embedder.fingerprint


def test_what_cannot_be_embedded_says_why(model: axlstm.ExportedModel) -> None:
    for samples in (0, 399):
        with pytest.raises(AudioError, match=rf"{samples} samples at 16000 Hz: no embedding is defined below 400"):
            model(np.zeros((1, samples), np.float32))
    with pytest.raises(AudioError, match=r"expected \(clips, samples\), got \(16000,\)"):
        model(np.zeros(RATE, np.float32))
    with pytest.raises(AudioError, match=r"clip 0: holds nan at 0\.000 s; expected finite numbers"):
        model(np.full((1, RATE), np.nan, np.float32))


@pytest.mark.parametrize("padding", ["window", "none"])
@pytest.mark.parametrize("family", ["axlstm", "ssast"])
def test_the_graph_is_the_embedder(family: str, padding: str) -> None:
    embedder = small(family, layers=(1, -1), padding=padding)
    model = WaveformModel(PortableEncoder(embedder.frame_encoder), embedder.checkpoint.frontend, embedder.pooling)
    for samples in (400, 20_000, 32_000, 65_000):
        clips = torch.from_numpy(audio(2 * samples / RATE, 4)).reshape(2, samples)
        with torch.no_grad():
            scene, frames, times = model(clips)
        expected, expected_times = embedder(clips)
        torch.testing.assert_close(frames, expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(scene, expected.mean(dim=1), atol=1e-4, rtol=0)
        torch.testing.assert_close(times, expected_times)


@pytest.mark.parametrize("gate", [-100.0, 100.0])
@pytest.mark.parametrize("which", ["input_gate", "forget_gate"])
def test_the_graph_is_right_for_extreme_gates(which: str, gate: float) -> None:
    embedder = small()
    drawn = torch.Generator().manual_seed(0)
    windows = torch.randn(2, 200, 80, generator=drawn)
    with torch.no_grad():
        for block in embedder.model.encoder.blocks:
            torch.nn.init.normal_(getattr(block.layer, which).weight, std=10.0, generator=drawn)
            getattr(block.layer, which).bias.fill_(gate)
        graph = PortableEncoder(embedder.frame_encoder)(windows, torch.tensor([50, 50]))
        own = embedder.layout.frames(embedder.model.encoder(windows))
        exact = embedder.layout.frames(embedder.model.double().encoder(windows.double()))
    assert graph.isfinite().all()
    assert Agreement(float((graph - exact).abs().max()), float((own - exact).abs().max())).holds


def test_every_remainder_of_a_window_has_its_frames() -> None:
    embedder = small()
    encoder = PortableEncoder(embedder.frame_encoder)
    encoder.blocks = torch.nn.ModuleList()
    model = WaveformModel(encoder, embedder.checkpoint.frontend, embedder.pooling)
    program = graphs.record(model, (torch.zeros(2, 80_000),), graphs.any_size(batch=1, samples=400))
    onnx = graphs.to_onnx(program, write.INPUTS, write.OUTPUTS, {})
    run = runtimes.open_session(onnx, "onnxruntime").run
    for samples in range(400, 400 + 200 * 160, 160):
        _, frames, times = run(np.zeros((1, samples), np.float32))
        assert frames.shape[1] == len(times) == embedder.layout.frame_count(samples), samples


@pytest.mark.parametrize("exported", ["onnx", "openvino"], indirect=True)
def test_without_torch(exported: Path, embedder: axlstm.Embedder, tmp_path: Path) -> None:
    clip = audio(2.5, 5)
    soundfile.write(tmp_path / "clip.wav", clip, RATE, subtype="FLOAT")
    program = f"""
import runpy, sys
sys.modules["torch"] = sys.modules["axlstm"] = None  # from here on, importing them is an error
sys.argv = ["example", {str(exported)!r}, {str(tmp_path / "clip.wav")!r}]
runpy.run_path({str(EXAMPLE)!r}, run_name="__main__")
assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "axlstm") and sys.modules[name]]
"""
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=out)
    with np.load(out / "clip.npz") as written:
        np.testing.assert_allclose(written["frames"], embedder.embed(clip, RATE).frames, atol=1e-4)


@pytest.mark.parametrize("exported", ["onnx"], indirect=True)
def test_the_example_writes_where_it_is_told(exported: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "clip.wav", audio(0.5, 1), RATE)
    command = [sys.executable, str(EXAMPLE), str(exported), "-o", "new/out"]
    one = subprocess.run([*command, "a/clip.wav"], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert one.stdout.startswith(str(Path("new/out/clip.npz")))
    assert [file.name for file in (tmp_path / "new" / "out").iterdir()] == ["clip.npz"]
    two = subprocess.run([*command, "a/clip.wav", "b/clip.wav"], capture_output=True, text=True, cwd=tmp_path)
    assert two.returncode == 2
    assert "two sounds have one name" in two.stderr


@pytest.mark.parametrize("exported", ["onnx", "openvino"], indirect=True)
def test_the_helper_does_not_load_torch(exported: Path) -> None:
    program = f"""
import sys, axlstm
from axlstm.samples import sample_path
sys.modules["torch"] = None
assert axlstm.ExportedModel({str(exported)!r}).embed(sample_path("bell")).scene.shape == (1, 160)
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)


def test_the_command_writes_a_model(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    model, out = tmp_path / "model", tmp_path / "new" / "model.pt2"
    small("ssast").save_pretrained(model)
    assert main(["export", str(model), str(out), "--format", "torch-export"]) == 0
    printed = capsys.readouterr()
    assert "torch-export; embeddings within" in printed.out
    assert [line for line in printed.err.splitlines() if line.startswith("axlstm: ")] == [
        "axlstm: record the model as a graph",
        "axlstm: convert the graph to torch-export",
        "axlstm: read the file back and compare it with the model on bundled recordings",
    ]
    assert [file.name for file in out.parent.iterdir()] == ["model.pt2"]
    assert axlstm.ExportedModel(out).metadata["layout"] == "time"


def test_the_published_layout_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"layout='published' is not exported: make the embedder with layout='time'"):
        small(layout="published").export(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_differs_is_not_written(
    embedder: axlstm.Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = torch.zeros_like(windowed_dft(embedder.checkpoint.frontend))
    monkeypatch.setattr("axlstm.engines.graph.windowed_dft", lambda _: silent)
    with pytest.raises(ExportError, match=r"model\.pt2: not written, since .* more than 0\.0001"):
        embedder.export(tmp_path / "model.pt2", "torch-export")
    assert not list(tmp_path.iterdir())


def test_what_holds_as_agreement() -> None:
    assert Agreement(exported=0.9e-4, embedder=1e-6).holds
    assert not Agreement(exported=1.1e-4, embedder=1e-6).holds
    assert Agreement(exported=1.1e-4, embedder=0.9e-4).holds  # float32 itself is no nearer
    assert not Agreement(exported=float("inf"), embedder=1.0).holds
    assert check.TOLERANCE == 1e-4


def test_bad_requests_say_what_to_do(
    embedder: axlstm.Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="format='tflite': expected one of onnx, openvino, torch-export"):
        embedder.export(tmp_path / "m.onnx", "tflite")
    with pytest.raises(ConfigError, match=r"expected a name that ends with \.xml for format='openvino'"):
        embedder.export(tmp_path / "m.onnx", "openvino")
    with pytest.raises(ConfigError, match="only a float32 embedder"):
        small(dtype="bfloat16").export(tmp_path / "m.onnx")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot be written"):
        embedder.export(tmp_path / "file" / "m.onnx")
    with pytest.raises(CheckpointError, match=r"absent\.onnx: no such file"):
        axlstm.ExportedModel(tmp_path / "absent.onnx")
    with pytest.raises(ConfigError, match=r"m\.tflite: expected a name that ends with \.onnx \(onnx\), \.xml"):
        axlstm.ExportedModel(tmp_path / "m.tflite")
    for name in ("broken.onnx", "broken.xml", "broken.pt2"):
        (tmp_path / name).write_bytes(b"not a model")
        with pytest.raises(CheckpointError, match=name):
            axlstm.ExportedModel(tmp_path / name)
    monkeypatch.setattr(graphs, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ConfigError, match=r"onnxscript missing for ONNX: pip install \"axlstm\[onnx\]\""):
        embedder.export(tmp_path / "m.onnx")
