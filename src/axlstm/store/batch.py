"""Embedding many files into one file: unreadable files are skipped, and an interrupted run is resumed."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from axlstm.audio.find import unique_files
from axlstm.audio.read import file_facts
from axlstm.embed.batching import PreparedClip, group_windows
from axlstm.embed.embedder import Embedder
from axlstm.errors import AudioError, AxlstmError, ConfigError, DataError
from axlstm.files import readable_name, write_atomically
from axlstm.locks import InUseError, locked
from axlstm.model.pooling import RunningPool
from axlstm.store.formats import check_format, read_paths, read_pieces, read_settings, write_records
from axlstm.store.records import ClipRecord, StoreSettings
from axlstm.threads import ahead

logger = logging.getLogger(__name__)
_PART_CLIPS = 256  # clips of a part, the most that an interruption can lose
_PART_SECONDS = 1800.0  # seconds of audio of a part
_LONG_SECONDS = 600.0  # files of this length and above are not held in memory as a whole


@dataclass(frozen=True)
class Summary:
    """The numbers of files that were embedded now or by an earlier run, and the skipped ones (path and reason)."""

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
    """Embed ``files`` into ``out`` (.parquet, .npz or .csv); clips that it holds already are kept.

    Files that cannot be read are skipped and listed in ``OUT.skipped.jsonl``, one JSON object a line. A file that is
    named twice is one row. Finished parts wait in ``OUT.parts`` until all files are done. After an interruption the
    same call resumes from them; the clips of a damaged part are embedded again. Names are written as by
    `axlstm.files.readable_name`.

    Args:
        progress: called with 1.0 for each of ``files`` that is embedded, skipped or already there.

    Raises:
        ConfigError: ``out`` cannot be written, is of an unknown format, or was made with other settings.
        InUseError: another process works on ``out``.
        DataError: the disk is full or fails; the same call resumes from the finished parts.
        AxlstmError: ``out`` exists and is damaged, or is no file of embeddings.
    """
    of_frame, of_scene = embedder.timestamp_embedding_size, embedder.scene_embedding_size
    size = of_scene if scene else of_frame
    frame_size = of_frame if scene and frames and of_frame != of_scene else None
    settings = StoreSettings(embedder.name, embedder.fingerprint, size, scene, frames, frame_size)
    check_format(out, settings)
    with _claimed(out) as (folder, report):
        parts = _Parts(out, folder, settings)
        done = parts.finished()
        # Finished files come first: of several spellings of one file, the finished one counts.
        unique = unique_files(sorted(files, key=lambda file: readable_name(file) not in done))
        todo = [file for file in unique if readable_name(file) not in done]
        for _ in range(len(files) - len(todo)):
            progress(1.0)
        work = _Work(embedder, settings, parts, progress)
        work.embed(todo)
        if work.embedded or done:
            parts.merge()
        with _writing(report, folder):
            if work.skipped:
                lines = (json.dumps({"path": path, "reason": reason}) + "\n" for path, reason in work.skipped)
                write_atomically(report, "".join(lines).encode())
            else:
                report.unlink(missing_ok=True)
        parts.clear()
    return Summary(work.embedded, len(unique) - len(todo), tuple(work.skipped))


@contextmanager
def _claimed(out: Path) -> Iterator[tuple[Path, Path]]:
    """Hold the folder of parts and the report of an output for this process alone; an empty folder is removed."""
    folder, report = out.with_name(out.name + ".parts"), out.with_name(out.name + ".skipped.jsonl")
    with ExitStack() as held:
        try:
            with suppress(FileNotFoundError):
                report.stat()  # refuses a name that is too long before anything is computed
            held.enter_context(locked(folder))
        except InUseError as error:
            raise InUseError(f"{out}: another run works on it ({error})") from error
        except OSError as error:
            raise ConfigError(f"{out}: cannot be written ({error.strerror}: {error.filename})") from error
        try:
            yield folder, report
        finally:
            if not any(folder.glob("part-*.npz")):
                shutil.rmtree(folder, ignore_errors=True)  # Windows keeps a lock that is held


@contextmanager
def _writing(file: Path, parts: Path) -> Iterator[None]:
    """Turn an error of the disk into one that says how to go on; errors of the sounds are raised elsewhere."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{file}: cannot be written ({error.strerror or error}). Finished parts are kept in {parts}. Free some "
            "space, or correct the cause, and run the same command again to resume"
        ) from error


