"""Embedding many files into one: skips what cannot be read, can be interrupted, resumes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.audio import file_facts, load_audio
from axlstm.embedder import Embedder, FrameBlock
from axlstm.errors import AudioError, ConfigError
from axlstm.files import write_atomically
from axlstm.store import ClipRecord, StoreSettings, check_format, read_records, read_settings, write_records

_READ_AHEAD = 8  # files decoded while the model computes
_PART_CLIPS = 256  # clips after which a part is written: what an interruption can lose
_PART_SECONDS = 1800.0  # and seconds of audio
_LONG_SECONDS = 600.0  # files from here on are not held in memory as a whole


@dataclass(frozen=True)
class Summary:
    """What became of the files: embedded now, done by an earlier run, skipped (path and reason)."""

    embedded: int
    resumed: int
    skipped: tuple[tuple[str, str], ...]


def embed_files(
    embedder: Embedder,
    files: Sequence[Path],
    out: Path,
    *,
    scene: bool = True,
    frames: bool = False,
    progress: Callable[[float], None] = lambda _: None,
) -> Summary:
    """Embed ``files`` into ``out`` (.parquet, .npz or .csv); what it holds already is kept and not redone.

    Files that cannot be read are skipped and listed in ``OUT.skipped.jsonl``, a JSON object a line. Finished
    parts lie in ``OUT.parts`` until all is done: after an interruption the same call goes on from there.

    Args:
        progress: called with 1.0 for each file that is settled.

    Raises:
        ConfigError: an ``out`` that cannot be written, of an unknown kind, or made with other settings.
    """
    settings = StoreSettings(embedder.name, embedder.fingerprint, embedder.scene_embedding_size, scene, frames)
    check_format(out, settings)
    parts = _Parts(out, settings)
    done = parts.finished()
    todo = [file for file in files if str(file) not in done]
    for _ in range(len(files) - len(todo)):
        progress(1.0)
    skipped: list[tuple[str, str]] = []
    embedded = 0
    for part in _embedded_parts(embedder, todo, settings, skipped, progress):
        parts.add(part)
        embedded += len(part)
    if embedded or done:
        parts.merge()
    parts.clear()
    _write_skipped(out, skipped)
    return Summary(embedded, len(files) - len(todo), tuple(skipped))


def _write_skipped(out: Path, skipped: list[tuple[str, str]]) -> None:
    report = out.with_name(out.name + ".skipped.jsonl")
    if skipped:
        lines = (json.dumps({"path": path, "reason": reason}) + "\n" for path, reason in skipped)
        write_atomically(report, "".join(lines).encode())
    else:
        report.unlink(missing_ok=True)


def _embedded_parts(
    embedder: Embedder,
    files: Sequence[Path],
    settings: StoreSettings,
    skipped: list[tuple[str, str]],
    progress: Callable[[float], None],
) -> Iterator[list[ClipRecord]]:
    """Records of the readable files, in parts that are worth writing; the others are added to ``skipped``."""
    names: list[str] = []
    waveforms: list[NDArray[np.float32]] = []
    seconds = 0.0
    for file, result in _decoded(files):
        try:
            waveform = result.result()
            if waveform is None:
                if names:
                    yield _records(embedder, names, waveforms, settings, progress)
                    names, waveforms, seconds = [], [], 0.0
                long_file = [_stream_record(embedder, file, settings)]
                progress(1.0)
                yield long_file
                continue
            embedder.check_length(len(waveform))
        except (AudioError, OSError) as error:
            skipped.append((str(file), str(error)))
            progress(1.0)
            continue
        names.append(str(file))
        waveforms.append(waveform)
        seconds += len(waveform) / embedder.sample_rate
        if len(names) >= _PART_CLIPS or seconds >= _PART_SECONDS:
            yield _records(embedder, names, waveforms, settings, progress)
            names, waveforms, seconds = [], [], 0.0
    if names:
        yield _records(embedder, names, waveforms, settings, progress)


def _records(
    embedder: Embedder,
    names: list[str],
    waveforms: list[NDArray[np.float32]],
    settings: StoreSettings,
    progress: Callable[[float], None],
) -> list[ClipRecord]:
    records = []
    for name, embedding in zip(names, embedder.embed_iter(waveforms, embedder.sample_rate), strict=True):
        records.append(
            ClipRecord(
                path=name,
                duration_s=embedding.duration_s,
                scene=embedding.scene if settings.scene else None,
                frames=embedding.frames if settings.frames else None,
                timestamps_ms=embedding.timestamps_ms if settings.frames else None,
            )
        )
        progress(1.0)
    return records


def _stream_record(embedder: Embedder, file: Path, settings: StoreSettings) -> ClipRecord:
    """The record of a long file; memory grows with it only if its frames are kept."""
    total = np.zeros(settings.size)
    count = 0
    kept: list[FrameBlock] = []
    for block in embedder.embed_stream(file):
        total += block.frames.sum(axis=0, dtype=np.float64)
        count += len(block.frames)
        if settings.frames:
            kept.append(block)
    return ClipRecord(
        path=str(file),
        duration_s=file_facts(file)["duration_s"],
        scene=(total / count).astype(np.float32) if settings.scene else None,
        frames=np.concatenate([block.frames for block in kept]) if kept else None,
        timestamps_ms=np.concatenate([block.timestamps_ms for block in kept]) if kept else None,
    )


def _load_unless_long(file: Path) -> NDArray[np.float32] | None:
    return None if file_facts(file)["duration_s"] >= _LONG_SECONDS else load_audio(file)


def _decoded(files: Sequence[Path]) -> Iterator[tuple[Path, Future[NDArray[np.float32] | None]]]:
    """Files with their sound (None for a long one), in order, decoded a few ahead of their use."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        ahead: list[tuple[Path, Future[NDArray[np.float32] | None]]] = []
        try:
            for file in files:
                ahead.append((file, pool.submit(_load_unless_long, file)))
                if len(ahead) > _READ_AHEAD:
                    yield ahead.pop(0)
            yield from ahead
        finally:
            for _, future in ahead:
                future.cancel()


class _Parts:
    """Finished parts of an output that is not complete yet, in a folder beside it."""

    def __init__(self, out: Path, settings: StoreSettings) -> None:
        self.out, self.settings = out, settings
        self.folder = out.with_name(out.name + ".parts")
        for file in [out, *self._files()]:
            self._check(file)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{out}: cannot be written ({error.strerror}: {error.filename})") from error

    def _check(self, file: Path) -> None:
        if not file.exists():
            return
        there = read_settings(file)
        differing = [
            f"{name} is {value!r} there, {asdict(self.settings)[name]!r} now"
            for name, value in asdict(there).items()
            if name != "model" and value != asdict(self.settings)[name]
        ]
        if differing:
            raise ConfigError(f"{file} was made with other settings ({'; '.join(differing)}): choose another OUT")

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.npz"))

    def _all(self) -> Iterator[ClipRecord]:
        for file in ([self.out] if self.out.exists() else []) + self._files():
            yield from read_records(file)

    def finished(self) -> set[str]:
        """Paths that need not be done again."""
        return {record.path for record in self._all()}

    def add(self, records: list[ClipRecord]) -> None:
        """Put records where an interruption cannot lose them."""
        write_records(self.folder / f"part-{len(self._files()):06d}.npz", self.settings, records)

    def merge(self) -> None:
        """Make the output of everything finished."""
        if self._files():
            write_records(self.out, self.settings, self._all())

    def clear(self) -> None:
        """Remove the parts."""
        shutil.rmtree(self.folder)
