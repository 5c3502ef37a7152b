"""Names, paths and Hub ids to embedders."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

import axlstm
import axlstm.hear
from axlstm.checkpoints.reading import has_weights
from axlstm.errors import CheckpointError, ConfigError
from tests.seeded import audio


def test_names_long_and_short_give_the_same_model() -> None:
    short, long = axlstm.load_model("axlstm-tiny"), axlstm.load_model("axlstm_tiny_200_16x4")
    assert short.fingerprint == long.fingerprint
    assert (short.sample_rate, short.scene_embedding_size, short.timestamp_embedding_size) == (16_000, 960, 960)
    assert axlstm.list_models()[0] == "axlstm_tiny_200_16x4"


def test_missing_weights_are_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    embedder = axlstm.load_model("ssast-tiny")
    assert embedder.trained is has_weights("ssast_tiny_200_16x4")
    assert embedder.trained or "its weights are random" in caplog.text


def test_created_models_are_untrained_and_seeded() -> None:
    first, again, other = (axlstm.create_model("axlstm-tiny", seed=seed, depth=1) for seed in (0, 0, 1))
    assert not first.trained
    assert first.fingerprint == again.fingerprint != other.fingerprint
    clip = audio(1, 0)
    assert (first.embed(clip, 16_000).scene == again.embed(clip, 16_000).scene).all()


@pytest.mark.parametrize("size", ["small", "medium", "base"])
@pytest.mark.parametrize("family", ["axlstm", "ssast"])
def test_other_sizes_embed(size: str, family: str) -> None:
    embedder = axlstm.create_model(f"{family}-{size}", depth=1)
    width = {"small": 384, "medium": 512, "base": 768}[size]
    assert embedder.embed(audio(0.5, 0), 16_000).scene.shape == (5 * width,)


def test_unknown_sources_say_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown model 'resnet50'.*axlstm-tiny.*ssast-huge"):
        axlstm.load_model("resnet50")
    with pytest.raises(CheckpointError, match=r"gone\.pth: no such file"):
        axlstm.load_model(tmp_path / "gone.pth")
    with pytest.raises(CheckpointError, match="holds no model"):
        axlstm.load_model(tmp_path)


class FakeHub(types.ModuleType):
    """Stands in for huggingface_hub: a folder is the Hub."""

    def __init__(self, root: Path) -> None:
        super().__init__("huggingface_hub")
        self.root = root
        self.HfApi = lambda **_: self

    def snapshot_download(self, repo_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        repo_id += f"@{revision}" if revision else ""
        if not (self.root / repo_id).is_dir():
            raise OSError(f"404: {repo_id}\nmore lines")
        assert allow_patterns == ["config.json", "model.safetensors"]
        return str(self.root / repo_id)

    def create_repo(self, repo_id: str, exist_ok: bool, **_: object) -> None:
        (self.root / repo_id).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, repo_id: str, folder_path: str, **_: object) -> str:
        for path in Path(folder_path).iterdir():
            (self.root / repo_id / path.name).write_bytes(path.read_bytes())
        return f"hub/{repo_id}"


def test_hub_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", FakeHub(tmp_path))
    embedder = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)
    assert embedder.push_to_hub("me/tiny") == "hub/me/tiny"
    assert axlstm.load_model("me/tiny", engine=None).fingerprint == embedder.fingerprint
    with pytest.raises(CheckpointError, match="me/none: not on the disk, and the Hub did not give it"):
        axlstm.load_model("me/none")


def test_a_revision_is_loaded_from_the_hub_and_refused_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", FakeHub(tmp_path))
    newest, first = (axlstm.create_model("axlstm-tiny", seed=seed, depth=1, width=16, heads=2) for seed in (1, 0))
    newest.save_pretrained(tmp_path / "me" / "tiny")
    first.save_pretrained(tmp_path / "me" / "tiny@v1")
    assert axlstm.load_model("me/tiny", engine=None).fingerprint == newest.fingerprint
    for load in (axlstm.load_model, axlstm.hear.load_model, axlstm.Embedder.from_pretrained):
        assert load("me/tiny", revision="v1", engine=None).fingerprint == first.fingerprint
    with pytest.raises(CheckpointError, match="me/tiny at revision 'v2': not on the disk, and the Hub did not give"):
        axlstm.load_model("me/tiny", revision="v2")
    for source in ("axlstm-tiny", str(tmp_path / "me" / "tiny"), "nonsense"):
        with pytest.raises(ConfigError, match=r"revision='v1': expected a Hub id \(owner/name\)"):
            axlstm.load_model(source, revision="v1")


IMPOSSIBLE = {
    "layout": ("vertical", "layout='vertical': expected one of time, published"),
    "device": ("tpu", "device='tpu': expected auto, cpu, mps, cuda or cuda:N"),
    "dtype": ("fp16", "dtype='fp16': expected one of float32, bfloat16, float16"),
    "layers": (1.5, "layers=1.5: expected one whole number or several, or None"),
    "padding": ("zeros", "padding='zeros': expected one of window, none"),
    "pooling": ("max", r"pooling='max': expected one of mean, mean\+deviation"),
    "batch_windows": (0, "batch_windows=0: expected at least 1"),
    "engine": ("tensorrt", "engine='tensorrt': expected one of onnxruntime"),
    "laout": ("time", "unknown option laout: expected layout, padding, device"),
}


@pytest.mark.parametrize("option", IMPOSSIBLE)
def test_impossible_options_are_refused_before_weights_are_read(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_weights(*_: object, **__: object) -> None:
        pytest.fail("weights were read")

    monkeypatch.setattr("axlstm.embed.embedder.find_checkpoint", read_weights)
    monkeypatch.setattr("axlstm.hub.untrained_checkpoint", read_weights)
    value, message = IMPOSSIBLE[option]
    for load in (axlstm.load_model, axlstm.create_model, axlstm.hear.load_model, axlstm.Embedder.from_pretrained):
        with pytest.raises(ConfigError, match=message):
            load("axlstm-tiny", **{option: value})


def test_an_engine_that_does_not_compute_so_is_refused_before_weights_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axlstm.embed.embedder.find_checkpoint", lambda *_: pytest.fail("weights were read"))
    monkeypatch.setattr("axlstm.engines.runtimes.find_spec", lambda _: True)
    with pytest.raises(ConfigError, match="engine='onnxruntime' computes in float32, not in bfloat16"):
        axlstm.load_model(engine="onnxruntime", dtype="bfloat16")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ConfigError, match="engine='processes' computes on the CPU, not on device='cuda'"):
        axlstm.load_model(engine="processes", device="cuda")
    monkeypatch.setattr("axlstm.engines.runtimes.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="engine='openvino' is not installed: pip install"):
        axlstm.load_model(engine="openvino")


def test_hub_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"pip install \"axlstm\[hub\]\""):
        axlstm.load_model("me/tiny")
