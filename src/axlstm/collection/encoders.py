"""Make vectors of windows: of an embedder's frames, or with a model that embeds clips, each window by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.read import load_audio, stream_audio
from axlstm.embed.batching import FrameBlock, PreparedClip, group_frames
from axlstm.embed.embedder import Embedder
from axlstm.embed.window_lengths import LEAST_S, Windows
from axlstm.embed.windows import check_windows, pool_windows
from axlstm.errors import AudioError, describe_error

_BATCH_SECONDS = 84.0  # of sound in a batch of windows that are embedded by themselves
_GROUP_SECONDS = 600.0  # of sound that waits for such an encoder


@dataclass(frozen=True)
class EncoderNote:
    """The description of an encoder in a collection, without its windows."""

    name: str
    source: str
    fingerprint: str
    size: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WindowVectors:
    """Consecutive windows: embeddings ``(w, D)`` float32, start_s and end_s ``(w,)`` float64 in the recording."""

    embeddings: NDArray[np.float32]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]


class NotedEncoder(Protocol):
    """A description of an encoder that is there before it is loaded."""

    @property
    def note(self) -> EncoderNote:
        """Describe it."""

    @property
    def windows(self) -> Windows:
        """Return the windows that it makes vectors of."""


class WindowEncoder(NotedEncoder, Protocol):
    """Makes vectors of windows. Sound is prepared in threads, ahead of the encoder."""

    limit: int
    """Size of the prepared sounds that are worth computing together."""

    def prepare(self, file: Path) -> Any:
        """Read a sound that fits in memory.

        Raises:
            AudioError, OSError: it cannot be read or is too short.
        """

    def size_of(self, prepared: Any) -> int:
        """Return the size of a prepared sound, in the unit of `limit`."""

    def embed(self, prepared: Sequence[Any]) -> list[WindowVectors]:
        """Embed the windows of several sounds: one block for each.

        Raises:
            AudioError: one of them has no embedding.
        """

    def stream(self, file: Path) -> Iterator[WindowVectors]:
        """Embed the windows of a sound of any length, in memory that does not grow with it; errors as the others."""


class _OfEmbedder:
    """The parts that all have in common that embed by an `Embedder`."""

    def __init__(self, embedder: Embedder, windows: Windows, note: EncoderNote) -> None:
        check_windows(windows, embedder.layout)
        self.embedder, self.windows, self.note = embedder, windows, note
        self.limit = group_frames(embedder)

    def prepare(self, file: Path) -> PreparedClip:
        return self.embedder.prepare(file)

    def size_of(self, prepared: PreparedClip) -> int:
        return prepared.encoded_frames


class EmbedderWindows(_OfEmbedder):
    """Makes windows' vectors of an embedder's frames, which are computed once for all windows that they lie in.

    Raises:
        ConfigError: windows that the model's frames cannot fill.
    """

    def embed(self, prepared: Sequence[PreparedClip]) -> list[WindowVectors]:
        blocks = []
        for clip in self.embedder.embed_prepared(prepared):
            frames = FrameBlock(clip.frames, clip.timestamps_ms, clip.duration_s)
            (block,) = pool_windows([frames], self.windows, self.embedder.layout, self.embedder.pooling)
            blocks.append(WindowVectors(block.embeddings, block.start_s, block.end_s))
        return blocks

    def stream(self, file: Path) -> Iterator[WindowVectors]:
        for block in self.embedder.windows(file, self.windows.window_s, self.windows.hop_s):
            yield WindowVectors(block.embeddings, block.start_s, block.end_s)


class FrameWindows(_OfEmbedder):
    """Gives an embedder's frames, each as a window of the length that it stands for."""

    def __init__(self, embedder: Embedder, note: EncoderNote) -> None:
        config = embedder.config
        frame_s = config.patch_frames * embedder.frontend.hop_samples / embedder.sample_rate
        super().__init__(embedder, Windows(config.grid_frames * frame_s), note)  # in which frames are computed
        self.frame_s = frame_s

    def embed(self, prepared: Sequence[PreparedClip]) -> list[WindowVectors]:
        found = self.embedder.embed_prepared(prepared)
        return [self._vectors(clip.frames, clip.timestamps_ms, clip.duration_s) for clip in found]

    def stream(self, file: Path) -> Iterator[WindowVectors]:
        for block in self.embedder.embed_stream(file):
            yield self._vectors(block.frames, block.timestamps_ms, block.duration_s)

    def _vectors(
        self, frames: NDArray[np.float32], timestamps_ms: NDArray[np.float32], duration_s: float
    ) -> WindowVectors:
        first = np.round(timestamps_ms.astype(np.float64) / 1000 / self.frame_s - 0.5)  # number of each frame, nearly
        first = np.round(first[0]) + np.arange(len(frames))
        start_s = first * self.frame_s
        end_s = np.minimum((first + 1) * self.frame_s, max(duration_s, float(start_s[-1]) + 1e-3))
        return WindowVectors(frames, start_s, end_s)


