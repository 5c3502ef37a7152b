"""Embed without torch: the start of a program takes half a second less, and its memory 150 MB less.

`open_embedder` is what commands load a model with. It gives a `LightEmbedder` where a graph of the model was compiled
and checked before (`axlstm.engines.kept`), and an `Embedder` in all other cases: the first time on a machine, too.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from axlstm.audio.frontend import ArrayLogMel
from axlstm.audio.open import source_name
from axlstm.audio.read import Audio, load_audio
from axlstm.checkpoints.reading import ReadCheckpoint, find_own, fingerprint_weights, read_checkpoint
from axlstm.embed.batching import Embedding, FrameBlock, PreparedClip, prepare_array
from axlstm.embed.identity import embedding_fingerprint
from axlstm.engines.choice import choose_engine, log_choice, warn_of_emulation
from axlstm.engines.kept import KeptGraph, graph_key, load_graph
from axlstm.engines.openvino import OpenVINOEncoder, from_content
from axlstm.errors import AudioError, AxlstmError, first_line
from axlstm.model.layouts import TimeLayout
from axlstm.model.pooling import pool_array, vectors
from axlstm.options import EMBEDDER_DEFAULTS, EmbedderOptions, EngineName, LayoutName, Padding, Pooling, Precision

if TYPE_CHECKING:
    from axlstm.embed.embedder import Embedder
    from axlstm.embed.windows import WindowBlock

logger = logging.getLogger(__name__)

_WINDOWS_AT_A_TIME = 4  # for each core, of neighbouring clips


def open_embedder(
    source: str | os.PathLike[str],
    going_on: str | None = None,
    *,
    revision: str | None = None,
    **options: Unpack[EmbedderOptions],
) -> Embedder | LightEmbedder:
    """Load an embedder for a command, without torch where that is possible.

    Args:
        going_on: the fingerprint of embeddings that are there already, see `Embedder.going_on`.
        source, revision, options: as of `load_model`, with its errors.
    """
    filled: EmbedderOptions = {**EMBEDDER_DEFAULTS, **options}
    light = _open_light(source, filled, going_on) if revision is None else None
    if light is not None:
        return light
    from axlstm.embed.embedder import Embedder

    return Embedder.from_pretrained(source, revision=revision, **options).going_on(going_on)


def _open_light(source: str | os.PathLike[str], options: EmbedderOptions, going_on: str | None) -> LightEmbedder | None:
    """Open what was compiled and checked before; None if there is none, or if torch has to decide."""
    precision, layers, engine = options["dtype"], options["layers"], options["engine"]
    if (
        set(options) - set(EMBEDDER_DEFAULTS)
        or options["device"] != "cpu"
        or engine not in ("auto", "openvino")
        or precision not in ("float32", "bfloat16")
        or (options["layout"], options["padding"], options["batch_windows"]) != ("time", "window", None)
        or options["pooling"] not in ("mean", "mean+deviation")
        or not (layers is None or (isinstance(layers, Sequence) and all(type(one) is int for one in layers)))
    ):
        return None
    choice = choose_engine("cpu", precision, "window")
    path = find_own(os.fspath(source))
    if path is None or choice.engine is None:
        return None
    try:
        read = read_checkpoint(path, "np")
    except (AxlstmError, TypeError):  # torch reads more, and says what is wrong
        return None
    weights = fingerprint_weights(read.tensors, read.config, read.frontend)
    states = read.config.depth + 1
    if layers is not None and (not layers or any(not -states <= layer < states for layer in layers)):
        return None  # refused where torch is
    chosen = None if layers is None else [layer % states for layer in layers]
    try:
        kept = load_graph(graph_key(weights, "time", chosen, precision))
        if kept is None:
            return None
        described = replace(read, tensors={})  # the graph has them in a form of its own
        light = LightEmbedder(described, weights, kept, precision, chosen, options["pooling"])
        if going_on not in (None, light.fingerprint):
            return None
        light.start()
    except Exception as error:  # of a runtime, which has errors of its own: with torch it is compiled again, or told
        logger.info("%s: what was compiled before does not work (%s)", read.name, first_line(error))
        return None
    warn_of_emulation(precision)
    log_choice(read.name, choice, "compiled and checked before")
    return light


class LightEmbedder:
    """Does what commands need of an `Embedder`, in OpenVINO and NumPy. Made by `open_embedder`.

    Long recordings and windows load torch for what lies around the encoder: of their time that is little.

    Args:
        read: the checkpoint without its tensors.
        weights: its fingerprint.
        kept: its compiled graph.
        layers: from 0 to depth.
    """

    engine: EngineName = "openvino"
    layout_name: LayoutName = "time"
    padding: Padding = "window"

    def __init__(
        self,
        read: ReadCheckpoint,
        weights: str,
        kept: KeptGraph,
        precision: Precision,
        layers: list[int] | None,
        pooling: Pooling,
    ) -> None:
        self.name, self.config, self.frontend = read.name, read.config, read.frontend
        self.layers, self.pooling, self.precision = layers, pooling, precision
        self.layout = TimeLayout(read.config, read.frontend)
        self._weights = weights
        self._logmel = ArrayLogMel(read.frontend, kept.filters)
        self._encoder: OpenVINOEncoder = from_content(kept.content, read.config, precision)

    def start(self) -> None:
        """Load the compiled graph now, so that an error is found before anything is embedded."""
        self._encoder.session(1)

    @property
    def sample_rate(self) -> int:
        """Return the rate of the sound it computes with, in Hz."""
        return self.frontend.sample_rate_hz

    @property
    def timestamp_embedding_size(self) -> int:
        """Return the size F of a frame embedding."""
        return self.config.embedding_size * (1 if self.layers is None else len(self.layers))

    @property
    def scene_embedding_size(self) -> int:
        """Return the size of a scene embedding: F, or 2 F with deviations."""
        return vectors(self.pooling) * self.timestamp_embedding_size

    @property
    def fingerprint(self) -> str:
        """Identify what is computed; the same as of an `Embedder` that computes in OpenVINO."""
        return embedding_fingerprint(
            self._weights,
            layout=self.layout_name,
            layers=self.layers,
            precision=self.precision,
            engine=self.engine,
            pooling=self.pooling,
            padding=self.padding,
        )

    @property
    def most_windows(self) -> int:
        """Return the most windows that one core computes at a time."""
        return _WINDOWS_AT_A_TIME

    def prepare(self, x: Audio, sample_rate: int | None = None) -> PreparedClip:
        """Do all of `embed` that comes before the encoder; several threads may do so at once."""
        return prepare_array(load_audio(x, sample_rate), self._logmel, self.layout, self.config, source_name(x))

    def embed(self, x: Audio, sample_rate: int | None = None) -> Embedding:
        """Embed one clip; arguments and errors as `Embedder.embed`."""
        return self.embed_prepared([self.prepare(x, sample_rate)])[0]

    def embed_prepared(self, clips: Sequence[PreparedClip]) -> list[Embedding]:
        """Embed clips whose windows are computed together."""
        windows = [window for clip in clips for window in clip.windows]
        frames = iter(self._encoder.encode(windows))
        embeddings = []
        for clip in clips:
            parts = [next(frames) for _ in clip.windows]  # (t, F) each
            own = np.concatenate(parts)[: self.layout.frame_count(clip.samples)]  # (T, F)
            if not np.isfinite(own.sum()):
                raise AudioError(
                    f"{clip.name}: its embedding holds NaN or infinity, though its samples do not: either the weights "
                    'hold some, or the encoder overflows in this precision; try dtype="float32"'
                )
            times_ms = self.layout.array_timestamps_ms(clip.samples)
            embeddings.append(Embedding(pool_array(own, self.pooling), own, times_ms, clip.samples / self.sample_rate))
        return embeddings

    def embed_stream(self, x: Audio, sample_rate: int | None = None) -> Iterator[FrameBlock]:
        """Give the frames of `embed` a minute at a time; arguments and errors as `Embedder.embed_stream`."""
        from axlstm.audio.logmel import array_twin
        from axlstm.embed.long import stream_frames

        logmel = array_twin(self.frontend)
        return stream_frames(self._encode_tensors, logmel, self.layout, self.config, x, sample_rate)

    def windows(self, x: Path, window_s: float, hop_s: float | None = None) -> Iterator[WindowBlock]:
        """Embed each window of a recording; arguments and errors as `Embedder.windows`."""
        from axlstm.embed.window_lengths import Windows
        from axlstm.embed.windows import pool_windows

        return pool_windows(self.embed_stream(x), Windows(window_s, hop_s), self.layout, self.pooling)

    def _encode_tensors(self, windows: Sequence[Any]) -> list[Any]:
        import torch

        return [torch.from_numpy(frames) for frames in self._encoder.encode([window.numpy() for window in windows])]
