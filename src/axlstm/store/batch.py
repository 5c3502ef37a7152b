"""Embed many files into one file: unreadable files are skipped, and an interrupted run is resumed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from axlstm.audio.find import Found, by_place
from axlstm.audio.read import file_facts
from axlstm.embed.batching import PreparedClip, group_frames
from axlstm.embed.window_lengths import Windows
from axlstm.errors import AudioError
from axlstm.files import is_pipe, readable_name, writing
from axlstm.store.claims import claimed, write_skipped
from axlstm.store.formats import check_format
from axlstm.store.origin import KnownFiles, Origin, copy_pipe, hash_place, read_origin
from axlstm.store.parts import Parts, make_settings
from axlstm.store.records import ClipRecord, StoreSettings
from axlstm.store.rows import make_record, stream_records
from axlstm.store.work import LONG_SECONDS, PART_SECONDS, FileWork, check_unchanged, read_through
from axlstm.threads import on_all_cores

if TYPE_CHECKING:
    from axlstm.embed.embedder import Embedder
    from axlstm.embed.light import LightEmbedder

logger = logging.getLogger(__name__)
_PART_CLIPS = 256  # clips of a part, the most that an interruption can lose


@dataclass(frozen=True)
class Summary:
    """Account of everything that was asked for: asked = embedded + resumed + skipped + not sound.

    An entry that is named or reached in several ways is one.
    """

    asked: int
    embedded: int
    changed: int  # of the embedded ones: files whose earlier rows, of other content, are kept
    resumed: int  # files whose rows were there already
    skipped: tuple[tuple[str, str], ...]  # path and reason
    not_sound: Mapping[str, int]  # entries of folders by suffix, see `axlstm.audio.find.Found`
    windows: int = 0  # of the embedded ones


@dataclass(frozen=True)
class _Task:
    """A file to embed."""

    file: Path  # as it was named
    path: str  # of its row
    place: str
    is_changed: bool
    content: Path  # the file, or the copy of a pipe
    piped: Origin | None = None


def embed_files(
    embedder: Embedder | LightEmbedder,
    files: Found | Sequence[Path],
    out: Path,
    *,
    scene: bool = True,
    frames: bool = False,
    windows: Windows | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Summary:
    """Embed ``files`` into ``out`` (.parquet, .npz or .csv); rows that it holds already are kept.

    Files that cannot be read, or change while they are read, are skipped and listed in ``OUT.skipped.jsonl``, one JSON
    object a line. A file is known by its place and content (`axlstm.store.origin.KnownFiles`): named in several ways,
    it is one row, and with other content it gets a further row behind the earlier ones. The path of a row is as typed,
    or absolute if rows of another place have that path. A pipe is read once, and known by its content. Rows of earlier
    versions are known by their path.

    Finished parts wait in ``OUT.parts`` until all files are done. After an interruption the same call resumes from
    them; the clips of a damaged part are embedded again. Names are written as by `axlstm.files.readable_name`.

    Args:
        files: what `axlstm.audio.find.find_audio` found, or paths of sound files.
        windows: write a scene embedding for each window of a file, and not for the file.
        progress: called with 1.0 for each file that is embedded, skipped or already there.

    Raises:
        ConfigError: ``out`` has an impossible name or an unknown format, or was made with other settings; or windows
            beside frames, or that the embedder's layout has no frames for.
        InUseError: another process works on ``out``.
        WriteError: the disk is full or fails; the same call resumes from the finished parts.
        AxlstmError: ``out`` exists and is damaged, or is no file of embeddings.
    """
    settings = make_settings(embedder, scene, frames, windows)
    check_format(out, settings)
    found = files if isinstance(files, Found) else Found(tuple(files))
    with claimed(out) as (folder, report), ExitStack() as copies:
        parts = Parts(out, folder, settings)
        keys = parts.finished()
        known = KnownFiles(keys)
        # Of several spellings of one file, one that an earlier version embedded counts.
        unique = by_place(sorted(found.files, key=lambda file: readable_name(file) not in known.paths))
        work = _Work(embedder, settings, parts, progress)
        tasks = _plan(unique, known, work, copies)
        for _ in range(len(found.files) - len(tasks) - len(work.skipped)):
            progress(1.0)
        resumed = len(unique) - len(tasks) - len(work.skipped)
        work.embed(tasks)
        if work.embedded or keys:
            parts.merge()
        skipped = [(readable_name(path), readable_name(reason)) for path, reason in found.skipped] + work.skipped
        with writing(report, parts.kept):
            write_skipped(report, skipped)
        parts.clear()
    asked = found.asked - len(found.files) + len(unique)
    return Summary(asked, work.embedded, work.changed, resumed, tuple(skipped), found.not_sound, work.windows)


def _plan(files: Mapping[Path, Path], known: KnownFiles, work: _Work, copies: ExitStack) -> list[_Task]:
    """List the files that have no row as they are now. Pipes that cannot be read are skipped.

    Args:
        files: by their places.
        copies: how long copies of pipes last.
    """
    tasks = []
    places = [hash_place(real) for real in files]
    held = on_all_cores(lambda pair: known.hold(*pair), zip(files.values(), places, strict=True))
    for (real, file), place, is_held in zip(files.items(), places, held, strict=True):
        if is_held:
            continue
        if not is_pipe(file):
            tasks.append(_Task(file, known.path(file, real, place), place, known.had_other_content(place), file))
            continue
        try:
            with writing(Path(gettempdir()), work.parts.kept):
                content, origin = copy_pipe(file)
        except AudioError as error:
            work.skip(file, str(error))
            continue
        copies.callback(content.unlink)
        if not known.hold_pipe(origin):
            tasks.append(_Task(file, readable_name(file), "", False, content, origin))
    return tasks


@dataclass(frozen=True)
class _Ready:
    """A file before it is embedded; the clip is None if it is too long to be held in memory."""

    origin: Origin
    clip: PreparedClip | None


class _Work(FileWork[_Task, _Ready]):
    """Embeds files into parts; windows of neighbouring files are computed together."""

    def __init__(
        self,
        embedder: Embedder | LightEmbedder,
        settings: StoreSettings,
        parts: Parts,
        progress: Callable[[float], None],
    ) -> None:
        super().__init__(group_frames(embedder), _PART_CLIPS, progress)
        self.embedder, self.settings, self.parts = embedder, settings, parts
        self.embedded = self.changed = self.windows = 0
        self._part: list[ClipRecord] = []  # waits to be written

    def name(self, task: _Task) -> tuple[Path, Path]:
        return task.file, task.content

    def prepare(self, task: _Task) -> _Ready:
        is_long = file_facts(task.content)["duration_s"] >= LONG_SECONDS
        origin = task.piped or read_origin(task.content, task.place)
        clip = None if is_long else self.embedder.prepare(task.content)
        _check_unchanged(task, origin)
        return _Ready(origin, clip)

    def size(self, ready: _Ready) -> int | None:
        return None if ready.clip is None else ready.clip.encoded_frames

    def keep(self, group: Sequence[tuple[_Task, _Ready]]) -> None:
        clips = [ready.clip for _, ready in group if ready.clip is not None]
        embeddings = self.embedder.embed_prepared(clips)
        for (task, ready), embedding in zip(group, embeddings, strict=True):
            bare = ClipRecord(task.path, embedding.duration_s, origin=ready.origin)
            self._part.append(make_record(self.embedder, embedding, bare, self.settings))
            self.changed += task.is_changed
            self.progress(1.0)
        if len(self._part) >= _PART_CLIPS or sum(record.duration_s for record in self._part) >= PART_SECONDS:
            self.write()

    def embed_long(self, task: _Task, ready: _Ready) -> None:
        windows = 0

        def pieces() -> Iterator[ClipRecord]:
            nonlocal windows
            for piece in read_through(task.file, self._long_records(task, ready.origin)):
                windows += piece.windows
                yield piece

        self.parts.add(pieces())
        self.embedded += 1
        self.windows += windows
        self.changed += task.is_changed
        self.progress(1.0)

    def _long_records(self, task: _Task, origin: Origin) -> Iterator[ClipRecord]:
        """Compute a long file's record in pieces."""
        bare = ClipRecord(task.path, file_facts(task.content)["duration_s"], origin=origin)
        yield from stream_records(self.embedder, task.content, bare, self.settings)
        _check_unchanged(task, origin)

    def waiting(self) -> int:
        return len(self._part)

    def write(self) -> None:
        if self._part:
            self.parts.add(self._part)
            self.embedded += len(self._part)
            self.windows += sum(record.windows for record in self._part)
            self._part = []


def _check_unchanged(task: _Task, origin: Origin) -> None:
    if task.piped is None:
        check_unchanged(task.file, task.content, origin)
