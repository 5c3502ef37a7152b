"""The encoders behind the HEAR API, with random weights or small models made here: no file of theirs is needed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from axlstm.errors import CheckpointError, ConfigError
from axlstm.evaluate.embedding.encoders import Encoder, load_encoder
from recipes.open_audio.tests.encoders.made_files import (
    ENCODERS,
    tiny_embedding_onnx,
    tiny_mel_onnx,
    tiny_tflite,
    write_checkpoint,
)

NAMES = ("musicnn", "openwakeword", "resemblyzer", "birdnet")
HOPS_MS = {"musicnn": 48.0, "openwakeword": 80.0, "resemblyzer": 100.0, "birdnet": 125.0}
FIRST_MS = {"musicnn": 16.0, "openwakeword": 0.0, "resemblyzer": 0.0, "birdnet": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fetch.py would have written, with random weights."""
    folder = tmp_path_factory.mktemp("encoders")
    for name in ("musicnn/MTT", "openwakeword", "resemblyzer", "birdnet"):
        (folder / name).mkdir(parents=True)
    generator = np.random.default_rng(0)
    write_checkpoint(folder / "musicnn" / "MTT" / "model", musicnn_variables(generator))
    (folder / "openwakeword" / "melspectrogram.onnx").write_bytes(tiny_mel_onnx())
    (folder / "openwakeword" / "embedding_model.onnx").write_bytes(tiny_embedding_onnx())
    (folder / "birdnet" / "model.tflite").write_bytes(tiny_tflite())
    torch.manual_seed(0)
    lstm, linear = torch.nn.LSTM(40, 256, 3), torch.nn.Linear(256, 256)
    state = {f"lstm.{key}": value for key, value in lstm.state_dict().items()}
    state |= {f"linear.{key}": value for key, value in linear.state_dict().items()}
    state |= {"similarity_weight": torch.ones(1), "similarity_bias": torch.ones(1)}
    torch.save({"step": 1, "model_state": state}, folder / "resemblyzer" / "pretrained.pt")
    return folder


def musicnn_variables(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights by TensorFlow's names, and in its layouts."""

    def draw(*shape: int) -> np.ndarray:
        fan_in = max(1, int(np.prod(shape[:-1])))
        return (generator.standard_normal(shape) / fan_in**0.5).astype(np.float32)

    kernels = [(7, 38, 1, 204), (7, 67, 1, 204), (128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51)]
    kernels += [(7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64)]
    variables = {"global_step": np.array(3, dtype=np.int64)}
    for i, kernel in enumerate(kernels):
        suffix = f"_{i}" if i else ""
        variables |= {f"conv2d{suffix}/kernel": draw(*kernel), f"conv2d{suffix}/bias": draw(kernel[-1])}
    variables |= {"dense/kernel": draw(1506, 200), "dense/bias": draw(200)}
    variables |= {"dense_1/kernel": draw(200, 50), "dense_1/bias": draw(50)}
    for i, width in enumerate([1, *(kernel[-1] for kernel in kernels), 1506, 200]):
        name = f"batch_normalization_{i}" if i else "batch_normalization"
        variables |= {f"{name}/gamma": 1 + draw(width) / 10, f"{name}/beta": draw(width)}
        variables |= {f"{name}/moving_mean": draw(width), f"{name}/moving_variance": 1 + draw(width) ** 2}
    return variables


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """The encoders find the folder, and compute in one thread."""
    monkeypatch.setenv("AXLSTM_ENCODERS", str(folder))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=NAMES)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return load(request.param)


def load(name: str) -> Encoder:
    return load_encoder(str(ENCODERS / f"{name}.py"))


