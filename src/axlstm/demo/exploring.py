"""Make a collection of the recordings, for the page that `axlstm explore` opens."""

from __future__ import annotations

from pathlib import Path

from axlstm.audio.find import find_audio
from axlstm.collection.collection import create
from axlstm.collection.description import is_collection
from axlstm.collection.encoders import EmbedderWindows, EncoderNote
from axlstm.collection.indexing import index
from axlstm.collection.maps.draw import draw_map
from axlstm.embed.embedder import Embedder
from axlstm.embed.window_lengths import Windows
from axlstm.evaluate.embedding.encoders import Candidate
from axlstm.evaluate.pipeline import OnProgress
from axlstm.samples import sample_paths

COLLECTION_NAME = "samples.collection"
_WINDOWS = Windows(1.0, 0.5)


def collect_recordings(embedder: Embedder, model: str, work: Path, out: Path, on_progress: OnProgress) -> Path:
    """Index the recordings into a collection with its map. One that is there stays as it is: its labels are somebody's.

    Args:
        model: the source of the embedder.
        work: the folder that it is made in, before it is moved to ``out``.

    Returns:
        The collection's path.
    """
    target = out / COLLECTION_NAME
    if is_collection(target):
        return target
    found = find_audio(sample_paths())
    done, total = 0.0, len(found.files)

    def advance(parts: float) -> None:
        nonlocal done
        done += parts
        on_progress("indexing", round(done), total)

    note = EncoderNote(Candidate(model).name, model, embedder.fingerprint, embedder.scene_embedding_size)
    with create(work / COLLECTION_NAME, sample_paths()[0].parent) as made:
        index(made, EmbedderWindows(embedder, _WINDOWS, note), found, progress=advance)
        draw_map(made, made.searcher().table)
    (work / COLLECTION_NAME).replace(target)
    return target
