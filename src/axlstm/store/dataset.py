"""Embed many recordings into a folder of parquet files, one for each part of a plan."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from axlstm.embed.batching import PreparedClip, group_frames
from axlstm.embed.embedder import Embedder
from axlstm.embed.window_lengths import Windows
from axlstm.errors import ConfigError
from axlstm.files import readable_name
from axlstm.hub import load_model
from axlstm.options import EMBEDDER_DEFAULTS, EmbedderOptions, EngineName
from axlstm.parts.drive import Report, Runner, drive, take_plan
from axlstm.parts.entries import Entry
from axlstm.parts.folders import Folder
from axlstm.parts.listing import Listing
from axlstm.parts.opening import open_folder
from axlstm.parts.plan import Limits, Plan, read_plan
from axlstm.parts.run import Tally, Work
from axlstm.store.formats import read_pieces, write_records
from axlstm.store.parquet import RowWriter
from axlstm.store.parts import make_settings
from axlstm.store.planned import PlannedFile, PlannedWork
from axlstm.store.records import ClipRecord, StoreSettings
from axlstm.store.rows import make_record, stream_records

logger = logging.getLogger(__name__)


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
    if read_plan(folder) is None:
        Listing(sources, without=out).check()  # before the model is loaded, which takes longer
    else:
        told = (
            "%s: these are the recordings that were listed at first; what has come or changed since needs another OUT"
        )
        logger.warning(told, readable_name(out))
    if options["engine"] == "auto":
        options["engine"] = _planned_engine(folder, options, model, revision)
    here: EmbedderOptions = {**options, "device": "cpu"}  # which the fingerprint does not depend on
    embedder = load_model(model, revision=revision, **here)
    settings = make_settings(embedder, scene, frames, windows)
    job = {"command": "embed", "model": _model_place(model), "revision": revision, "encoder": _plain(options)}
    job["settings"] = settings.to_json()

    def listed() -> tuple[Listing, Mapping[str, int]]:
        listing = Listing(sources, without=out)
        return listing, listing.not_sound

    return folder, take_plan(folder, job, sources, limits, listed)


def _planned_engine(folder: Folder, options: EmbedderOptions, model: str, revision: str | None) -> EngineName | None:
    """Return the engine of all workers, which may be on other machines: that of the plan, or what "auto" is here."""
    plan = read_plan(folder)
    if plan is not None:
        planned: EngineName | None = plan.job.get("encoder", {}).get("engine")
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


class EmbedWork(Work):
    """Embeds the recordings of parts with one model.

    Args:
        plan: made by `plan_dataset`.

    Raises:
        ConfigError: the model is not the one that the parts were planned with.
    """

    def __init__(self, plan: Plan) -> None:
        job = plan.job
        self.plan, self.settings = plan, StoreSettings.from_json(job["settings"])
        self.embedder = load_model(job["model"], revision=job["revision"], **job["encoder"])
        refuse_other_weights(job["model"], self.settings.fingerprint, self.embedder.fingerprint)

    def write(self, entries: Sequence[Entry], path: Path) -> Tally:
        with tempfile.TemporaryDirectory(prefix="axlstm-") as copies, RowWriter(path, self.settings) as writer:
            files = _Files(self.embedder, self.settings, self.plan, writer, Path(copies))
            files.embed(entries)
        return files.tally


def refuse_other_weights(model: str, planned: str, found: str) -> None:
    """Refuse a model whose fingerprint is not the one that parts were planned with.

    Raises:
        ConfigError: saying so.
    """
    if found != planned:
        raise ConfigError(
            f"{model}: its weights are other ones than those that the parts were planned with; put those back, or "
            "choose another OUT"
        )


class _Files(PlannedWork):
    """Embeds the recordings of one part."""

    def __init__(
        self, embedder: Embedder, settings: StoreSettings, plan: Plan, writer: RowWriter, copies: Path
    ) -> None:
        super().__init__(group_frames(embedder), plan.base, copies)
        self.embedder, self.settings, self.writer = embedder, settings, writer

    def read(self, content: Path) -> PreparedClip:
        return self.embedder.prepare(content)

    def size(self, ready: PlannedFile) -> int | None:
        return None if ready.sound is None else ready.sound.encoded_frames

    def keep(self, group: Sequence[tuple[Entry, PlannedFile]]) -> None:
        embeddings = self.embedder.embed_prepared([ready.sound for _, ready in group])
        records = []
        for (task, ready), embedding in zip(group, embeddings, strict=True):
            bare = ClipRecord(readable_name(task.path), embedding.duration_s, origin=ready.origin)
            records.append(make_record(self.embedder, embedding, bare, self.settings))
        for record in records:
            self.writer.add(record)
            self.count(record.duration_s, max(1, record.windows))

    def embed_long(self, task: Entry, ready: PlannedFile) -> None:
        """Embed a long recording into a file beside, so that a fault in its middle leaves no rows."""
        whole = self.copies / "long.parquet"
        bare = ClipRecord(readable_name(task.path), ready.facts["duration_s"], origin=ready.origin)
        pieces = stream_records(self.embedder, ready.content, bare, self.settings)
        write_records(whole, self.settings, self.read_long(task, ready, pieces))
        rows, duration_s = 0, 0.0
        for piece in read_pieces(whole):
            self.writer.add(piece)
            rows, duration_s = rows + max(1, piece.windows), piece.duration_s
        self.count(duration_s, rows)
