"""Make the records of a clip, with what the settings of a file keep of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from axlstm.embed.batching import Embedding, FrameBlock
from axlstm.embed.windows import pool_windows
from axlstm.errors import AudioError
from axlstm.model.pooling import Attention, RunningPool
from axlstm.store.records import ClipRecord, StoreSettings

if TYPE_CHECKING:
    from axlstm.embed.embedder import Embedder
    from axlstm.embed.light import LightEmbedder


def make_record(
    embedder: Embedder | LightEmbedder, embedding: Embedding, bare: ClipRecord, settings: StoreSettings
) -> ClipRecord:
    """Add to ``bare``, which has no embeddings, those that are kept."""
    if settings.windows:
        frames = FrameBlock(embedding.frames, embedding.timestamps_ms, embedding.duration_s)
        (block,) = pool_windows([frames], settings.windows, embedder.layout, embedder.pooling)
        return replace(bare, scene=block.embeddings, start_s=block.start_s, end_s=block.end_s)
    record = replace(bare, scene=embedding.scene) if settings.scene else bare
    if settings.frames:
        record = replace(record, frames=embedding.frames, timestamps_ms=embedding.timestamps_ms)
    return record


def stream_records(
    embedder: Embedder | LightEmbedder, sound: Path, bare: ClipRecord, settings: StoreSettings
) -> Iterator[ClipRecord]:
    """Compute a long clip's record in pieces, in memory that does not grow with it.

    Raises:
        AudioError, OSError: as `Embedder.embed_stream`.
    """
    if settings.windows:
        for block in embedder.windows(sound, settings.windows.window_s, settings.windows.hop_s):
            whole = replace(bare, duration_s=block.duration_s)  # of the samples, which the last window ends with
            yield replace(whole, scene=block.embeddings, start_s=block.start_s, end_s=block.end_s)
        return
    assert not isinstance(embedder.pooling, Attention)  # of a classifier, whose windows are short
    scene = RunningPool(embedder.pooling)
    piece: ClipRecord | None = None
    for frames in embedder.embed_stream(sound):
        if piece is not None and settings.frames:
            yield piece
        scene.add(frames.frames)
        piece = replace(bare, frames=frames.frames, timestamps_ms=frames.timestamps_ms) if settings.frames else bare
    if piece is None:
        raise AudioError(f"{sound}: no frame embeddings; the sound may have changed while it was read")
    yield replace(piece, scene=scene.result() if settings.scene else None)
