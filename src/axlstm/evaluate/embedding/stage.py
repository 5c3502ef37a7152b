"""Embed a task's audio into its embeddings directory, in hear-eval-kit's format.

A later run embeds what is missing: clips without an embedding, and clips whose file is newer than theirs.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
import random
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from axlstm.bounds import read_npy
from axlstm.errors import describe_error, name_differences
from axlstm.evaluate.embedding.encoders import Encoder, embed_scenes
from axlstm.evaluate.embedding.packed import MODEL_FILE, PROFILE_FILE, find_damaged
from axlstm.evaluate.scoring.events import Event
from axlstm.evaluate.tasks.metadata import TaskError, read_json, read_metadata, read_note, write_note
from axlstm.evaluate.tasks.read import Task
from axlstm.files import remove_folder, write_atomically, writing
from axlstm.seals import SEAL_BYTES, crc_of_path, is_seal, seal_of

logger = logging.getLogger(__name__)
DONE_FILE = ".done.embeddings"
_BATCH_SECONDS = 84.0 * 16_000  # audio per batch at 16 kHz: 84 clips of 1 s, as the kit's
_END_SLACK_MS = 0.0001


def embed_variants(
    encoders: Sequence[Encoder], task: Task, out: str | Path, advance: Callable[[int], None] | None = None
) -> list[Path]:
    """Embed a task to ``out/MODEL/TASK`` with encoders that differ in pooling alone, by one run of the model.

    A folder that holds the task as it is now stays. If labels, splits or clips have changed since, it is made anew
    from the embeddings that still hold. ``advance`` is called with the number of clips that have been embedded.

    Raises:
        TaskError: naming the clip, a missing or unreadable one, a wrong rate, one that the model fails on, embeddings
            that are NaN or infinite or of a wrong size; or embeddings of another model under the same name.
    """
    folders = [Path(out) / encoder.name / task.path.name for encoder in encoders]
    for encoder in encoders:
        note_model(encoder, out)
    pairs = zip(encoders, folders, strict=True)
    unfinished = [(encoder, folder) for encoder, folder in pairs if not _is_done(encoder, task, folder)]
    advance = advance or (lambda _: None)
    if not unfinished:
        advance(sum(map(len, task.splits.values())))
        return folders
    began = time.perf_counter()
    for _, folder in unfinished:
        _prepare(task, folder)
    for split in task.metadata.splits:
        _embed_split(unfinished, task, split, advance)
    for _, folder in unfinished:
        _pack(task, folder, began)
    return folders


def _pack(task: Task, folder: Path, began: float) -> None:
    """Write the packed splits of a folder whose clips all have embeddings; only then is it done."""
    shuffler = random.Random(0)  # one for all splits: the order of a split depends on those before it
    for split in task.metadata.splits:
        files = list(task.splits[split])
        shuffler.shuffle(files)
        _pack_split(task, split, folder, files)
    profile = {
        "time_elapsed": time.perf_counter() - began,
        "gpu_max_mem": None,
        "digest": _digest(task, folder),
        "checksums": {name: crc_of_path(folder / name) for name in _probed_files(task)},
    }
    write_note(folder / PROFILE_FILE, profile)
    (folder / DONE_FILE).touch()


def _describing_files(task: Task) -> list[str]:
    """List the files that a task and its embeddings have in common."""
    return ["task_metadata.json", "labelvocabulary.csv", *(f"{split}.json" for split in task.metadata.splits)]


def _probed_files(task: Task) -> list[str]:
    """List the files of an embeddings directory that a probe reads."""
    packed = ["embeddings.npy", "target-labels.pkl", "embedding-dimensions.json"]
    packed += ["filename-timestamps.json"] if task.metadata.is_event else []
    return [*_describing_files(task), *(f"{split}.{name}" for split in task.metadata.splits for name in packed)]


def _is_done(encoder: Encoder, task: Task, folder: Path) -> bool:
    """Tell whether a folder is complete, describes the task as it is now, and no clip has been written since."""
    if not (folder / DONE_FILE).is_file():
        return False
    for name in _describing_files(task):
        if not (folder / name).is_file() or (folder / name).read_bytes() != (task.path / name).read_bytes():
            return False
    try:
        damaged = find_damaged(folder)
    except TaskError as error:
        logger.warning("%s: the embeddings are packed again", error)
        return False
    if damaged:
        logger.warning("%s: damaged, as its checksum tells: the embeddings are packed again", folder / damaged)
        return False
    return all(
        _is_made_from(folder / DONE_FILE, task.audio_folder(split, encoder.sample_rate) / file)
        for split, content in task.splits.items()
        for file in content
    )


def holds_clip(folder: Path, clip: Path, is_event: bool) -> bool:
    """Tell whether a split's folder of embeddings holds that of a clip as it is now."""
    return _holds(folder / f"{clip.name}.embedding.npy", clip, is_event)


