"""Embed many recordings into a folder of parquet files, one for each part of a plan."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from axlstm.audio.find import Found, find_audio
from axlstm.audio.read import file_facts
from axlstm.embed.batching import PreparedClip, group_frames
from axlstm.embed.embedder import Embedder
from axlstm.embed.window_lengths import Windows
from axlstm.errors import AudioError, ConfigError
from axlstm.files import is_pipe, readable_name
from axlstm.hub import load_model
from axlstm.options import EMBEDDER_DEFAULTS, EmbedderOptions
from axlstm.parts.drive import Report, Runner, drive
from axlstm.parts.entries import Entry
from axlstm.parts.folders import Folder, open_folder
from axlstm.parts.plan import Limits, Plan, absolute, make_plan, read_plan
from axlstm.parts.run import Tally, Work
from axlstm.store.formats import read_pieces, write_records
from axlstm.store.origin import Origin, hash_place, read_origin
from axlstm.store.parquet import RowWriter
from axlstm.store.parts import make_settings
from axlstm.store.records import ClipRecord, StoreSettings
from axlstm.store.rows import make_record, stream_records
from axlstm.store.work import LONG_SECONDS, FileWork, check_unchanged, read_through

_MOST_FILES = 256  # that are computed together


def embed_dataset(
    model: str,
    sources: Sequence[Path],
    out: str,
    *,
    runner: Runner,
    limits: Limits,
    scene: bool = True,
    frames: bool = False,
    windows: Windows | None = None,
    revision: str | None = None,
    progress: Callable[[float, float], None] = lambda *_: None,
    **encoder: Unpack[EmbedderOptions],
) -> Report:
    """Embed recordings into the folder ``out``: a parquet file for each part, with accounts of all that was asked for.

    The first call plans; the same call goes on after an interruption, and does again what was lost or damaged.

    Args:
        model, revision, encoder: as `axlstm.load_model` takes them; each worker loads the model.
        sources: sound files and folders, as `axlstm.audio.find.find_audio` takes them.
        runner: runs the parts, such as `axlstm.parts.runners.in_processes`.
        limits: where a part ends.
        scene, frames, windows: as for `axlstm.store.batch.embed_files`.
        progress: called with the number of recordings that are done and of all.

    Raises:
        ConfigError: ``out`` was planned otherwise or holds other files, or options that do not fit.
        InUseError: another process drives ``out``.
        WriteError: the disk is full or fails; the same call goes on from the finished parts.
        AxlstmError: another error that no further try mends.
    """
    options: EmbedderOptions = {**EMBEDDER_DEFAULTS, **encoder}
    if options["engine"] == "processes":
        raise ConfigError("engine='processes': the parts of a folder have processes of their own; leave the engine out")
    here: EmbedderOptions = {**options, "device": "cpu"}  # which the fingerprint does not depend on
    embedder = load_model(model, revision=revision, **here)
    settings = make_settings(embedder, scene, frames, windows)
    job = {"command": "embed", "model": _model_place(model), "revision": revision, "encoder": _plain(options)}
    job["settings"] = settings.to_json()
    folder = open_folder(out)
    with folder.held():
        plan = read_plan(folder)
        if plan is None:
            _refuse_others(folder)
            found = find_audio(sources, without=Path(out))
            names = tuple(map(str, sources))
            plan = make_plan(folder, job, names, limits, _entries(found), found.not_sound)
        else:
            plan.refuse_other(folder, job, map(str, sources), limits)
        done, total = 0.0, plan.entries

        def advance(entries: float) -> None:
            nonlocal done
            done += entries
            progress(done, total)

        return drive(folder, plan, EmbedWork, runner, advance)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give options as JSON has them."""
    layers = options["layers"]
    listed = list(layers) if isinstance(layers, Sequence) else layers
    return {**options, "layers": listed, "device": str(options["device"])}


