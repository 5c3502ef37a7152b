"""Use an exported model: sound in, embeddings out, with NumPy and its runtime alone."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.arrays import check_clips
from axlstm.audio.read import Audio, load_audio
from axlstm.bounds import MOST_LIST_BYTES, parse_json
from axlstm.engines.runtimes import Session, check_engine, open_session
from axlstm.errors import AudioError, CheckpointError, ConfigError, first_line
from axlstm.options import Runtime
from axlstm.threads import count_cores

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
METADATA_NAME = "axlstm.json"  # of the metadata inside of a .pt2 file


class ExportedEmbeddings(NamedTuple):
    """scene ``(B, F)``, frames ``(B, T, F)``, timestamps_ms ``(T,)``, float32."""

    scene: NDArray[np.float32]
    frames: NDArray[np.float32]
    timestamps_ms: NDArray[np.float32]


class ExportedFile:
    """A file that ``axlstm export`` wrote. Of .onnx and .xml files it imports the runtime only, never torch.

    A .pt2 file is a program, which torch runs: open only those that you trust.

    Args:
        path: .onnx, .xml (with its .bin beside it) or .pt2.
        engine: what runs it; None takes onnxruntime for .onnx, openvino for .xml, torch for .pt2. An .onnx file
            runs in either.
        threads: that compute; None takes all cores.

    Raises:
        CheckpointError: no such file, or not one that ``axlstm export`` wrote.
        ConfigError: an engine that does not exist, is not installed or does not read this format.
    """

    def __init__(self, path: str | Path, *, engine: str | None = None, threads: int | None = None) -> None:
        self.path = Path(path)
        self._session = _open(self.path, engine, threads or count_cores())
        self.metadata = self._session.metadata
        """The file's own description: name, layout, sample_rate_hz, hop_ms, ..., as text."""
        if "axlstm_version" not in self.metadata:
            raise CheckpointError(f"{path}: not written by axlstm export")
        self.sample_rate = int(self.metadata["sample_rate_hz"])
        self.least_samples = int(self.metadata["least_samples"])

    @property
    def is_classifier(self) -> bool:
        """Tell whether the file gives probabilities of labels."""
        return "labels" in self.metadata

    def _run(self, waveforms: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Compute what the file gives of clips of one length, ``(B, n)`` at `sample_rate`.

        Raises:
            AudioError: another shape, fewer than `least_samples`, or values that are no sound (NaN, or beyond 2^31).
        """
        waveforms = np.asarray(waveforms)
        if waveforms.ndim != 2 or waveforms.shape[0] == 0:
            raise AudioError(f"waveforms: expected (clips, samples), got {waveforms.shape}")
        if waveforms.shape[1] < self.least_samples:
            raise AudioError(
                f"{waveforms.shape[1]} samples at {self.sample_rate} Hz: no embedding is defined below "
                f"{self.least_samples}; pad the clip with silence or drop it"
            )
        check_clips(waveforms, self.sample_rate)
        return self._session.run(np.ascontiguousarray(waveforms, dtype=np.float32))


class ExportedModel(ExportedFile):
    """A model that `Embedder.export` wrote; see `ExportedFile`.

    Raises:
        CheckpointError: the file is a classifier's.
    """

    def __init__(self, path: str | Path, *, engine: str | None = None, threads: int | None = None) -> None:
        super().__init__(path, engine=engine, threads=threads)
        if self.is_classifier:
            raise CheckpointError(f"{path}: a classifier, which gives no embeddings; axlstm.ExportedClassifier runs it")

    def embed(self, x: Audio, sample_rate: int | None = None) -> ExportedEmbeddings:
        """Embed one clip, a batch of one: anything `axlstm.audio.read.load_audio` takes.

        Raises:
            AudioError, FileNotFoundError: no sound, or one that is too short.
        """
        return self(load_audio(x, sample_rate)[None])

    def __call__(self, waveforms: NDArray[np.float32]) -> ExportedEmbeddings:
        """Embed clips of one length, ``(B, n)`` at `sample_rate`.

        Raises:
            AudioError: another shape, fewer than `least_samples`, or values that are no sound (NaN, or beyond 2^31).
        """
        return ExportedEmbeddings(*self._run(waveforms))


class ExportedClassifier(ExportedFile):
    """A classifier that ``axlstm export`` wrote, with its encoder inside; see `ExportedFile`.

    Raises:
        CheckpointError: the file is no classifier's, or describes none.
    """

    def __init__(self, path: str | Path, *, engine: str | None = None, threads: int | None = None) -> None:
        super().__init__(path, engine=engine, threads=threads)
        if not self.is_classifier:
            raise CheckpointError(f"{path}: an encoder without labels; axlstm.ExportedModel runs it")
        try:
            labels, thresholds, window_s = _parse_classifier(self.metadata)
        except (KeyError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path}: not written by axlstm export ({first_line(error)})") from error
        self.labels: tuple[str, ...] = labels
        self.thresholds: tuple[float, ...] = thresholds
        """The probabilities from which on each label counts as heard."""
        self.window_s = window_s
        """Length of the clips that it was trained for."""
        self.of_frames = "frames" in self.metadata
        """Return whether it tells labels of single frames, so that events have times."""

    def classify(self, x: Audio, sample_rate: int | None = None) -> dict[str, float]:
        """Give the probability of each label for one clip: anything `axlstm.audio.read.load_audio` takes.

        Raises:
            AudioError, FileNotFoundError: no sound, or one that is too short.
        """
        return dict(zip(self.labels, self(load_audio(x, sample_rate)[None])[0].tolist(), strict=True))

    def __call__(self, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the probabilities ``(B, L)`` for clips of one length, ``(B, n)`` at `sample_rate`.

        Where it tells labels of single frames, they are the highest of each label.

        Raises:
            AudioError: as `ExportedModel`.
        """
        if self.of_frames:
            highest: NDArray[np.float32] = self.frames(waveforms)[0].max(axis=1)
            return highest
        (probabilities,) = self._run(waveforms)
        return probabilities

    def frames(self, waveforms: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the probabilities of single frames ``(B, T, L)`` and their times in ms ``(T,)``.

        They are not smoothed; ``metadata["frames"]`` says by what median the classifier smooths them, and what the
        shortest event is.

        Raises:
            ConfigError: the classifier tells labels of whole windows.
            AudioError: as `ExportedModel`.
        """
        if not self.of_frames:
            raise ConfigError(f"{self.path}: tells labels of whole clips; classify gives them")
        probabilities, times_ms = self._run(waveforms)
        return probabilities, times_ms


def _parse_classifier(metadata: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[float, ...], float]:
    """Read labels, their thresholds, and the length of windows in seconds.

    Raises:
        KeyError, ValueError: there are none.
    """
    labels, thresholds = (parse_json(metadata[name], MOST_LIST_BYTES) for name in ("labels", "thresholds"))
    window_s = float(metadata["window_s"])
    if not (isinstance(labels, list) and labels and all(type(one) is str for one in labels)):
        raise ValueError("labels that are none")
    if len(set(labels)) < len(labels):
        raise ValueError("a label that is there twice")
    if not (isinstance(thresholds, list) and all(type(one) is float and 0 <= one <= 1 for one in thresholds)):
        raise ValueError("thresholds that are none")
    if len(thresholds) != len(labels):
        raise ValueError(f"{len(thresholds)} thresholds of {len(labels)} labels")
    if not 0 < window_s < math.inf:
        raise ValueError(f"windows of {window_s:g} s")
    return tuple(labels), tuple(thresholds), window_s


def _open(path: Path, engine: str | None, threads: int) -> Session:
    if path.suffix not in SUFFIXES.values():
        expected = ", ".join(f"{suffix} ({name})" for name, suffix in SUFFIXES.items())
        raise ConfigError(f"{path}: expected a name that ends with {expected}")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    if path.suffix == ".pt2":
        if engine is not None:
            raise ConfigError(f"{path}: a .pt2 file runs in torch, not in engine={engine!r}")
        return _torch_session(path)
    chosen: Runtime = check_engine(engine or ("openvino" if path.suffix == ".xml" else "onnxruntime"))
    if path.suffix == ".xml" and chosen != "openvino":
        raise ConfigError(f"{path}: an .xml file runs in openvino, not in engine={engine!r}")
    try:
        return open_session(path, chosen, threads=threads)
    except Exception as error:  # each runtime has errors of its own
        raise CheckpointError(f"{path}: {chosen} cannot read it ({first_line(error)})") from error


def _torch_session(path: Path) -> Session:
    import torch

    extra: dict[str, Any] = {METADATA_NAME: ""}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given buffer is not writable")  # torch 2.12 of itself
            program = torch.export.load(path, extra_files=extra)
    except Exception as error:  # what a broken archive raises depends on where it is broken
        raise CheckpointError(f"{path}: not a torch.export archive ({error})") from error
    module = program.module()

    def run(*arrays: NDArray[Any]) -> list[NDArray[np.float32]]:
        with torch.no_grad():
            return [result.numpy() for result in module(*map(torch.from_numpy, arrays))]

    return Session(run, json.loads(extra[METADATA_NAME] or "{}"))