def keep_embedding(
    task: Task, folder: Path, split: str, file: str, embedding: NDArray[np.float32], times_ms: list[float] | None
) -> None:
    """Write the embedding of one clip, which was computed elsewhere, into an embeddings directory.

    A directory that is complete is opened again for it. One that cannot be kept is left out: `embed_variants` embeds
    the clip, and says what is wrong with it.
    """
    if (folder / DONE_FILE).is_file() or not (folder / split).is_dir():
        _prepare(task, folder)
        (folder / split).mkdir(exist_ok=True)
    with suppress(TaskError):
        _write_embedding(folder / split / f"{file}.embedding.npy", embedding, times_ms, 1 + task.metadata.is_event)


def _holds(file: Path, clip: Path, is_event: bool) -> bool:
    """Tell whether the embedding of a clip is there, newer than it, and as it was written."""
    if not _is_made_from(file, clip):
        return False
    try:
        _read_embedding(file, is_event)
    except TaskError as error:
        logger.warning("%s: the clip is embedded again", error)
        return False
    return True


def _is_made_from(product: Path, clip: Path) -> bool:
    """Tell whether a file is there and newer than its clip. A clip that has been deleted since does not matter."""
    if not product.is_file():
        return False
    return not clip.is_file() or clip.stat().st_mtime_ns < product.stat().st_mtime_ns


def _prepare(task: Task, folder: Path) -> None:
    """Make the folder describe the task, without packed splits that could be taken for the task's."""
    if (folder / "task_metadata.json").is_file() and read_metadata(folder).is_event != task.metadata.is_event:
        remove_folder(folder)  # embeddings of clips are of no use for frames, and the other way round
    folder.mkdir(parents=True, exist_ok=True)
    for path in [folder / DONE_FILE, folder / PROFILE_FILE, *folder.glob("*.embedding-dimensions.json")]:
        path.unlink(missing_ok=True)
    for name in _describing_files(task):
        write_atomically(folder / name, (task.path / name).read_bytes())


