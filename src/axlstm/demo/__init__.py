"""Demonstrate the package on the recordings that come with it, as one page.

Importing it needs matplotlib, scipy and scikit-learn, which the extra ``evaluate`` installs.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from axlstm.demo.exploring import collect_recordings
from axlstm.demo.page import demo_page
from axlstm.demo.probing import probe_strokes
from axlstm.demo.recordings import embed_recordings
from axlstm.demo.training import DemoConfig, reconstruct_recording, train_on_recordings
from axlstm.embed.embedder import Embedder
from axlstm.evaluate.pipeline import OnProgress
from axlstm.files import remove_folder, write_atomically
from axlstm.locks import locked

PAGE_NAME = "index.html"
EMBEDDINGS_NAME = "samples.parquet"
_WORK_NAME = ".work"  # in the folder: shards, weights, the task; gone when the demo ends, however it ends


def run_demo(
    embedder: Embedder,
    model: str,
    out: Path,
    config: DemoConfig,
    on_progress: OnProgress = lambda *_: None,
) -> Path:
    """Embed the recordings, pretrain on them, reconstruct one, probe the drum strokes; all on one page.

    ``out`` gets ``index.html``, ``samples.parquet`` and ``samples.collection``, each whole or not at all. The first two
    replace those of an earlier run. Everything else lies in a folder inside ``out`` that is removed in the end.

    Args:
        embedder: the model that is shown; the pretraining takes its architecture, with fresh weights.
        model: the source of the embedder, for the page's commands.

    Returns:
        The page's path.

    Raises:
        InUseError: another demo is at work in ``out``.
        KeyboardInterrupt: pretraining was asked to stop.
    """
    began = time.perf_counter()
    work = out / _WORK_NAME
    with locked(work):
        _clear(work)
        try:
            recordings = embed_recordings(embedder, work / EMBEDDINGS_NAME, on_progress)
            training = train_on_recordings(embedder.config, work, config, on_progress)
            probes = probe_strokes(embedder, training, work, config, on_progress)
            weights = embedder.in_torch().checkpoint if embedder.trained else training.checkpoint
            reconstruction = reconstruct_recording(weights, training.held_out, config.seed)
            seconds = time.perf_counter() - began
            text = demo_page(embedder, model, recordings, training, reconstruction, probes, seconds)
            collect_recordings(embedder, model, work, out, on_progress)
            (work / EMBEDDINGS_NAME).replace(out / EMBEDDINGS_NAME)
            write_atomically(out / PAGE_NAME, text.encode())
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return out / PAGE_NAME


def _clear(work: Path) -> None:
    """Remove the files of a run that was killed; the lock stays."""
    for path in work.iterdir():
        if path.is_dir():
            remove_folder(path)
        elif not path.name.startswith("lock"):
            path.unlink()