def _model_place(model: str) -> str:
    """Give a path as other processes find it, and a name as it is."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def _refuse_others(folder: Folder) -> None:
    if others := [name for name in folder.names("") if name not in ("_plan", "_work")]:
        raise ConfigError(f"{folder.name}: a folder that holds {others[0]!r}; choose a new one, or a file for OUT")


def _entries(found: Found) -> Iterator[Entry]:
    """Describe what was found, in its order, and what was left out behind it."""
    for file in found.files:
        if is_pipe(file):
            yield Entry(str(file), skip="a pipe, which can be read only once; give a file for OUT to embed it")
            continue
        try:
            facts = file.stat()
        except OSError:
            yield Entry(str(file))  # the part says what is wrong with it
        else:
            yield Entry(str(file), facts.st_size, str(facts.st_mtime_ns))
    for path, reason in found.skipped:
        yield Entry(str(path), skip=readable_name(reason))


class EmbedWork(Work):
    """Embeds the recordings of parts with one model.

    Args:
        plan: made by `embed_dataset`.

    Raises:
        ConfigError: the model is not the one that the parts were planned with.
    """

    def __init__(self, plan: Plan) -> None:
        job = plan.job
        self.plan, self.settings = plan, StoreSettings.from_json(job["settings"])
        self.embedder = load_model(job["model"], revision=job["revision"], **job["encoder"])
        if self.embedder.fingerprint != self.settings.fingerprint:
            raise ConfigError(
                f"{job['model']}: its weights are other ones than those that the parts were planned with; put those "
                "back, or choose another OUT"
            )

    def write(self, entries: Sequence[Entry], path: Path) -> Tally:
        with RowWriter(path, self.settings) as writer:
            files = _Files(self.embedder, self.settings, self.plan, writer)
            files.embed(entries)
        files.tally.skipped = files.skipped
        return files.tally


@dataclass(frozen=True)
class _Ready:
    """A recording before it is embedded; the clip is None if it is too long to be held in memory."""

    origin: Origin
    clip: PreparedClip | None


class _Files(FileWork[Entry, _Ready]):
    """Embeds the recordings of one part; windows of neighbours are computed together."""

    def __init__(self, embedder: Embedder, settings: StoreSettings, plan: Plan, writer: RowWriter) -> None:
        super().__init__(group_frames(embedder), _MOST_FILES, lambda _: None)
        self.embedder, self.settings, self.plan, self.writer = embedder, settings, plan, writer
        self.tally = Tally()

    def name(self, task: Entry) -> tuple[Path, Path]:
        return Path(task.path), absolute(self.plan, task.path)

    def prepare(self, task: Entry) -> _Ready:
        named, file = self.name(task)
        is_long = file_facts(file)["duration_s"] >= LONG_SECONDS
        origin = read_origin(file, hash_place(file.parent.resolve() / file.name))
        if task.stamp and (task.size_bytes, task.stamp) != (origin.size_bytes, str(origin.modified)):
            raise AudioError(f"{named}: changed since it was planned; embed it into another OUT")
        clip = None if is_long else self.embedder.prepare(file)
        check_unchanged(named, file, origin)
        return _Ready(origin, clip)

    def size(self, ready: _Ready) -> int | None:
        return None if ready.clip is None else ready.clip.encoded_frames

    def keep(self, group: Sequence[tuple[Entry, _Ready]]) -> None:
        embeddings = self.embedder.embed_prepared([ready.clip for _, ready in group if ready.clip is not None])
        records = []
        for (task, ready), embedding in zip(group, embeddings, strict=True):
            bare = ClipRecord(readable_name(task.path), embedding.duration_s, origin=ready.origin)
            records.append(make_record(self.embedder, embedding, bare, self.settings))
        for record in records:
            self.writer.add(record)
            self._count(record.duration_s, max(1, record.windows))

    def embed_long(self, task: Entry, ready: _Ready) -> None:
        """Embed a long recording into a file beside, so that a fault in its middle leaves no rows."""
        with tempfile.TemporaryDirectory(prefix="axlstm-") as beside:
            whole = Path(beside, "long.parquet")
            write_records(whole, self.settings, read_through(Path(task.path), self._pieces(task, ready.origin)))
            rows, duration_s = 0, 0.0
            for piece in read_pieces(whole):
                self.writer.add(piece)
                rows, duration_s = rows + max(1, piece.windows), piece.duration_s
        self._count(duration_s, rows)

    def _pieces(self, task: Entry, origin: Origin) -> Iterator[ClipRecord]:
        named, file = self.name(task)
        bare = ClipRecord(readable_name(task.path), file_facts(file)["duration_s"], origin=origin)
        yield from stream_records(self.embedder, file, bare, self.settings)
        check_unchanged(named, file, origin)

    def _count(self, duration_s: float, rows: int) -> None:
        self.tally.embedded += 1
        self.tally.rows += rows
        self.tally.audio_s += duration_s

    def waiting(self) -> int:
        return 0

    def write(self) -> None:
        """Leave it to the writer, which has the records already."""