def _digest(task: Task, folder: Path) -> str:
    """Hash all that a probe of the folder depends on, to 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    packed = [f"{split}.{name}" for split in task.metadata.splits for name in ("embeddings.npy", "target-labels.pkl")]
    for name in [*_describing_files(task), *packed]:
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, hashlib.blake2b).digest())
    return digest.hexdigest()


def note_model(encoder: Encoder, out: str | Path) -> None:
    """Note in the folder of a model's embeddings what the model is.

    Raises:
        TaskError: the folder holds embeddings of another model.
    """
    path, note = Path(out) / encoder.name / MODEL_FILE, encoder.describe()
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_note(path, note)
    elif (found := read_note(path)) != note:
        models = f"another model ({name_differences(found, note)})"
        raise TaskError(f"{path.parent} holds embeddings of {models}: give this one another name, or delete the folder")


def _embed_split(
    variants: Sequence[tuple[Encoder, Path]], task: Task, split: str, advance: Callable[[int], None]
) -> None:
    encoders, folders = [encoder for encoder, _ in variants], [folder / split for _, folder in variants]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    content, audio_folder = task.splits[split], task.audio_folder(split, encoders[0].sample_rate)
    is_event = task.metadata.is_event
    missing = [
        file
        for file in content
        if not all(_holds(folder / f"{file}.embedding.npy", audio_folder / file, is_event) for folder in folders)
    ]
    advance(len(content) - len(missing))
    for files, audio in _batches(audio_folder, missing, encoders[0].sample_rate):
        try:
            embedded = embed_clips(encoders, is_event, audio)
        except Exception as error:  # a module of somebody else's can raise anything
            others = f" or one of the {len(files) - 1} clips embedded with it" if len(files) > 1 else ""
            raise TaskError(f"{audio_folder / files[0]}{others}: the model failed: {describe_error(error)}") from error
        for folder, clips in zip(folders, embedded, strict=True):
            for file, (embedding, times_ms) in zip(files, clips, strict=True):
                _write_embedding(folder / f"{file}.embedding.npy", embedding, times_ms, 1 + is_event)
        advance(len(files))


def embed_clips(
    encoders: Sequence[Encoder], is_event: bool, audio: torch.Tensor
) -> list[list[tuple[NDArray[np.float32], list[float] | None]]]:
    """Embed clips ``(B, n)`` with each encoder: every clip to ``(D,)``, for events to ``(T, D)`` and T times in ms."""
    if not is_event:
        return [[(embedding, None) for embedding in scenes.numpy()] for scenes in embed_scenes(encoders, audio)]
    embeddings, times_ms = encoders[0].frames(audio)  # (B, T, D), (B, T); pooling leaves frames alone
    return [list(zip(embeddings.numpy(), times_ms.tolist(), strict=True))] * len(encoders)


def frame_labels(events: list[Mapping[str, Any]], times_ms: list[float]) -> list[list[str]]:
    """List the labels that are on at every time: from an event's start to its end, both included.

    Compared in float64; in float32 the slack at the end vanishes beyond a second.
    """
    on = [(Event.from_dict(event), event["label"]) for event in events]
    return [[label for e, label in on if e.start_ms <= t < e.end_ms + _END_SLACK_MS] for t in times_ms]


def _batches(folder: Path, files: list[str], sample_rate: int) -> Iterator[tuple[list[str], torch.Tensor]]:
    """Yield runs of clips of one length as ``(B, n)``, in the files' order."""
    clips = ((file, read_clip(folder / file, sample_rate)) for file in files)
    for length, run in groupby(clips, key=lambda clip: len(clip[1])):
        most = max(1, int(_BATCH_SECONDS * sample_rate / 16_000) // length)
        while batch := list(islice(run, most)):
            yield [file for file, _ in batch], torch.from_numpy(np.stack([samples for _, samples in batch]))


def read_clip(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """Read a clip of a task: ``(n,)``.

    Raises:
        TaskError: it is missing, cannot be read, or is not of that rate and one channel.
    """
    if not path.is_file():
        raise TaskError(f"{path} is missing: `axlstm hear check` lists what a task lacks, and resamples")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)  # (n, channels)
    except soundfile.LibsndfileError as error:
        raise TaskError(f"{path} cannot be read: {error}") from error
    if rate != sample_rate or samples.shape[1] != 1 or not len(samples):
        found = f"{rate} Hz, {samples.shape[1]} channels and {len(samples)} samples"
        raise TaskError(f"{path} has {found}; expected {sample_rate} Hz, 1 channel and some samples")
    return samples[:, 0]


def _write_embedding(path: Path, embedding: NDArray[np.float32], times_ms: list[float] | None, dimensions: int) -> None:
    """Write the embedding of a clip, sealed together with its times, which lie in a file of their own."""
    is_finite = np.isfinite(embedding).all()
    if embedding.ndim != dimensions or not is_finite:
        found = f"{embedding.shape}, {'finite' if is_finite else 'with NaN or infinite values'}"
        raise TaskError(f"{path}: the model gave shape {found}; expected {dimensions} dimensions, all finite")
    crc = 0
    if times_ms is not None:
        times = json.dumps(times_ms).encode()
        write_atomically(_times_path(path), times)
        crc = zlib.crc32(times)
    stream = io.BytesIO()
    np.save(stream, embedding.astype(np.float32), allow_pickle=False)
    # The last of a clip's files: where it is, the clip is done.
    write_atomically(path, stream.getvalue() + seal_of(zlib.crc32(stream.getvalue(), crc)))


def _times_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".embedding.npy") + ".timestamps.json")