class _Work:
    """Embeds files into parts; windows of neighbouring files are computed together."""

    def __init__(
        self, embedder: Embedder, settings: StoreSettings, parts: _Parts, progress: Callable[[float], None]
    ) -> None:
        self.embedder, self.settings, self.parts, self.progress = embedder, settings, parts, progress
        self.embedded = 0
        self.skipped: list[tuple[str, str]] = []
        self._group: list[tuple[str, PreparedClip]] = []  # waits for the encoder
        self._part: list[ClipRecord] = []  # waits to be written

    def embed(self, files: Sequence[Path]) -> None:
        """Embed all files; the next ones are decoded while the model computes."""
        limit = group_windows(self.embedder)
        for file, result in ahead(self._prepare, files, lambda clip: len(clip.windows) if clip else 0, limit):
            try:
                clip = result.result()
            except (AudioError, OSError) as error:
                self._skip(file, error)
                continue
            if clip is None:
                self._embed_long(file)
            else:
                self._group.append((readable_name(file), clip))
            windows = sum(len(clip.windows) for _, clip in self._group)
            if windows >= limit or len(self._group) + len(self._part) >= _PART_CLIPS:
                self._encode()
        self._encode()
        self._write()

    def _skip(self, file: Path, error: Exception) -> None:
        self.skipped.append((readable_name(file), readable_name(str(error))))
        self.progress(1.0)

    def _prepare(self, file: Path) -> PreparedClip | None:
        """Prepare a file; None means that it is too long to be held in memory."""
        return None if file_facts(file)["duration_s"] >= _LONG_SECONDS else self.embedder.prepare(file)

    def _encode(self) -> None:
        if not self._group:
            return
        embeddings = self.embedder.embed_prepared([clip for _, clip in self._group])
        for (name, _), embedding in zip(self._group, embeddings, strict=True):
            record = ClipRecord(name, embedding.duration_s, embedding.scene if self.settings.scene else None)
            if self.settings.frames:
                record = replace(record, frames=embedding.frames, timestamps_ms=embedding.timestamps_ms)
            self._part.append(record)
            self.progress(1.0)
        self._group = []
        if len(self._part) >= _PART_CLIPS or sum(record.duration_s for record in self._part) >= _PART_SECONDS:
            self._write()

    def _embed_long(self, file: Path) -> None:
        """Write a long file as a part of its own while it is computed."""
        self._encode()
        self._write()
        try:
            self.parts.add(_long_pieces(self.embedder, file, self.settings))
        except AudioError as error:
            self._skip(file, error)
            return
        self.embedded += 1
        self.progress(1.0)

    def _write(self) -> None:
        if self._part:
            self.parts.add(self._part)
            self.embedded += len(self._part)
            self._part = []


def _long_pieces(embedder: Embedder, file: Path, settings: StoreSettings) -> Iterator[ClipRecord]:
    """Compute a long file's record in pieces of its frames; the last piece has the scene embedding."""
    scene = RunningPool(embedder.pooling)
    piece: ClipRecord | None = None
    try:
        bare = ClipRecord(readable_name(file), file_facts(file)["duration_s"])
        for block in embedder.embed_stream(file):
            if piece is not None and settings.frames:
                yield piece
            scene.add(block.frames)
            piece = replace(bare, frames=block.frames, timestamps_ms=block.timestamps_ms) if settings.frames else bare
    except OSError as error:  # from the sound: errors of writing the pieces are raised outside this generator
        raise AudioError(f"{file}: cannot be read any more ({error})") from error
    if piece is None:
        raise AudioError(f"{file}: no frame embeddings; the sound may have changed while it was read")
    yield replace(piece, scene=scene.result() if settings.scene else None)


class _Parts:
    """The finished parts of an incomplete output, in a folder beside it; damaged ones are removed."""

    def __init__(self, out: Path, folder: Path, settings: StoreSettings) -> None:
        self.out, self.folder, self.settings = out, folder, settings
        if out.exists():
            self._check(out)
        for file in self._files():
            if self._whole(file):
                self._check(file)
            else:
                file.unlink()

    def _whole(self, part: Path) -> bool:
        """Tell whether all of a part can be read, and warn if not."""
        try:
            for _ in read_pieces(part):
                pass
        except AxlstmError as error:
            if isinstance(error.__cause__, OSError):  # the disk may give it another time
                raise DataError(f"{part}: cannot be read ({error.__cause__})") from error
            logger.warning("%s; the clips of this part are embedded again", error)
            return False
        return True

    def _check(self, file: Path) -> None:
        there, now = asdict(read_settings(file)), asdict(self.settings)
        names = [name for name in now if name != "model" and there[name] != now[name]]
        differing = [f"{name} is {there[name]!r} there, {now[name]!r} now" for name in names]
        if differing:
            raise ConfigError(f"{file} was made with other settings ({'; '.join(differing)}): choose another OUT")

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.npz"))

    def _all_files(self) -> list[Path]:
        return ([self.out] if self.out.exists() else []) + self._files()

    def finished(self) -> set[str]:
        """Collect the paths of the clips that are finished."""
        return {path for file in self._all_files() for path in read_paths(file)}

    def add(self, records: Iterable[ClipRecord]) -> None:
        """Write records as a new part."""
        number = max((int(file.stem.removeprefix("part-")) for file in self._files()), default=-1) + 1
        part = self.folder / f"part-{number:06d}.npz"
        with _writing(part, self.folder):
            write_records(part, self.settings, records)

    def merge(self) -> None:
        """Write the output from its earlier content and the parts."""
        if not self._files():
            return
        try:
            with _writing(self.out, self.folder):
                write_records(self.out, self.settings, self._pieces())
        except DataError:
            raise
        except AxlstmError as error:
            raise DataError(
                f"{error}. Finished parts are kept in {self.folder}. Move a damaged output away, and run the same "
                "command again to resume"
            ) from error

    def _pieces(self) -> Iterator[ClipRecord]:
        """Read the output and the parts, no clip twice: an interrupted merge leaves clips in both."""
        seen: set[str] = set()
        for file in self._all_files():
            yield from (piece for piece in read_pieces(file) if piece.path not in seen)
            seen.update(read_paths(file))

    def clear(self) -> None:
        """Remove the parts."""
        for file in self._files():
            file.unlink()
