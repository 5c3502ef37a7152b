"""Turn clips of any length into scene and frame embeddings."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from axlstm.audio.arrays import check_clips
from axlstm.audio.logmel import ArrayTwin, LogMel, array_twin
from axlstm.audio.open import source_name
from axlstm.audio.read import Audio, load_audio
from axlstm.checkpoints.own import Checkpoint, fingerprint
from axlstm.checkpoints.sources import find_checkpoint, push_to_hub
from axlstm.devices import dtype_name
from axlstm.embed.batching import (
    BATCH_WINDOWS,
    Embedding,
    FrameBlock,
    PreparedClip,
    embed_in_groups,
    encode_windows,
    prepare_array,
)
from axlstm.embed.check import check_frames
from axlstm.embed.computation import Computation
from axlstm.embed.guarded import GuardedModule
from axlstm.embed.identity import embedding_fingerprint
from axlstm.embed.live import HOP_MS, TIME_CONSTANT_S, EmbeddingStream
from axlstm.embed.long import stream_frames
from axlstm.embed.settings import check_options
from axlstm.embed.window_lengths import Windows
from axlstm.embed.windows import WindowBlock, pool_windows
from axlstm.engines.choice import Choice, warn_of_emulation
from axlstm.errors import AudioError, ConfigError
from axlstm.model.encoder import check_layers
from axlstm.model.frame_encoder import FrameEncoder, cut_windows
from axlstm.model.layouts import TimeLayout, make_layout
from axlstm.model.pooling import AnyPooling, pool, pool_array, vectors
from axlstm.model.pretraining import MaskedPatchModel, count_parameters
from axlstm.options import EMBEDDER_DEFAULTS, EmbedderOptions, EngineName, Precision, StreamUnit

if TYPE_CHECKING:
    from axlstm.export.check import Agreement


class Embedder(GuardedModule):
    """A model with its front end: sound in, embeddings out. Made by `load_model` and `create_model`.

    Args:
        checkpoint: the model and its front end. A float32 embedder on the CPU shares its weights.
        options: see `axlstm.options.EmbedderOptions`. The engine is torch (None) unless another is named: who has a
            checkpoint may change its weights.

    Raises:
        ConfigError: an option that does not exist, a device that is not there, or an engine that is not installed.
    """

    def __init__(self, checkpoint: Checkpoint, **options: Unpack[EmbedderOptions]) -> None:
        super().__init__()
        settings = check_options({"engine": None, **options})
        self.config = checkpoint.model.config
        self._checkpoint, self.frontend = checkpoint, checkpoint.frontend
        self.name = checkpoint.name
        self.trained = checkpoint.trained
        self.layout_name = settings.layout
        self.layout = make_layout(settings.layout, settings.padding, self.config, checkpoint.frontend)
        self.layers = None if settings.layers is None else check_layers(settings.layers, self.config)
        self.pooling: AnyPooling = settings.pooling
        self.padding = settings.padding
        self.batch_windows = settings.batch_windows
        self._dtype = settings.dtype
        self._computation = Computation(None)  # until all is in its place
        self._model: MaskedPatchModel | None = _own_copy(checkpoint.model)
        self.logmel = LogMel(checkpoint.frontend)
        self.eval()
        in_torch = settings.engine in (None, "auto", "processes")
        self.to(device=settings.device, dtype=self._dtype if in_torch else torch.float32)
        self._computation = Computation(settings.engine)
        if self.device.type == "cpu":
            warn_of_emulation(dtype_name(self._dtype))
        if settings.engine not in (None, "auto"):
            self._computation.start(self.frame_encoder, self._dtype, fingerprint(self.model, checkpoint.frontend))
            self._model = None  # the engine has the weights now, in a form of its own

    @property
    def engine(self) -> EngineName | None:
        """Return what computes; None is torch. `engine_choice` says why."""
        return self.engine_choice.engine

    @property
    def engine_choice(self) -> Choice:
        """Return what computes, and the reason; ``engine="auto"`` is decided when the first embedding is asked for."""
        return self._computation.decide(
            self._checkpoint,
            lambda: FrameEncoder(self._checkpoint.model.encoder, self.layout, self.layers),
            device=self.device.type,
            precision=self.precision,
            padding=self.padding,
        )

    def in_torch(self) -> Embedder:
        """Return this embedder if torch computes, or else one of the same weights and options in torch."""
        decided = self._computation.choice
        if decided is not None and decided.engine is None:
            return self
        options: Any = {"layout": self.layout_name, "padding": self.padding, "layers": self.layers}
        options |= {"dtype": self.dtype, "batch_windows": self.batch_windows}
        own = self._edited_checkpoint()
        plain = type(self)(replace(own, model=copy.deepcopy(own.model)), engine=None, device=self.device, **options)
        plain.pooling = self.pooling
        return plain

    def going_on(self, fingerprint: str | None) -> Embedder:
        """Return the embedder that embeddings of a fingerprint go on with: this one, or one in torch if they are its.

        Only ``engine="auto"`` gives way. Where neither fits, this one is returned, whose fingerprint is another one.
        """
        if not self._computation.is_auto or fingerprint is None:
            return self
        if self._computation.choice is None and self._fingerprint(None) == fingerprint:  # known without compiling
            self._computation.go_on_in_torch(self.name)
            return self
        if self.fingerprint == fingerprint or (torch_twin := self.in_torch()).fingerprint != fingerprint:
            return self
        torch_twin._computation.go_on_in_torch(self.name)
        return torch_twin

    def fingerprint_as(self, engine: EngineName) -> str:
        """Return the fingerprint that an embedder of the same weights and options has in another engine."""
        return self._fingerprint(engine)

    @property
    def checkpoint(self) -> Checkpoint:
        """Return what it was made of. Edits of its weights are seen as those of `model` are, in float32.

        In other precisions, and with an engine that was named, its weights are a copy, and edits concern nothing here.
        """
        if self._model is None or self.dtype != torch.float32:
            return replace(self._checkpoint, model=copy.deepcopy(self._checkpoint.model))
        self._hand_out()
        ours, theirs = (next(model.parameters()).data_ptr() for model in (self._model, self._checkpoint.model))
        return self._checkpoint if ours == theirs else replace(self._checkpoint, model=self._model)

    @property
    def model(self) -> MaskedPatchModel:
        """Return the weights it computes with, in `dtype`: `embed`, `fingerprint` and `save_pretrained` see edits.

        With ``engine="auto"`` torch computes from then on.

        Raises:
            ConfigError: an engine that was named and is not torch: it took the weights over when it started.
        """
        self._hand_out()
        if self._model is None:
            raise ConfigError(
                f"engine={self.engine!r} has taken the weights over: edit those of an embedder with engine=None, "
                "write them with save_pretrained and load them again"
            )
        return self._model

    def _hand_out(self) -> None:
        self._computation.hand_out()

    def _apply(self, fn: Any, recurse: bool = True) -> Embedder:
        """Move or convert as torch does; elsewhere torch computes."""
        before = None if self._model is None else (self._frame_encoder.dtype, self.device)
        super()._apply(fn, recurse)
        if self._model is not None and before != (self._frame_encoder.dtype, self.device):
            self._hand_out()
        return self

    @property
    def frame_encoder(self) -> FrameEncoder:
        """Return the part between log-mel windows and frame embeddings, with the weights: see `model`."""
        return FrameEncoder(self.model.encoder, self.layout, self.layers)

    @property
    def _frame_encoder(self) -> FrameEncoder:
        """Return it for computing; its weights stay here."""
        assert self._model is not None
        return FrameEncoder(self._model.encoder, self.layout, self.layers)

    @property
    def sample_rate(self) -> int:
        """Return the rate of the sound it computes with, in Hz; `embed` converts other rates."""
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
    def parameter_count(self) -> int:
        """Count the weights, those of the prediction head too; an engine has as many."""
        return count_parameters(self._checkpoint.model, trainable=False)

    @property
    def fingerprint(self) -> str:
        """Identify what is computed: weights as they are, configuration, layout, layers, precision, pooling.

        16 hex digits. Reading it takes as long as reading the weights.
        """
        return self._fingerprint(self.engine)

    def _fingerprint(self, engine: EngineName | None) -> str:
        if self._computation.encode is not None:
            weights = self._computation.weights
        elif engine not in (None, "processes"):  # which takes them in float32
            weights = fingerprint(self._checkpoint.model, self.frontend)
        else:
            assert self._model is not None
            weights = fingerprint(self._model, self.frontend)
        return embedding_fingerprint(
            weights,
            layout=self.layout_name,
            layers=self.layers,
            precision=self.precision,
            engine=engine,
            pooling=str(self.pooling),
            padding=self.padding,
        )

    @property
    def device(self) -> torch.device:
        """Return the device it computes on."""
        return self.logmel.window.device

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision of the encoder."""
        return self._dtype if self._model is None else self._frame_encoder.dtype

    @property
    def precision(self) -> Precision:
        """Return the precision of the encoder by its name."""
        return dtype_name(self.dtype)

    def embed(self, x: Audio, sample_rate: int | None = None) -> Embedding:
        """Embed one clip: anything `axlstm.audio.read.load_audio` takes, from 400 samples at 16 kHz up.

        Args:
            sample_rate: in Hz; required for an array or tensor, not allowed with a file.

        Raises:
            AudioError, FileNotFoundError: no sound, or one that is too short.
        """
        return self.embed_prepared([self.prepare(x, sample_rate)])[0]

    def embed_batch(self, clips: Sequence[Audio], sample_rate: int | None = None) -> list[Embedding]:
        """Embed clips of any lengths, their windows computed together; the same numbers as one by one.

        `axlstm.embed.batching.embed_in_groups` does this for more clips than fit in memory.

        Raises:
            AudioError, FileNotFoundError: as `embed`, naming the clip by its index.
        """
        return list(embed_in_groups(self, clips, sample_rate))

    def prepare(self, x: Audio, sample_rate: int | None = None) -> PreparedClip:
        """Do all of `embed` that comes before the encoder, with its errors; several threads may do so at once."""
        waveform, name = load_audio(x, sample_rate), source_name(x)
        logmel = self._logmel
        if isinstance(logmel, ArrayTwin) and isinstance(self.layout, TimeLayout) and self.padding == "window":
            clip = prepare_array(waveform, logmel.arrays, self.layout, self.config, name)
            return replace(clip, windows=[torch.from_numpy(window) for window in clip.windows])
        return self._prepare_waveform(torch.from_numpy(waveform), name)

    @property
    def _logmel(self) -> LogMel:
        """Return the front end of its device; on the CPU it is that of commands that load no torch."""
        return array_twin(self.frontend) if self.device.type == "cpu" else self.logmel

    def embed_prepared(self, clips: Sequence[PreparedClip]) -> list[Embedding]:
        """Embed clips whose windows share batches."""
        frames = iter(self._frames([window for clip in clips for window in clip.windows]))
        embeddings = []
        for clip in clips:
            parts = list(islice(frames, len(clip.windows)))  # (t, F) each
            own = torch.cat(parts)[: self.layout.frame_count(clip.samples)]  # (T, F)
            check_frames(own[None], clip.name)
            embeddings.append(
                Embedding(
                    scene=self._pool_clip(own),
                    frames=own.numpy(),
                    timestamps_ms=self.layout.timestamps_ms(clip.samples).numpy(),
                    duration_s=clip.samples / self.sample_rate,
                )
            )
        return embeddings

    def embed_stream(self, x: Audio, sample_rate: int | None = None) -> Iterator[FrameBlock]:
        """Give the frames of `embed` a minute at a time, in memory that does not grow with the clip.

        The sound is read twice if it is longer than twenty minutes: first for the statistics of its normalisation, then
        for its windows.

        Args:
            x, sample_rate: as `embed`, but for a file object, which can be read only once.

        Raises:
            AudioError, FileNotFoundError: as `embed`.
        """
        if hasattr(x, "read"):
            raise AudioError("embed_stream reads the sound twice: pass a path, bytes or an array, not a file object")
        return stream_frames(self._frames, self._logmel, self.layout, self.config, x, sample_rate)

    def windows(
        self, x: Audio, window_s: float, hop_s: float | None = None, sample_rate: int | None = None
    ) -> Iterator[WindowBlock]:
        """Embed each window of a recording: `pool` of the frames of `embed_stream` whose centres lie in it.

        They are normalised over the whole recording, so that a window cut out and embedded alone differs a little.

        Args:
            x, sample_rate: as `embed_stream`.
            window_s, hop_s: see `axlstm.embed.windows.Windows`.

        Raises:
            ConfigError: windows that leave sound out or are below 0.2 s, or the published layout.
            AudioError, FileNotFoundError: as `embed`.
        """
        chosen = Windows(window_s, hop_s)
        return pool_windows(self.embed_stream(x, sample_rate), chosen, self.layout, self.pooling)

    def stream(
        self,
        sample_rate: float,
        *,
        hop_ms: float = HOP_MS,
        time_constant_s: float | None = TIME_CONSTANT_S,
        each: StreamUnit = "frame",
    ) -> EmbeddingStream:
        """Embed sound that has no end yet, such as a microphone's; see `axlstm.embed.live.EmbeddingStream`.

        Raises:
            ConfigError: the published layout, which mixes moments that have not come yet.
        """
        if not isinstance(self.layout, TimeLayout):
            raise ConfigError(f"layout={self.layout_name!r}: a stream needs layout='time'")
        options: Any = {"hop_ms": hop_ms, "time_constant_s": time_constant_s, "each": each, "pooling": self.pooling}
        _ = self.engine  # is decided before the sound comes
        return EmbeddingStream(self._frames, self._logmel, self.layout, sample_rate, **options)

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Embed clips of one length to frames, as tensors on the embedder's device.

        Args:
            waveforms: ``(B, n)`` at 16 kHz.

        Returns:
            frames ``(B, T, F)`` and timestamps in ms ``(T,)``, both float32; `pool` makes scenes of them.

        Raises:
            AudioError: another shape, fewer than 400 samples, or values that are no sound (NaN, or beyond 2^31).
        """
        if waveforms.ndim != 2 or waveforms.shape[0] == 0:
            raise AudioError(f"waveforms: expected (clips, samples), got {tuple(waveforms.shape)}")
        check_clips(waveforms, self.sample_rate)
        count = waveforms.shape[1]
        clips = [self._prepare_waveform(waveform, f"clip {index}") for index, waveform in enumerate(waveforms)]
        frames = self._frames([window for clip in clips for window in clip.windows], self.device)
        own = torch.cat(frames).unflatten(0, (len(clips), -1))[:, : self.layout.frame_count(count)]  # (B, T, F)
        check_frames(own, *(clip.name for clip in clips))
        return own, self.layout.timestamps_ms(count).to(self.device)

    def pool(self, frames: Tensor) -> Tensor:
        """Pool frames ``(..., T, F)`` over T to scene embeddings, as `pooling` says."""
        return pool(frames, self.pooling)

    def _pool_clip(self, frames: Tensor) -> NDArray[np.float32]:
        """Pool the frames ``(T, F)`` of a clip on the CPU, with sums in float64 as of a long one."""
        pooling = self.pooling
        return pool_array(frames.numpy(), pooling) if isinstance(pooling, str) else pool(frames, pooling).numpy()

    def _prepare_waveform(self, waveform: Tensor, name: str) -> PreparedClip:
        """Prepare a clip ``(n,)`` at 16 kHz."""
        with torch.no_grad():
            logmel = self._logmel(waveform.to(self.device))  # (frames, bands)
            return PreparedClip(len(waveform), cut_windows(self.layout, logmel, len(waveform), self.config), name)

    @property
    def most_windows(self) -> int:
        """Return the most windows that the encoder computes at a time."""
        return self.batch_windows or BATCH_WINDOWS[self.device.type]

    def _frames(self, windows: Sequence[Tensor], device: torch.device | str = "cpu") -> list[Tensor]:
        """Turn windows ``(frames, bands)`` into frame embeddings ``(T, F)`` each, float32, on ``device``."""
        _ = self.engine  # is decided now
        encode = self._computation.encode or self._frame_encoder.prepare()
        return encode_windows(encode, windows, self.most_windows * self.config.window_frames, device)

    def export(self, path: str | Path, format: str = "onnx") -> Agreement:
        """Write the model with its front end to one file: waveforms at 16 kHz in, embeddings out, in any runtime.

        The file takes ``waveforms (batch, samples)`` and gives ``scene (batch, F)``, ``frames (batch, T, F)`` and
        ``timestamps_ms (T,)``. It is compared with this embedder before it is put in place; the result is returned.

        Args:
            path: ends with ``.onnx``, ``.xml`` (OpenVINO; its weights go to a .bin file beside it) or ``.pt2``.
            format: ``"onnx"``, ``"openvino"`` or ``"torch-export"``.

        Raises:
            ConfigError: an unknown format, a name that does not fit it, or a library that is missing.
            ExportError: embeddings that differ by more than 1e-4 (and more than float32 does by itself).
        """
        from axlstm.export.write import export_model

        return export_model(self, Path(path), format)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the model to ``folder`` (``config.json``, ``model.safetensors``), for `load_model` to read.

        Weights that were edited in place are written as they are now. Of an embedder in another precision than
        float32 the float32 weights are written that it was made from.

        Raises:
            ConfigError: the weights of such an embedder were edited, and would be saved as they were before.
        """
        return self._edited_checkpoint().save(folder)

    @classmethod
    def from_pretrained(
        cls, source: str | os.PathLike[str], *, revision: str | None = None, **options: Unpack[EmbedderOptions]
    ) -> Embedder:
        """Load an embedder; the same as `axlstm.load_model`."""
        settled: Any = {**EMBEDDER_DEFAULTS, **options}
        check_options(settled)
        return cls(find_checkpoint(source, revision), **settled)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the model to the Hugging Face Hub; see `axlstm.checkpoints.sources.push_to_hub`."""
        return push_to_hub(self._edited_checkpoint(), repo_id, **options)

    def _edited_checkpoint(self) -> Checkpoint:
        """Return the checkpoint with the weights as they are now."""
        if self._model is None:
            return self._checkpoint
        before = self._checkpoint.model.state_dict()
        for name, now in self._model.state_dict().items():
            if now.dtype != torch.float32 and not torch.equal(now.cpu(), before[name].to(now.dtype)):
                raise ConfigError(
                    f"{name} was edited in {self.dtype}, which cannot be written without rounding all weights: "
                    'edit an embedder with dtype="float32"'
                )
        return self._checkpoint if self.dtype != torch.float32 else replace(self._checkpoint, model=self._model)


def _own_copy(model: MaskedPatchModel) -> MaskedPatchModel:
    """Copy a model without its gradients: values are shared until the copy is moved or converted."""
    shared: dict[int, Any] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    return copy.deepcopy(model, shared)
