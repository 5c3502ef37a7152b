"""Index recordings in parts: workers write files of windows, and one process enters these into the collection."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from axlstm.audio.find import Found, by_place
from axlstm.collection.collection import open as open_collection
from axlstm.collection.encoders import EncoderNote, WindowEncoder
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.headers import Recorded
from axlstm.collection.indexing import IndexSummary, enter, plan_tasks
from axlstm.collection.loading import load_window_encoder, match_entry
from axlstm.collection.metadata import read_metadata
from axlstm.collection.parts import Rows, Waiting, join_rows
from axlstm.collection.recorded import read_recorded
from axlstm.collection.recordings import sort_files
from axlstm.collection.window_files import WindowFile, read_windows
from axlstm.collection.writer import CollectionWriter, FileNotes, IndexTask, make_rows
from axlstm.embed.window_lengths import Windows
from axlstm.errors import AudioError, ConfigError
from axlstm.files import is_pipe, readable_name
from axlstm.parts.accounts import read_account, rows_name
from axlstm.parts.contents import is_copied
from axlstm.parts.drive import take_plan
from axlstm.parts.entries import Entry, describe_file
from axlstm.parts.folders import Folder
from axlstm.parts.opening import open_folder
from axlstm.parts.plan import Limits, Plan
from axlstm.parts.run import GatheredWork, Tally
from axlstm.store.dataset import refuse_other_weights
from axlstm.store.origin import has_changed
from axlstm.store.planned import PlannedFile, PlannedWork
from axlstm.store.work import LONG_SECONDS

_A_PIPE = "a pipe, which a collection cannot come back to; save it as a file first"
_HOW = ("device", "batch_windows", "engine")  # options of loading that the note of an encoder does not have


def plan_index(
    collection: CollectionFolder,
    encoder: WindowEncoder,
    sources: Sequence[str],
    found: Found,
    place: str,
    limits: Limits,
    metadata: Path | None = None,
    **options: Any,
) -> tuple[Folder, Plan]:
    """Plan the parts of what `axlstm.collection.indexing.index` does, or take the plan that is there.

    Args:
        encoder: as it is to be loaded by workers.
        sources: that ``found`` was found in.
        place: a folder for the parts, or the URL of one.
        metadata: table whose columns all recordings of the collection get.
        options: that the encoder was loaded with.

    Raises:
        ConfigError: the parts were planned otherwise, or the collection has another encoder of that name.
        InUseError: another process drives the parts.
        AxlstmError: the plan cannot be written.
    """
    how = {name: options[name] for name in _HOW if options.get(name) not in (None, "auto")}
    if how.get("engine") == "processes":
        raise ConfigError("engine='processes': parts have processes of their own; leave the engine out")
    job = {
        "command": "index",
        "out": str(collection.folder.absolute()),
        "encoder": {**asdict(encoder.note), "options": dict(encoder.note.options)},
        "windows": [encoder.windows.window_s, encoder.windows.hop_s],
        "how": {**how, "device": str(how.get("device", "cpu"))},
        "metadata": None if metadata is None else str(metadata.absolute()),
    }

    def listed() -> tuple[Iterable[Entry], Mapping[str, int]]:
        places = by_place(found.files)
        named = zip(collection.names_of(places), places.values(), strict=True)
        files = {name: file for name, file in named if not is_pipe(file)}
        tasks = plan_tasks(collection, files, sort_files(collection, files), match_entry(collection, encoder))
        wanted = {task.file for task in tasks}
        entries = [_describe(file, file in wanted) for file in places.values()]
        return [*entries, *(Entry(str(path), skip=readable_name(why)) for path, why in found.skipped)], found.not_sound

    folder = open_folder(place)
    return folder, take_plan(folder, job, sources, limits, listed)


def _describe(file: Path, is_wanted: bool) -> Entry:
    if is_pipe(file):
        return Entry(str(file), skip=_A_PIPE)
    return describe_file(file) if is_wanted else Entry(str(file), there=True)


@dataclass(frozen=True)
class _Noted:
    """The encoder of a job."""

    note: EncoderNote
    windows: Windows

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> _Noted:
        return cls(EncoderNote(**job["encoder"]), Windows(*job["windows"]))


class IndexParts(GatheredWork):
    """Embeds the windows of recordings, for the collection that the plan names.

    Args:
        plan: made by `plan_index`.

    Raises:
        ConfigError: the encoder is not the one that the parts were planned with.
    """

    def __init__(self, plan: Plan) -> None:
        noted = _Noted.of(plan.job)
        options = {**noted.note.options, **plan.job["how"]}
        self.plan = plan
        options["going_on"] = noted.note.fingerprint  # in the engine of the plan, wherever the worker runs
        self.encoder = load_window_encoder(noted.note.source, noted.windows, name=noted.note.name, **options)
        refuse_other_weights(noted.note.source, noted.note.fingerprint, self.encoder.note.fingerprint)

    def write(self, entries: Sequence[Entry], path: Path) -> Tally:
        size = self.encoder.note.size
        with tempfile.TemporaryDirectory(prefix="axlstm-") as copies, WindowFile(path, size) as file:
            windows = _Windows(self.encoder, self.plan.base, Path(copies), file)
            windows.embed(entries)
        return windows.tally

    @classmethod
    def gather(cls, folder: Folder, plan: Plan) -> IndexSummary:
        """Enter the windows of all parts into the collection."""
        base = Path() if plan.base == str(Path.cwd()) else Path(plan.base)
        entries = [entry for part in range(plan.parts) for entry in plan.read_entries(folder, part)]
        files = tuple(base / entry.path for entry in entries if not entry.skip)
        skipped = tuple((Path(entry.path), entry.skip) for entry in entries if entry.skip)
        metadata = plan.job["metadata"]
        table = None if metadata is None else read_metadata(Path(metadata))
        with open_collection(Path(plan.job["out"])) as collection:
            found, noted = Found(files, skipped, plan.not_sound), _Noted.of(plan.job)
            return enter(
                collection, noted, found, table, lambda _: None, lambda writer: _Gathering(writer, folder, plan, base)
            )


class _Windows(PlannedWork):
    """Embeds the windows of the recordings of one part."""

    def __init__(self, encoder: WindowEncoder, base: str, copies: Path, file: WindowFile) -> None:
        super().__init__(encoder.limit, base, copies)
        self.encoder, self.file = encoder, file

    def read(self, content: Path) -> Any:
        return self.encoder.prepare(content)

    def describe(self, task: Entry, content: Path) -> Recorded:
        return read_recorded(content, PurePosixPath(task.path).stem if is_copied(task) else None)

    def size(self, ready: PlannedFile) -> int | None:
        return None if ready.sound is None else self.encoder.size_of(ready.sound)

    def keep(self, group: Sequence[tuple[Entry, PlannedFile]]) -> None:
        blocks = self.encoder.embed([ready.sound for _, ready in group])
        rows = [make_rows(block, task.path) for (task, _), block in zip(group, blocks, strict=True)]
        for (task, ready), own in zip(group, rows, strict=True):
            self._add(task, ready, own)

    def embed_long(self, task: Entry, ready: PlannedFile) -> None:
        pieces = (make_rows(block, task.path) for block in self.encoder.stream(ready.content))
        with Waiting(self.encoder.note.size, self.copies) as waiting:
            for rows in self.read_long(task, ready, pieces):
                waiting.add(rows)
            self._add(task, ready, waiting.rows())

    def _add(self, task: Entry, ready: PlannedFile, rows: Rows) -> None:
        self.file.add(readable_name(task.path), FileNotes(ready.origin, ready.facts, ready.about), rows)
        self.count(ready.facts["duration_s"], len(rows))


class _Gathering:
    """Gives the windows of parts to a collection, in the order of the plan."""

    def __init__(self, writer: CollectionWriter, folder: Folder, plan: Plan, base: Path) -> None:
        self.writer, self.folder, self.plan, self.base = writer, folder, plan, base
        self.skipped: list[tuple[str, str]] = []
        self.failed = 0

    def skip(self, file: Path | str, reason: str) -> None:
        self.skipped.append((readable_name(file), readable_name(reason)))

    def embed(self, tasks: Iterable[IndexTask]) -> None:
        left = {readable_name(task.file): task for task in tasks}
        for part in range(self.plan.parts):
            account = read_account(self.folder, self.plan, part)
            for path, reason in () if account is None else account.skipped:
                if left.pop(readable_name(self.base / path), None) is not None:
                    self._fail(path, reason)
            with self.folder.at_hand([rows_name(part)]) as here:
                for path, notes, blocks in read_windows(here / rows_name(part)):
                    task = left.pop(readable_name(self.base / path), None)
                    if task is not None:
                        self._enter(task, notes, blocks)
        for task in left.values():
            self._fail(task.file, "came or changed after the parts were planned; the same command embeds it")
        self.writer.write()

    def _enter(self, task: IndexTask, notes: FileNotes, blocks: Iterator[Rows]) -> None:
        if has_changed(task.file, notes.origin):
            self._fail(task.file, "changed since it was embedded; the same command embeds it again")
            return
        notes = replace(notes, origin=replace(notes.origin, place=task.name))
        if notes.facts["duration_s"] < LONG_SECONDS:
            self.writer.add(task, notes, join_rows(blocks))
            return
        self.writer.write()
        try:
            self.writer.add_long(task, notes, blocks)
        except AudioError as error:
            self._fail(task.file, str(error))

    def _fail(self, file: Path | str, reason: str) -> None:
        self.failed += 1
        self.skip(file, reason)