def noise(clips: int, seconds: float, rate_hz: int = 16_000) -> torch.Tensor:
    return 0.1 * torch.randn(clips, round(seconds * rate_hz), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("seconds", [0.01, 1.0, 3.2])
def test_shapes_times_and_batches(encoder: Encoder, seconds: float) -> None:
    audio = noise(2, seconds)
    scenes = encoder.scenes(audio)
    frames, times_ms = encoder.frames(audio)
    assert scenes.shape == (2, encoder.model.scene_embedding_size)
    assert frames.shape == (2, times_ms.shape[1], encoder.model.timestamp_embedding_size)
    assert times_ms.shape == frames.shape[:2]
    hop_ms, first_ms = HOPS_MS[encoder.name], FIRST_MS[encoder.name]
    expected = first_ms + hop_ms * torch.arange(times_ms.shape[1])
    torch.testing.assert_close(times_ms, expected.expand(2, -1))
    if seconds > 0.1:
        assert times_ms[0, -1] <= 1000 * seconds  # no frame beyond the clip, and none missing
        assert times_ms[0, -1] > 1000 * seconds - 2 * hop_ms
    assert torch.equal(encoder.scenes(audio), scenes)
    alone = encoder.frames(audio[1:])[0]
    torch.testing.assert_close(alone, frames[1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.scenes(audio[1:]), scenes[1:], rtol=1e-4, atol=1e-5)


def test_silence_has_a_finite_embedding(encoder: Encoder) -> None:
    assert torch.isfinite(encoder.scenes(torch.zeros(1, 8000))).all()
    assert torch.isfinite(encoder.frames(torch.zeros(1, 8000))[0]).all()


@pytest.mark.parametrize("name", ["openwakeword", "birdnet"])
def test_a_frame_belongs_to_its_time(name: str) -> None:
    """The small models are loud where the sound is: the weighted mean of their times must be the sound's."""
    audio = torch.zeros(1, 16_000 * 9)
    audio[0, 71_000:73_000] = 0.5  # around 4500 ms
    encoder = load(name)
    frames, times_ms = encoder.frames(audio)
    level = frames[0, :, 0] - frames[0, 0, 0]
    torch.testing.assert_close((level * times_ms[0]).sum() / level.sum(), torch.tensor(4500.0), rtol=0, atol=20)


def test_a_module_finds_its_neighbours_and_leaves_no_path_behind() -> None:
    before = list(sys.path)
    assert load("resemblyzer").name == "resemblyzer"
    assert sys.path == before


def test_weights_and_source_are_told() -> None:
    told = {name: load(name).describe() for name in NAMES}
    assert told["openwakeword"]["parameters"] == 96
    assert told["birdnet"]["parameters"] == 1024  # the kernel; filters are fixed, and the classes lie behind the cut
    assert told["resemblyzer"]["parameters"] == 1_423_616
    assert len({note["fingerprint"] for note in told.values()}) == 4
    assert len(told["musicnn"]["fingerprint"]) == 16


def test_birdnet_takes_both_rates_for_one_sound() -> None:
    time_s = torch.arange(48_000 * 4) / 48_000
    sound = (0.3 * torch.sin(2 * torch.pi * 440 * time_s) * torch.sin(time_s)).unsqueeze(0)
    low = load("birdnet")
    high = load_encoder(str(ENCODERS / "birdnet.py"), sample_rate_hz=48_000)
    assert (low.sample_rate, high.sample_rate) == (16_000, 48_000)
    torch.testing.assert_close(low.scenes(sound[:, ::3]), high.scenes(sound), rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match="sample_rate_hz=8000"):
        load_encoder(str(ENCODERS / "birdnet.py"), sample_rate_hz=8000)


def test_a_long_clip_in_pieces_is_the_clip_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load("musicnn")
    monkeypatch.setattr(encoder.api, "_CHUNK_FRAMES", 100)
    log_mel = encoder.model.log_mel(noise(1, 4.0))
    torch.testing.assert_close(
        encoder.model.channels_of_long(log_mel), encoder.model.channels(log_mel), rtol=1e-4, atol=1e-5
    )


def test_voices_have_length_one_whatever_their_volume() -> None:
    encoder = load("resemblyzer")
    audio = 0.01 * noise(1, 2.0)
    scenes = encoder.scenes(torch.cat([audio, 3 * audio]))
    torch.testing.assert_close(scenes.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(scenes[0], scenes[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_missing_weights_say_how_to_get_them(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not exist: fetch it with .*fetch\.py"):
        load_encoder(f"{ENCODERS / name}.py@{tmp_path}")


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model", {"dense/bias": np.zeros(3, dtype=np.float32)})
    with pytest.raises(CheckpointError, match="has no conv2d/kernel: expected a checkpoint of musicnn"):
        load_encoder(f"{ENCODERS}/musicnn.py@{tmp_path}")
    torch.save({"model_state": {"lstm.weight_ih_l0": torch.ones(1)}}, tmp_path / "pretrained.pt")
    with pytest.raises(CheckpointError, match="does not hold Resemblyzer's weights"):
        load_encoder(f"{ENCODERS}/resemblyzer.py@{tmp_path}")
    (tmp_path / "melspectrogram.onnx").write_bytes(b"junk")
    (tmp_path / "embedding_model.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError, match="does not hold openWakeWord's models"):
        load_encoder(f"{ENCODERS}/openwakeword.py@{tmp_path}")
    (tmp_path / "model.tflite").write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="not a TensorFlow Lite model"):
        load_encoder(f"{ENCODERS}/birdnet.py@{tmp_path}")
