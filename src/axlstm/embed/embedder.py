"""Clips of any length to scene and frame embeddings."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from axlstm.audio.logmel import LogMel
from axlstm.audio.read import Audio, load_audio, stream_audio
from axlstm.checkpoints.own import Checkpoint, fingerprint
from axlstm.devices import dtype_name
from axlstm.embed.live import HOP_MS, TIME_CONSTANT_S, EmbeddingStream
from axlstm.embed.long import measure, stream_windows
from axlstm.embed.settings import check_options
from axlstm.engines.processes import encode_in_processes
from axlstm.errors import AudioError, ConfigError
from axlstm.model.encoder import check_layers
from axlstm.model.layouts import TimeLayout, cut_windows, make_layout
from axlstm.model.pooling import pool, vectors
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.options import EmbedderOptions, EngineName, StreamUnit
from axlstm.threads import ahead, on_all_cores, one_core_threads

if TYPE_CHECKING:
    from axlstm.engines.compiled import Encode
    from axlstm.export.check import Agreement

# On a CPU four windows keep the matrices of decays in the cache: more were no faster in float32 for any size measured.
_BATCH_WINDOWS = {"cpu": 4}
_BATCH_WINDOWS_ELSEWHERE = 256
_BATCHES_PER_GROUP = 32  # of windows of neighbouring clips that are gathered before they are encoded


@dataclass(frozen=True)
class Embedding:
    """What a clip sounds like: one vector for the whole, one for every 40 ms.

    scene ``(F,)`` (``(2 F,)`` with deviations), frames ``(T, F)``, timestamps_ms ``(T,)``: float32; duration_s: of the
    clip, in seconds.
    """

    scene: NDArray[np.float32]
    frames: NDArray[np.float32]
    timestamps_ms: NDArray[np.float32]
    duration_s: float


@dataclass(frozen=True)
class PreparedClip:
    """A clip as the encoder takes it: its samples at 16 kHz, and normalised windows ``(W, window_frames, bands)``."""

    samples: int
    windows: Tensor


@dataclass(frozen=True)
class FrameBlock:
    """Consecutive frames of a clip: frames ``(t, F)`` and timestamps_ms ``(t,)``, float32."""

    frames: NDArray[np.float32]
    timestamps_ms: NDArray[np.float32]


class Embedder(nn.Module):
    """A model with its front end: sound in, embeddings out. Made by `load_model` and `create_model`.

    Args:
        checkpoint: the model and its front end. It stays as it is, and is what `save_pretrained` writes.
        options: see `axlstm.options.EmbedderOptions`.

    Raises:
        ConfigError: an option that does not exist, a device that is not there, or an engine that is not installed.
    """

    def __init__(self, checkpoint: Checkpoint, **options: Unpack[EmbedderOptions]) -> None:
        super().__init__()
        settings = check_options(options)
        self.config = checkpoint.model.config
        self.checkpoint = checkpoint
        self.name = checkpoint.name
        self.trained = checkpoint.trained
        self.layout_name = settings.layout
        self.layout = make_layout(settings.layout, self.config, checkpoint.frontend)
        self.layers = None if settings.layers is None else check_layers(settings.layers, self.config)
        self.pooling = settings.pooling
        self.batch_windows = settings.batch_windows
        self.model = _own_copy(checkpoint.model)
        self.logmel = LogMel(checkpoint.frontend)
        self.eval()
        self.engine = settings.engine
        in_torch = self.engine in (None, "processes")
        self.to(device=settings.device, dtype=settings.dtype if in_torch else torch.float32)
        self._compiled_dtype = settings.dtype
        self._compiled: Encode | None = None
        if self.engine is not None:
            self._compiled = _start_engine(self, self.engine, settings.dtype)

    @property
    def sample_rate(self) -> int:
        """Rate of the sound it computes with, in Hz; other rates are converted by `embed`."""
        return self.checkpoint.frontend.sample_rate_hz

    @property
    def timestamp_embedding_size(self) -> int:
        """Size F of a frame embedding."""
        return self.config.embedding_size * (1 if self.layers is None else len(self.layers))

    @property
    def scene_embedding_size(self) -> int:
        """Size of a scene embedding: F, or 2 F with deviations."""
        return vectors(self.pooling) * self.timestamp_embedding_size

    @cached_property
    def fingerprint(self) -> str:
        """Identifies what is computed: weights, configuration, layout, layers, precision, pooling (16 hex digits)."""
        weights = fingerprint(self.model, self.checkpoint.frontend)
        parts = [weights, self.layout_name, str(self.layers), str(self.dtype)]
        parts += [self.engine] if self.engine not in (None, "processes") else []
        parts += [self.pooling] if self.pooling != "mean" else []
        return _short_hash("/".join(parts))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.logmel.window.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the encoder."""
        return self._compiled_dtype if self._compiled else self.model.encoder.norm.weight.dtype

    def embed(self, x: Audio, sample_rate: int | None = None) -> Embedding:
        """Embed one clip: anything `axlstm.audio.read.load_audio` takes, from 400 samples at 16 kHz up.

        Args:
            sample_rate: in Hz; required for an array or tensor, not allowed with a file.

        Raises:
            AudioError, FileNotFoundError: no sound, or one that is too short.
        """
        return self.embed_waveforms([load_audio(x, sample_rate)])[0]

    def embed_batch(self, clips: Sequence[Audio], sample_rate: int | None = None) -> list[Embedding]:
        """Embed clips of any lengths, their windows computed together; the same numbers as one by one.

        Raises:
            AudioError, FileNotFoundError: as `embed`, naming the clip by its index.
        """
        return list(self.embed_iter(clips, sample_rate))

    def embed_iter(self, clips: Iterable[Audio], sample_rate: int | None = None) -> Iterator[Embedding]:
        """`embed_batch` for more clips than fit in memory: reads and yields them in order, a group at a time."""
        group: list[PreparedClip] = []
        prepared = ahead(
            lambda clip: self.prepare(clip, sample_rate), clips, lambda clip: len(clip.windows), self.group_windows
        )
        for index, (_, result) in enumerate(prepared):
            try:
                group.append(result.result())
            except (AudioError, FileNotFoundError) as error:
                raise type(error)(f"clip {index}: {error}") from error
            if sum(len(clip.windows) for clip in group) >= self.group_windows:
                yield from self.embed_prepared(group)
                group = []
        if group:
            yield from self.embed_prepared(group)

    def embed_waveforms(self, waveforms: Sequence[NDArray[np.float32] | Tensor]) -> list[Embedding]:
        """Embed clips that are 16 kHz mono float32 ``(n,)`` already; they are not checked for NaN."""
        return self.embed_prepared([self._prepare_waveform(torch.as_tensor(waveform)) for waveform in waveforms])

    def prepare(self, x: Audio, sample_rate: int | None = None) -> PreparedClip:
        """All of `embed` that comes before the encoder; several threads may prepare clips at the same time.

        Raises:
            AudioError, FileNotFoundError: as `embed`.
        """
        return self._prepare_waveform(torch.from_numpy(load_audio(x, sample_rate)))

    @property
    def group_windows(self) -> int:
        """Windows that are worth encoding together: fewer leave cores without work."""
        return _BATCHES_PER_GROUP * self._batch

    def embed_prepared(self, clips: Sequence[PreparedClip]) -> list[Embedding]:
        """Embed clips whose windows share batches."""
        if not clips:
            return []
        frames = self._frames(torch.cat([clip.windows for clip in clips]))  # (all windows, grid_frames, F)
        embeddings = []
        for clip, part in zip(clips, frames.split([len(clip.windows) for clip in clips]), strict=True):
            own = part.flatten(0, 1)[: self.layout.frame_count(clip.samples)].clone()  # (T, F)
            embeddings.append(
                Embedding(
                    scene=self.pool(own).numpy(),
                    frames=own.numpy(),
                    timestamps_ms=self.layout.timestamps_ms(clip.samples).numpy(),
                    duration_s=clip.samples / self.sample_rate,
                )
            )
        return embeddings

    def embed_stream(self, x: Audio, sample_rate: int | None = None) -> Iterator[FrameBlock]:
        """The frames of `embed`, a minute at a time, in memory that does not grow with the clip.

        The sound is read twice: first for the statistics of its normalisation, then for its windows.

        Args:
            x: anything `embed` takes but a file object, which can be read only once.
            sample_rate: in Hz; required for an array or tensor, not allowed with a file.

        Raises:
            AudioError, FileNotFoundError: as `embed`.
        """
        if hasattr(x, "read"):
            raise AudioError("embed_stream reads the sound twice: pass a path, bytes or an array, not a file object")
        with one_core_threads(1) as background:
            measured = background.submit(measure, stream_audio(x, sample_rate), self.logmel, self.layout)
            statistics, samples = measured.result()
            self.check_length(samples)
            frames = self.layout.frame_count(samples)
            times_ms = self.layout.timestamps_ms(samples)
            source = stream_windows(
                stream_audio(x, sample_rate), self.logmel, self.layout, self.config, statistics, samples
            )
            done = 0
            following = background.submit(next, source, None)  # the next windows, while the encoder computes
            while (windows := following.result()) is not None:
                following = background.submit(next, source, None)
                block = self._frames(windows).flatten(0, 1)[: frames - done]  # (t, F)
                if len(block):
                    yield FrameBlock(block.numpy(), times_ms[done : done + len(block)].numpy())
                done += len(block)

    def stream(
        self,
        sample_rate: float,
        *,
        hop_ms: float = HOP_MS,
        time_constant_s: float | None = TIME_CONSTANT_S,
        each: StreamUnit = "frame",
    ) -> EmbeddingStream:
        """For sound that has no end yet, such as a microphone's: an object that takes blocks and gives embeddings.

        Arguments, errors and how it differs from `embed`: `axlstm.embed.live.EmbeddingStream`.

        Raises:
            ConfigError: the published layout, which mixes moments that have not come yet.
        """
        if not isinstance(self.layout, TimeLayout):
            raise ConfigError(f"layout={self.layout_name!r}: a stream needs layout='time'")
        return EmbeddingStream(
            self._frames,
            self.logmel,
            self.layout,
            sample_rate,
            hop_ms=hop_ms,
            time_constant_s=time_constant_s,
            each=each,
            pooling=self.pooling,
        )

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Frame embeddings of clips of one length, as tensors on the embedder's device.

        Args:
            waveforms: ``(B, n)`` at 16 kHz.

        Returns:
            frames ``(B, T, F)`` and timestamps in ms ``(T,)``, both float32; `pool` makes scenes of them.

        Raises:
            AudioError: another shape, or fewer than 400 samples.
        """
        if waveforms.ndim != 2 or waveforms.shape[0] == 0:
            raise AudioError(f"waveforms: expected (clips, samples), got {tuple(waveforms.shape)}")
        count = waveforms.shape[1]
        self.check_length(count)
        clips = [self._prepare_waveform(waveform) for waveform in waveforms]
        windows = torch.stack([clip.windows for clip in clips])  # (B, W, frames, bands)
        frames = self._frames(windows.flatten(0, 1), self.device).unflatten(0, windows.shape[:2])
        own = frames.flatten(1, 2)[:, : self.layout.frame_count(count)]  # (B, T, F)
        return own, self.layout.timestamps_ms(count).to(self.device)

    def pool(self, frames: Tensor) -> Tensor:
        """Scene embeddings of frames ``(..., T, F)``: over T, as `pooling` says."""
        return pool(frames, self.pooling)

    def check_length(self, samples: int) -> None:
        """Refuse a clip of too few samples at 16 kHz, with an `AudioError` that says how many there have to be."""
        if samples < self.logmel.least_samples:
            raise AudioError(
                f"{samples} samples at {self.sample_rate} Hz: no embedding is defined below "
                f"{self.logmel.least_samples} ({1000 * self.logmel.least_samples / self.sample_rate:g} ms); "
                "pad the clip with silence or drop it"
            )

    def _prepare_waveform(self, waveform: Tensor) -> PreparedClip:
        """A clip ``(n,)`` at 16 kHz."""
        samples = len(waveform)
        self.check_length(samples)
        with torch.no_grad():
            logmel = self.logmel(waveform.to(self.device))  # (frames, bands)
            return PreparedClip(samples, cut_windows(self.layout, logmel, samples, self.config))

    @property
    def _batch(self) -> int:
        return self.batch_windows or _BATCH_WINDOWS.get(self.device.type, _BATCH_WINDOWS_ELSEWHERE)

    def _frames(self, windows: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Windows ``(N, frames, bands)`` to frame embeddings ``(N, grid_frames, F)``, float32, on ``device``."""
        out = torch.empty(len(windows), self.config.grid_frames, self.timestamp_embedding_size, device=device)

        @torch.no_grad()
        def encode(batch: tuple[Tensor, Tensor]) -> None:
            some, frames = batch
            frames.copy_((self._compiled or self.encode)(some))

        if self.device.type == "cpu":
            rounds = -(-len(windows) // (self._batch * torch.get_num_threads()))
            parts = min(len(windows), rounds * torch.get_num_threads())  # equal ones: no core waits for the last
            on_all_cores(encode, zip(windows.tensor_split(parts), out.tensor_split(parts), strict=True))
        else:
            for batch in zip(windows.split(self._batch), out.split(self._batch), strict=True):
                encode(batch)
        return out

    def encode(self, windows: Tensor) -> Tensor:
        """A batch of normalised windows ``(b, frames, bands)`` in torch: frame embeddings ``(b, grid_frames, F)``."""
        encoder, windows = self.model.encoder, windows.to(self.dtype)
        states = [encoder(windows)] if self.layers is None else encoder.hidden_states(windows, self.layers)
        return torch.cat([self.layout.frames(state) for state in states], dim=-1)

    def export(self, path: str | Path, format: str = "onnx") -> Agreement:
        """Write the model with its front end to one file: waveforms at 16 kHz in, embeddings out, in any runtime.

        The file takes ``waveforms (batch, samples)`` and gives ``scene (batch, F)``, ``frames (batch, T, F)`` and
        ``timestamps_ms (T,)``, for any batch and length from 400 samples up. It is read back and compared with this
        embedder on bundled recordings before it is put in place. `axlstm.ExportedModel` uses it without torch.

        Args:
            path: ends with ``.onnx``, ``.xml`` (OpenVINO; its weights go to a .bin file beside it) or ``.pt2``.
            format: ``"onnx"``, ``"openvino"`` or ``"torch-export"``.

        Returns:
            How far the two are apart.

        Raises:
            ConfigError: an unknown format, a name that does not fit it, or a library that is missing.
            ExportError: embeddings that differ by more than 1e-4 (and more than float32 does by itself).
        """
        from axlstm.export.write import export_model

        return export_model(self, Path(path), format)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the model to ``folder`` (``config.json``, ``model.safetensors``), for `load_model` to read."""
        return self.checkpoint.save(folder)

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> Embedder:
        """The same as `axlstm.load_model`."""
        from axlstm.hub import load_model

        return load_model(source, **options)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the model to the Hugging Face Hub; see `axlstm.checkpoints.sources.push_to_hub`."""
        from axlstm.checkpoints.sources import push_to_hub

        return push_to_hub(self.checkpoint, repo_id, **options)


def _own_copy(model: MaskedPatchModel) -> MaskedPatchModel:
    """The model over again, with the same values in memory, without gradients, to be moved and converted by itself."""
    shared: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.detach(), requires_grad=False) for parameter in model.parameters()
    }
    return copy.deepcopy(model, shared)


def _start_engine(embedder: Embedder, name: EngineName, dtype: torch.dtype) -> Encode:
    if name == "processes":
        return encode_in_processes(embedder)
    from axlstm.engines.compiled import compile_encoder

    return compile_encoder(embedder, name, dtype_name(dtype))


def _short_hash(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]
