"""Embed many recordings into a folder of parquet files, one for each part of a plan."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from axlstm.audio.read import file_facts
from axlstm.embed.batching import PreparedClip, group_frames
from axlstm.embed.embedder import Embedder
from axlstm.embed.window_lengths import Windows
from axlstm.errors import AudioError, ConfigError
from axlstm.files import readable_name
from axlstm.hub import load_model
from axlstm.options import EMBEDDER_DEFAULTS, EmbedderOptions, EngineName
from axlstm.parts.accounts import note_event
from axlstm.parts.contents import fetch, is_copied
from axlstm.parts.drive import Report, Runner, drive
from axlstm.parts.entries import Entry
from axlstm.parts.folders import Folder
from axlstm.parts.listing import Listing
from axlstm.parts.opening import open_folder
from axlstm.parts.plan import Limits, Plan, make_plan, read_plan
from axlstm.parts.run import Tally, Work
from axlstm.remote import count_retries
from axlstm.store.formats import read_pieces, write_records
from axlstm.store.origin import UNKNOWN, Origin, hash_place, read_origin
from axlstm.store.parquet import RowWriter
from axlstm.store.parts import make_settings
from axlstm.store.records import ClipRecord, StoreSettings
from axlstm.store.rows import make_record, stream_records
from axlstm.store.work import LONG_SECONDS, FileWork, check_unchanged, read_through

_MOST_FILES = 256  # that are computed together


def embed_dataset(
    model: str,
    sources: Sequence[str],
    out: str,
    *,
    runner: Runner,
    limits: Limits,
    progress: Callable[[float, float], None] = lambda *_: None,
    **options: Any,
) -> Report:
    """Embed recordings into the folder ``out``: a parquet file for each part, with accounts of all that was asked for.

    The first call plans; the same call goes on after an interruption, and does again what was lost or damaged.

    Args:
        model, sources, out, limits, options: as for `plan_dataset`.
        runner: runs the parts; `axlstm.parts.choice.choose_runner` gives one.
        progress: called with the number of recordings that are done and of all.

    Raises:
        AxlstmError: as `plan_dataset` and `axlstm.parts.drive.drive`.
    """
    folder, plan = plan_dataset(model, sources, out, limits=limits, **options)
    done = 0.0

    def advance(entries: float) -> None:
        nonlocal done
        done += entries
        progress(done, plan.entries)

    return drive(folder, plan, EmbedWork, runner, advance)


def plan_dataset(
    model: str,
    sources: Sequence[str],
    out: str,
    *,
    limits: Limits,
    scene: bool = True,
    frames: bool = False,
    windows: Windows | None = None,
    revision: str | None = None,
    **encoder: Unpack[EmbedderOptions],
) -> tuple[Folder, Plan]:
    """Plan the parts of ``out``, or take the plan that is there.

    Args:
        model, revision, encoder: as `axlstm.load_model` takes them; each worker loads the model.
        sources: sound files, folders, and tar, zip and parquet files: paths and URLs (`axlstm.parts.listing.Listing`).
        out: a folder, or the URL of one.
        limits: where a part ends.
        scene, frames, windows: as for `axlstm.store.batch.embed_files`.

    Raises:
        ConfigError: ``out`` was planned otherwise or holds other files, or options that do not fit.
        InUseError: another process drives ``out``.
        AudioError: a source that is not there, or no sound.
        StoreError, WriteError: a store or a disk fails.
    """
    options: EmbedderOptions = {**EMBEDDER_DEFAULTS, **encoder}
    if options["engine"] == "processes":
        raise ConfigError("engine='processes': the parts of a folder have processes of their own; leave the engine out")
    folder = open_folder(out)
    if options["engine"] == "auto":
        options["engine"] = _planned_engine(folder, options, model, revision)
    here: EmbedderOptions = {**options, "device": "cpu"}  # which the fingerprint does not depend on
    embedder = load_model(model, revision=revision, **here)
    settings = make_settings(embedder, scene, frames, windows)
    job = {"command": "embed", "model": _model_place(model), "revision": revision, "encoder": _plain(options)}
    job["settings"] = settings.to_json()
    with folder.held():
        plan = read_plan(folder)
        if plan is None:
            _refuse_others(folder)
            listing, retries = Listing(sources, without=out), count_retries()
            plan = make_plan(folder, job, sources, limits, listing, listing.not_sound)
            note_event(folder, "planned", retries=count_retries() - retries)
        else:
            plan.refuse_other(folder, job, sources, limits)
    return folder, plan


def _planned_engine(folder: Folder, options: EmbedderOptions, model: str, revision: str | None) -> EngineName | None:
    """Return the engine of all workers, which may be on other machines: that of the plan, or what "auto" is here."""
    plan = read_plan(folder)
    if plan is not None:
        planned: EngineName | None = plan.job["encoder"].get("engine")
        return planned
    if str(options["device"]) != "cpu":
        return None
    return load_model(model, revision=revision, **options).engine


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
        with tempfile.TemporaryDirectory(prefix="axlstm-") as copies, RowWriter(path, self.settings) as writer:
            files = _Files(self.embedder, self.settings, self.plan, writer, Path(copies))
            files.embed(entries)
        files.tally.skipped = files.skipped
        return files.tally


@dataclass(frozen=True)
class _Ready:
    """A recording before it is embedded; the clip is None if it is too long to be held in memory."""

    origin: Origin
    clip: PreparedClip | None
    content: Path  # the file, or a copy of it, which is there until a long recording is embedded


class _Files(FileWork[Entry, _Ready]):
    """Embeds the recordings of one part; windows of neighbours are computed together.

    Args:
        copies: folder for what is fetched.
    """

    def __init__(
        self, embedder: Embedder, settings: StoreSettings, plan: Plan, writer: RowWriter, copies: Path
    ) -> None:
        self._frames = group_frames(embedder)
        super().__init__(self._frames, _MOST_FILES, lambda _: None)
        self.embedder, self.settings, self.plan, self.writer, self.copies = embedder, settings, plan, writer, copies
        self.tally = Tally()
        self._contents: dict[Entry, Path] = {}  # of entries that are or were read

    def name(self, task: Entry) -> tuple[Path | str, Path]:
        return task.path, self._contents.get(task, Path(task.path))

    def prepare(self, task: Entry) -> _Ready:
        content = self._contents[task] = fetch(task, self.plan.base, self.copies)
        is_kept = False
        try:
            is_long = file_facts(content)["duration_s"] >= LONG_SECONDS
            origin = self._origin(task, content)
            clip = None if is_long else self.embedder.prepare(content)
            if not is_copied(task):
                check_unchanged(task.path, content, origin)
            is_kept = is_long
        finally:
            if is_copied(task) and not is_kept:
                content.unlink()
        return _Ready(origin, clip, content)

    def _origin(self, task: Entry, content: Path) -> Origin:
        """Note where a recording comes from, and refuse one that is not as it was planned."""
        if is_copied(task):  # compared when it was fetched
            place = hash_place(Path(task.path))
            return replace(read_origin(content, place), modified=UNKNOWN.modified, quick_digest=UNKNOWN.quick_digest)
        origin = read_origin(content, hash_place(content.parent.resolve() / content.name))
        if task.stamp and (task.size_bytes, task.stamp) != (origin.size_bytes, str(origin.modified)):
            raise AudioError(f"{task.path}: changed since it was planned; embed it into another OUT")
        return origin

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

    def held(self, ready: _Ready) -> int:
        """Count the copy of a long recording as a full group, so that few of them lie on the disk."""
        is_copy = ready.content.parent == self.copies
        return self._frames if ready.clip is None and is_copy else super().held(ready)

    def embed_long(self, task: Entry, ready: _Ready) -> None:
        """Embed a long recording into a file beside, so that a fault in its middle leaves no rows."""
        whole = self.copies / "long.parquet"
        write_records(whole, self.settings, read_through(task.path, self._pieces(task, ready)))
        rows, duration_s = 0, 0.0
        for piece in read_pieces(whole):
            self.writer.add(piece)
            rows, duration_s = rows + max(1, piece.windows), piece.duration_s
        self._count(duration_s, rows)
        if is_copied(task):
            ready.content.unlink()

    def _pieces(self, task: Entry, ready: _Ready) -> Iterator[ClipRecord]:
        duration_s = file_facts(ready.content)["duration_s"]
        bare = ClipRecord(readable_name(task.path), duration_s, origin=ready.origin)
        yield from stream_records(self.embedder, ready.content, bare, self.settings)
        if not is_copied(task):
            check_unchanged(task.path, ready.content, ready.origin)

    def _count(self, duration_s: float, rows: int) -> None:
        self.tally.embedded += 1
        self.tally.rows += rows
        self.tally.audio_s += duration_s

    def waiting(self) -> int:
        return 0

    def write(self) -> None:
        """Leave it to the writer, which has the records already."""
