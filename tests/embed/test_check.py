"""No embedding with NaN is given out, whatever made it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import axlstm
from axlstm import hear
from axlstm.embed.embedder import Embedder
from axlstm.errors import AudioError
from tests.seeded import audio

RATE = 16_000


def small() -> Embedder:
    return axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)


@pytest.fixture(scope="module")
def broken() -> Embedder:
    """An embedder whose weights hold NaN."""
    embedder = small()
    with torch.no_grad():
        next(embedder.model.encoder.parameters())[0] = torch.nan
    return embedder


def clips(value: float | None = None) -> torch.Tensor:
    waveforms = torch.from_numpy(np.stack([audio(1, seed) for seed in range(3)]))
    if value is not None:
        waveforms[1, 8000] = value
    return waveforms


USES: dict[str, tuple[Callable[[Embedder, Path], object], str]] = {
    "embed": (lambda model, path: model.embed(path), r"a\.wav"),
    "embed an array": (lambda model, _: model.embed(audio(1, 0), RATE), "the array"),
    "embed_batch": (lambda model, _: model.embed_batch([audio(1, 0)], RATE), "clip 0"),
    "embed_stream": (lambda model, path: list(model.embed_stream(path)), r"a\.wav"),
    "stream": (lambda model, _: list(model.stream(RATE).over([audio(3, 0)])), r"the stream, 3\.000 s into it"),
    "forward": (lambda model, _: model(clips()), "clip 0"),
    "hear": (lambda model, _: hear.get_scene_embeddings(clips(), model), "clip 0"),
}


@pytest.mark.parametrize("use", USES)
def test_an_embedding_with_nan_names_its_clip(use: str, broken: Embedder, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", audio(1, 0), RATE)
    compute, name = USES[use]
    with pytest.raises(AudioError, match=rf"{name}: its embedding holds NaN or infinity, .*weights"):
        compute(broken, tmp_path / "a.wav")


def test_a_stream_ends_with_an_embedding_that_is_no_number(broken: Embedder) -> None:
    """Its state is ahead of what it gave: further sound would stand at wrong times."""
    stream = broken.stream(RATE)
    with pytest.raises(AudioError, match="its embedding holds NaN"):
        stream.push(audio(3, 0))
    with pytest.raises(AudioError, match=r"the stream has ended, with flush\(\) or an error"):
        stream.push(audio(3, 0))


def test_one_clip_among_others_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    encode = model._frames
    spoiled = model.embed_batch(list(clips()), RATE)[2].frames.shape[0]

    def spoil(windows: Sequence[torch.Tensor], *device: torch.device) -> list[torch.Tensor]:
        frames = encode(windows, *device)
        frames[2][spoiled - 1] = torch.inf
        return frames

    monkeypatch.setattr(model, "_frames", spoil)
    with pytest.raises(AudioError, match="clip 2: its embedding holds NaN"):
        model.embed_batch(list(clips()), RATE)
    with pytest.raises(AudioError, match="clip 2: its embedding holds NaN"):
        hear.get_timestamp_embeddings(clips(), model)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e20, -3e9])
@pytest.mark.parametrize("call", [hear.get_scene_embeddings, hear.get_timestamp_embeddings])
def test_the_hear_api_refuses_values_that_are_no_sound(call: Callable, value: float) -> None:
    model = small()
    with pytest.raises(AudioError, match=rf"clip 1: holds {value:g} at 0\.500 s; expected ".replace("+", r"\+")):
        call(clips(value), model)
    for loud in (100.0, 32768.0):
        assert call(clips() * loud, model) is not None


def test_a_sound_in_the_units_of_integers_embeds_as_the_scaled_one() -> None:
    model = small()
    expected = model.embed(audio(2, 1), RATE).frames
    for scale in (2.0**15, 2.0**31 / 8):
        np.testing.assert_allclose(model.embed(audio(2, 1) * np.float32(scale), RATE).frames, expected, atol=1e-3)
