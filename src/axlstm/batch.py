"""Embedding many files into one: skips what cannot be read, can be interrupted, resumes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from axlstm.audio import file_facts
from axlstm.embedder import Embedder, PreparedClip
from axlstm.errors import AudioError, ConfigError
from axlstm.files import write_atomically
from axlstm.pooling import RunningPool
from axlstm.store import (
    ClipRecord,
    StoreSettings,
    check_format,
    read_paths,
    read_pieces,
    read_settings,
    write_records,
)
from axlstm.threads import ahead

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
    of_frame, of_scene = embedder.timestamp_embedding_size, embedder.scene_embedding_size
    settings = StoreSettings(
        embedder.name,
        embedder.fingerprint,
        of_scene if scene else of_frame,
        scene,
        frames,
        frame_size=of_frame if scene and frames and of_frame != of_scene else None,
    )
    check_format(out, settings)
    parts = _Parts(out, settings)
    done = parts.finished()
    todo = [file for file in files if str(file) not in done]
    for _ in range(len(files) - len(todo)):
        progress(1.0)
    work = _Work(embedder, settings, parts, progress)
    work.embed(todo)
    if work.embedded or done:
        parts.merge()
    parts.clear()
    _write_skipped(out, work.skipped)
    return Summary(work.embedded, len(files) - len(todo), tuple(work.skipped))


def _write_skipped(out: Path, skipped: list[tuple[str, str]]) -> None:
    report = out.with_name(out.name + ".skipped.jsonl")
    if skipped:
        lines = (json.dumps({"path": path, "reason": reason}) + "\n" for path, reason in skipped)
        write_atomically(report, "".join(lines).encode())
    else:
        report.unlink(missing_ok=True)


class _Work:
    """Files to records, in parts that are worth writing; windows of neighbouring files are computed together."""

    def __init__(
        self, embedder: Embedder, settings: StoreSettings, parts: _Parts, progress: Callable[[float], None]
    ) -> None:
        self.embedder, self.settings, self.parts, self.progress = embedder, settings, parts, progress
        self.embedded = 0
        self.skipped: list[tuple[str, str]] = []
        self._group: list[tuple[str, PreparedClip]] = []  # to be encoded
        self._part: list[ClipRecord] = []  # to be written

    def embed(self, files: Sequence[Path]) -> None:
        """Embed all, the next ones decoded while the model computes."""
        limit = self.embedder.group_windows
        for file, result in ahead(self._prepare, files, lambda clip: len(clip.windows) if clip else 0, limit):
            try:
                clip = result.result()
                if clip is None:
                    self._embed_long(file)
                else:
                    self._group.append((str(file), clip))
            except (AudioError, OSError) as error:
                self.skipped.append((str(file), str(error)))
                self.progress(1.0)
            windows = sum(len(clip.windows) for _, clip in self._group)
            if windows >= limit or len(self._group) + len(self._part) >= _PART_CLIPS:
                self._encode()
        self._encode()
        self._write()

    def _prepare(self, file: Path) -> PreparedClip | None:
        """None for a file that is too long to be held in memory."""
        return None if file_facts(file)["duration_s"] >= _LONG_SECONDS else self.embedder.prepare(file)

    def _encode(self) -> None:
        if not self._group:
            return
        embeddings = self.embedder.embed_prepared([clip for _, clip in self._group])
        for (name, _), embedding in zip(self._group, embeddings, strict=True):
            self._part.append(
                ClipRecord(
                    path=name,
                    duration_s=embedding.duration_s,
                    scene=embedding.scene if self.settings.scene else None,
                    frames=embedding.frames if self.settings.frames else None,
                    timestamps_ms=embedding.timestamps_ms if self.settings.frames else None,
                )
            )
            self.progress(1.0)
        self._group = []
        if len(self._part) >= _PART_CLIPS or sum(record.duration_s for record in self._part) >= _PART_SECONDS:
            self._write()

    def _embed_long(self, file: Path) -> None:
        """A part of its own, written while it is computed."""
        self._encode()
        self._write()
        self.parts.add(_long_pieces(self.embedder, file, self.settings))
        self.embedded += 1
        self.progress(1.0)

    def _write(self) -> None:
        if self._part:
            self.parts.add(self._part)
            self.embedded += len(self._part)
            self._part = []


def _long_pieces(embedder: Embedder, file: Path, settings: StoreSettings) -> Iterator[ClipRecord]:
    """The record of a long file, its frames in pieces as they are computed; the last piece has the scene."""
    scene = RunningPool(embedder.pooling)
    bare = ClipRecord(str(file), file_facts(file)["duration_s"])
    piece: ClipRecord | None = None
    for block in embedder.embed_stream(file):
        if piece is not None and settings.frames:
            yield piece
        scene.add(block.frames)
        piece = replace(bare, frames=block.frames, timestamps_ms=block.timestamps_ms) if settings.frames else bare
    assert piece is not None
    yield replace(piece, scene=scene.result() if settings.scene else None)


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

    def _all_files(self) -> list[Path]:
        return ([self.out] if self.out.exists() else []) + self._files()

    def finished(self) -> set[str]:
        """Paths that need not be done again."""
        return {path for file in self._all_files() for path in read_paths(file)}

    def add(self, records: Iterable[ClipRecord]) -> None:
        """Put records where an interruption cannot lose them."""
        write_records(self.folder / f"part-{len(self._files()):06d}.npz", self.settings, records)

    def merge(self) -> None:
        """Make the output of everything finished."""
        if self._files():
            pieces = (piece for file in self._all_files() for piece in read_pieces(file))
            write_records(self.out, self.settings, pieces)

    def clear(self) -> None:
        """Remove the parts."""
        shutil.rmtree(self.folder)
