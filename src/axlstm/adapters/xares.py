"""Evaluate a model with X-ARES, and write HEAR tasks as it reads them (Zhang et al. 2025).

Nothing here needs X-ARES itself.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Unpack

from torch import Tensor, nn

from axlstm.embed.embedder import Embedder
from axlstm.errors import ConfigError
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.evaluate.tasks.read import Task, read_task, resample_task
from axlstm.files import atomic_path, write_atomically
from axlstm.hub import load_model
from axlstm.options import EmbedderOptions

__all__ = ["XaresEncoder", "write_xares_task"]

_READY = ".audio_tar_ready"  # X-ARES looks for it before it downloads


class XaresEncoder(nn.Module):
    """Gives X-ARES the frames of an embedder.

    X-ARES fills the clips of a batch up with zeros to the longest one, and does not tell their lengths: that silence is
    embedded with them.

    Args:
        source: an embedder; or anything that `axlstm.load_model` takes.
        options: see `axlstm.options.EmbedderOptions`.

    Raises:
        ConfigError, CheckpointError: as `axlstm.load_model`; or an embedder together with options.
    """

    def __init__(self, source: str | Embedder = "axlstm-tiny", **options: Unpack[EmbedderOptions]) -> None:
        super().__init__()
        if isinstance(source, Embedder) and options:
            raise ConfigError(f"{', '.join(sorted(options))}: an embedder has its options already; leave them out")
        self.embedder = source if isinstance(source, Embedder) else load_model(source, **options)
        self.sampling_rate = self.embedder.sample_rate
        self.output_dim = self.embedder.timestamp_embedding_size
        frontend, patch_frames = self.embedder.frontend, self.embedder.config.patch_frames
        self.hop_size_in_ms = 1000 * patch_frames * frontend.hop_samples / frontend.sample_rate_hz

    def forward(self, audio: Tensor) -> Tensor:
        """Embed clips ``(B, n)`` at 16 kHz: frames ``(B, T, F)``, float32.

        Raises:
            AudioError: as `axlstm.Embedder.forward`.
        """
        frames, _ = self.embedder(audio)
        return frames


def write_xares_task(task: str | Path, env_root: str | Path) -> Path:
    """Write a HEAR task with one label a clip as X-ARES reads tasks: tars of clips, and a file that configures it.

    ``python -m xares.run encoder.py NAME_task.py`` runs in ``env_root``. X-ARES trains on all folds but one, and
    chooses the epoch by the fold that it tests on, where HEAR takes a further fold for that: scores of the two differ.

    Args:
        task: a task directory, as `axlstm.evaluate.tasks.read_task` takes it.
        env_root: where X-ARES keeps its tasks; made if it is missing.

    Returns:
        ``env_root/NAME_task.py``.

    Raises:
        TaskError: a task that cannot be read, or of another kind.
    """
    read = read_task(task)
    if not read.metadata.is_multiclass or read.metadata.is_event:
        kind = f"{read.metadata.embedding_type}, {read.metadata.prediction_type}"
        raise TaskError(f"{task}: a task of kind {kind}: expected clips with one label each (scene, multiclass)")
    resample_task(read)
    name, root = re.sub(r"\W", "_", read.metadata.name), Path(env_root)
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for kept in ("embeddings", "checkpoints"):  # of the task as it was: X-ARES would take them for those of this one
        shutil.rmtree(folder / kept, ignore_errors=True)
    for split in read.splits:
        kind = "" if read.metadata.split_mode == "trainvaltest" else "wds-audio-fold-"
        with atomic_path(folder / f"{kind}{split}-000000.tar") as temporary:
            _write_clips(read, split, temporary)
    write_atomically(folder / _READY, b"")
    configuration = root / f"{name}_task.py"
    write_atomically(configuration, _configuration(read, name).encode())
    return configuration


def _write_clips(task: Task, split: str, path: Path) -> None:
    """Write the clips of a split: for each its sound and a JSON file with its label, under one name."""
    with tarfile.open(path, "w") as tar:
        for number, (file, labels) in enumerate(task.splits[split].items()):
            sound = (task.audio_folder(split) / file).read_bytes()
            label = json.dumps({"label": str(labels[0]), "file": file}).encode()
            for suffix, content in (("wav", sound), ("json", label)):
                member = tarfile.TarInfo(f"{split}_{number:06d}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _configuration(task: Task, name: str) -> str:
    """Write the module that X-ARES takes for a task."""
    tests = sorted({split for found in task.metadata.data_splits() for split in found.test})
    clips = sum(len(task.splits[split]) for split in tests) // len(tests)  # X-ARES weighs by the clips of a test
    folds = None if task.metadata.split_mode == "trainvaltest" else sorted(task.splits)
    return f'''"""Configure {name} for X-ARES."""

from pathlib import Path

from xares.task import TaskConfig

LABELS = {task.labels!r}


def task_config(encoder):
    return TaskConfig(
        name={name!r},
        env_root=Path(__file__).parent,
        encoder=encoder,
        k_fold_splits={folds!r},
        label_processor=lambda row: LABELS.index(row["label"]),
        output_dim=len(LABELS),
        eval_weight={clips},
    )
'''