class _Clips(Protocol):
    """A model that embeds clips of one length: ``(B, n)`` to ``(B, D)``."""

    def __call__(self, clips: NDArray[np.float32]) -> NDArray[np.float32]: ...


class ClipWindows:
    """Makes windows' vectors with a model that embeds clips: each window is a clip by itself.

    Args:
        embed_clips: the model.
        sample_rate: that it takes, in Hz.
    """

    def __init__(self, embed_clips: _Clips, sample_rate: int, windows: Windows, note: EncoderNote) -> None:
        self._embed_clips, self._rate = embed_clips, sample_rate
        self.windows, self.note = windows, note
        self.limit = round(_GROUP_SECONDS * sample_rate)

    def prepare(self, file: Path) -> tuple[NDArray[np.float32], str]:
        return load_audio(file, to_hz=self._rate), str(file)

    def size_of(self, prepared: tuple[NDArray[np.float32], str]) -> int:
        return len(prepared[0])

    def embed(self, prepared: Sequence[tuple[NDArray[np.float32], str]]) -> list[WindowVectors]:
        cut = [list(_cut(iter([samples]), self._rate, self.windows)) for samples, _ in prepared]
        vectors = iter(self._vectors([clip for clips in cut for _, _, clip in clips], prepared[0][1], len(prepared)))
        return [_block([(start, end, next(vectors)) for start, end, _ in clips]) for clips in cut]

    def stream(self, file: Path) -> Iterator[WindowVectors]:
        waiting: list[tuple[Fraction, Fraction, NDArray[np.float32]]] = []
        most = max(1, int(_BATCH_SECONDS / self.windows.window_s))
        for clip in _cut(stream_audio(file, to_hz=self._rate), self._rate, self.windows):
            waiting.append(clip)
            if len(waiting) >= most:
                yield self._embed_cut(waiting, file)
                waiting = []
        if waiting:
            yield self._embed_cut(waiting, file)

    def _embed_cut(self, cut: Sequence[tuple[Fraction, Fraction, NDArray[np.float32]]], file: Path) -> WindowVectors:
        vectors = self._vectors([clip for _, _, clip in cut], str(file), 1)
        return _block([(start, end, vector) for (start, end, _), vector in zip(cut, vectors, strict=True)])

    def _vectors(self, clips: Sequence[NDArray[np.float32]], name: str, sounds: int) -> list[NDArray[np.float32]]:
        """Embed clips of any lengths; those of one length share batches."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, clip in enumerate(clips):
            by_length[len(clip)].append(index)
        vectors: dict[int, NDArray[np.float32]] = {}
        for length, same in by_length.items():
            most = max(1, int(_BATCH_SECONDS * self._rate) // length)
            for begin in range(0, len(same), most):
                batch = same[begin : begin + most]
                embedded = self._checked(np.stack([clips[index] for index in batch]), name, sounds)
                vectors.update(zip(batch, embedded, strict=True))
        return [vectors[index] for index in range(len(clips))]

    def _checked(self, clips: NDArray[np.float32], name: str, sounds: int) -> NDArray[np.float32]:
        others = f" or one of {sounds - 1} sounds embedded with it" if sounds > 1 else ""
        try:
            vectors = self._embed_clips(clips)
        except Exception as error:  # somebody else's module can raise anything
            raise AudioError(f"{name}{others}: the model failed: {describe_error(error)}") from error
        if vectors.shape != (len(clips), self.note.size):
            raise AudioError(f"{name}{others}: the model gave {vectors.shape}, expected {(len(clips), self.note.size)}")
        return vectors


def _cut(
    blocks: Iterator[NDArray[np.float32]], rate: int, windows: Windows
) -> Iterator[tuple[Fraction, Fraction, NDArray[np.float32]]]:
    """Cut a sound into windows: their bounds in seconds, and their samples.

    The bounds are those of `axlstm.embed.windows.Windows`; sound at the end that is shorter than 0.2 s belongs to the
    window before.
    """
    held, begin, ended, index = np.empty(0, dtype=np.float32), 0, False, 0  # samples from number `begin` on
    while not ended:
        block = next(blocks, None)
        ended = block is None
        if block is not None:
            held = np.concatenate([held, block])
        total = begin + len(held)
        while True:
            first = round(index * windows.hop * rate)
            stop, following = first + round(windows.window * rate), round((index + 1) * windows.hop * rate)
            # The next window must be known to be long enough for one of its own, unless this is known to be the last.
            is_last = ended and (total <= stop or total - following < LEAST_S * rate)
            if not is_last and total < max(stop + 1, following + LEAST_S * rate):
                break
            start_s = index * windows.hop
            end_s = Fraction(total, rate) if is_last else start_s + windows.window
            yield start_s, end_s, held[first - begin : total - begin if is_last else stop - begin]
            if is_last:
                return
            held, begin, index = held[following - begin :], following, index + 1


def _block(windows: Sequence[tuple[Fraction, Fraction, NDArray[np.float32]]]) -> WindowVectors:
    start_s, end_s, vectors = zip(*windows, strict=True)
    return WindowVectors(np.stack(vectors), np.array(start_s, dtype=np.float64), np.array(end_s, dtype=np.float64))