def _read_embedding(path: Path, is_event: bool) -> tuple[NDArray[np.float32], list[float]]:
    """Read the embedding of a clip, ``(D,)`` or for events ``(T, D)``, and T times in ms.

    Raises:
        TaskError: a file that is missing, or not as it was written. Those of earlier versions have no checksum.
    """
    if not path.is_file():
        raise TaskError(f"{path} is missing")
    content = path.read_bytes()
    times: Any = read_json(_times_path(path)) if is_event else []
    seal = content[-SEAL_BYTES:]
    if is_seal(seal):
        content = content[:-SEAL_BYTES]
        crc = zlib.crc32(_times_path(path).read_bytes()) if is_event else 0
        if seal != seal_of(zlib.crc32(content, crc)):
            raise TaskError(f"{path} is damaged, or its times are: the checksum is another one")
    try:
        embedding: NDArray[Any] = read_npy(io.BytesIO(content), len(content))
    except ValueError as error:
        raise TaskError(f"{path} is damaged: {error}") from error
    if embedding.dtype != np.float32 or embedding.ndim != 1 + is_event or not np.isfinite(embedding).all():
        raise TaskError(f"{path} is damaged: {embedding.shape} of {embedding.dtype}, expected finite float32")
    if is_event and not (isinstance(times, list) and [type(ms) for ms in times] == [float] * len(embedding)):
        raise TaskError(f"{_times_path(path)} is damaged: expected {len(embedding)} times in ms")
    return embedding, times


def _pack_split(task: Task, split: str, folder: Path, files: list[str]) -> None:
    """Write one file for a whole split, raw float32 without a header, and its labels, clip by clip."""
    labels: list[list[Any]] = []
    frames: list[list[Any]] = []
    rows, size = 0, None
    path = folder / f"{split}.embeddings.npy"
    with writing(path), path.open("wb") as packed:
        for file in files:
            clip, found = folder / split / file, task.splits[split][file]
            values, times_ms = _read_embedding(Path(f"{clip}.embedding.npy"), task.metadata.is_event)
            embedding = np.atleast_2d(values)  # (rows, D)
            size = size or embedding.shape[1]
            if embedding.shape[1] != size:
                raise TaskError(f"{clip}: {embedding.shape[1]} values, the clips before have {size}")
            packed.write(embedding.astype(np.float32).tobytes())
            rows += len(embedding)
            if task.metadata.is_event:
                frames += [[str(clip), ms] for ms in times_ms]
                found = frame_labels(found, times_ms)
            labels += found if task.metadata.is_event else [found]
            _write_json(Path(f"{clip}.target-labels.json"), found)
    path = folder / f"{split}.target-labels.pkl"
    with writing(path):
        path.write_bytes(pickle.dumps(labels))
    if task.metadata.is_event:
        _write_json(folder / f"{split}.filename-timestamps.json", frames)
    # Last: it makes the split readable.
    write_atomically(folder / f"{split}.embedding-dimensions.json", json.dumps([rows, size]).encode())


def _write_json(path: Path, value: Any) -> None:
    with writing(path):
        path.write_text(json.dumps(value), encoding="utf-8")
