"""Prepare shards in parts: workers turn sound into records, and one process writes the shards of them."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from axlstm.data.config import PrepareConfig
from axlstm.data.manifest import Item, find_items, group_of, held_out_groups, mixed
from axlstm.data.prepare import Prepared, fingerprints, write_shards
from axlstm.data.record_files import RecordFile, read_records
from axlstm.data.segments import Record, Skip, Stretch, plan_item, process_stretch
from axlstm.errors import AudioError, describe_error
from axlstm.files import readable_name
from axlstm.locks import locked
from axlstm.parts.accounts import rows_name
from axlstm.parts.contents import fetch, is_copied
from axlstm.parts.corpora import is_corpus
from axlstm.parts.drive import take_plan
from axlstm.parts.entries import Entry, describe_file
from axlstm.parts.folders import Folder
from axlstm.parts.listing import Listing
from axlstm.parts.opening import open_folder
from axlstm.parts.plan import Limits, Plan
from axlstm.parts.run import GatheredWork, Tally
from axlstm.remote import is_url


def plan_prepare(
    sources: Sequence[str], directory: Path, place: str, limits: Limits, config: PrepareConfig
) -> tuple[Folder, Plan]:
    """Plan the parts of what `axlstm.data.prepare.prepare` does, or take the plan that is there.

    Args:
        sources: as for ``prepare``, and tar and zip files with sound in them, and URLs of all but manifests; a parquet
            file behind a URL has sounds in it (`axlstm.parts.listing.Listing`).
        directory: of the shards.
        place: a folder for the parts, or the URL of one.

    Raises:
        ConfigError: the parts were planned otherwise.
        AxlstmError: as ``prepare``; or the plan cannot be written.
    """
    job = {"command": "prepare", "out": str(directory.absolute()), "config": config.to_dict()}

    def listed() -> tuple[Iterable[Entry], Mapping[str, int]]:
        found, not_sound = _find(sources, config)
        entry_of = dict(found)
        items = mixed([item for item, _ in found], config.seed)
        held_out = held_out_groups(items, config.held_out, config.seed)
        ordered = [(at, item) for at, item in enumerate(items) if item.group in held_out]
        ordered += [(at, item) for at, item in enumerate(items) if item.group not in held_out]
        return (_entry(at, item, entry_of[item], item.group in held_out) for at, item in ordered), not_sound

    folder = open_folder(place)
    return folder, take_plan(folder, job, sources, limits, listed)


def _find(sources: Sequence[str], config: PrepareConfig) -> tuple[list[tuple[Item, Entry]], Mapping[str, int]]:
    """List items with the entries of their files."""
    elsewhere = [name for name in sources if is_url(name) or (is_corpus(name) and not name.endswith(".parquet"))]
    here = [Path(name) for name in sources if name not in elsewhere]
    items, counted = find_items(here, config.grouping) if here else ([], {})
    of_file = Counter(item.path for item in items)
    described = {path: describe_file(Path(path)) for path in of_file}
    found = []
    for item in items:
        own = described[item.path]
        share = max(0, own.size_bytes) // of_file[item.path]  # of a file that is cut into many items
        found.append((item, Entry(item.path, share, own.stamp, readable_name(item.fault))))
    listing = Listing(elsewhere, without="")
    for entry in listing if elsewhere else ():
        group = group_of(Path(entry.path), config.grouping) if not is_url(entry.path) else _group_of_url(entry, config)
        found.append((Item(entry.path, group, fault=entry.skip), entry))
    return found, Counter(counted) + listing.not_sound


def _group_of_url(entry: Entry, config: PrepareConfig) -> str:
    return entry.path if config.grouping == "file" else entry.path.rpartition("/")[0]


def _entry(at: int, item: Item, entry: Entry, is_held: bool) -> Entry:
    about = {"at": at, "group": item.group, "held": is_held}
    about |= {name: value for name in ("start_s", "end_s", "label") if (value := getattr(item, name)) is not None}
    return replace(entry, about=json.dumps(about))


def _item(entry: Entry, copy: str = "") -> tuple[int, Item, bool]:
    """Return the place of an item in the order, the item, and whether it is held out."""
    about = json.loads(entry.about)
    at, is_held = about.pop("at"), about.pop("held")
    return at, Item(entry.path, **about, fault=entry.skip, copy=copy), is_held


class PrepareParts(GatheredWork):
    """Turns recordings into records.

    Args:
        plan: made by `plan_prepare`.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.config = plan, PrepareConfig(**plan.job["config"])

    def write(self, entries: Sequence[Entry], path: Path) -> Tally:
        tally = Tally()
        with tempfile.TemporaryDirectory(prefix="axlstm-") as copies, RecordFile(path) as file:
            for entry in entries:
                seconds, records, reason = 0.0, 0, ""
                for outcome in self._outcomes(entry, Path(copies)):
                    file.add(outcome)
                    if isinstance(outcome, Record):
                        seconds, records = seconds + outcome.seconds, records + 1
                    else:
                        reason = reason or f"{outcome.reason}: {outcome.detail}"
                tally.embedded += bool(records)
                tally.rows += records
                tally.audio_s += seconds
                if not records:
                    tally.skipped.append((readable_name(entry.path), readable_name(reason)))
        return tally

    def _outcomes(self, entry: Entry, copies: Path) -> Iterator[Record | Skip]:
        at, item, _ = _item(entry)
        try:
            content = fetch(entry, self.plan.base, copies)
            if not is_copied(entry) and content.exists() and entry.stamp != str(content.stat().st_mtime_ns):
                raise AudioError(f"{entry.path}: changed since it was planned; prepare into another folder")
        except (AudioError, OSError) as error:
            yield Skip(at, 0, item.path, item.start_s or 0.0, 0.0, "unreadable", describe_error(error))
            return
        at, item, _ = _item(entry, str(content) if is_copied(entry) or self.plan.base != str(Path.cwd()) else "")
        try:
            for part in plan_item(at, item, self.config):
                yield from process_stretch(part, self.config) if isinstance(part, Stretch) else [part]
        finally:
            if is_copied(entry):
                content.unlink()

    @classmethod
    def gather(cls, folder: Folder, plan: Plan) -> dict[str, Any]:
        """Write the shards of all parts."""
        directory, config = Path(plan.job["out"]), PrepareConfig(**plan.job["config"])
        entries = [entry for part in range(plan.parts) for entry in plan.read_entries(folder, part)]
        found = sorted(((*_item(entry), entry) for entry in entries), key=lambda one: one[0])
        items = [item for _, item, _, _ in found]
        held_out = {item.group for _, item, is_held, _ in found if is_held}
        states = {entry.path: _state(entry) for entry in entries}
        prepared = Prepared(items, held_out, fingerprints(items, states.__getitem__), plan.not_sound, plan.sources)
        with locked(directory):
            return write_shards(prepared, directory, config, lambda: _Gathering(folder, plan))


def _state(entry: Entry) -> tuple[int, int | str] | None:
    """Return what `axlstm.data.prepare` takes for the state of a file, where it is one."""
    if not entry.stamp:
        return None
    return entry.size_bytes, entry.stamp if is_copied(entry) else int(entry.stamp)


class _Gathering:
    """Gives the records of parts, in the order of the plan: the items that are held out, and then the others."""

    def __init__(self, folder: Folder, plan: Plan) -> None:
        self.folder, self.plan = folder, plan

    def process(self, items: Sequence[tuple[int, Item]], position: int, number: int) -> Iterator[Record | Skip]:
        wanted = dict(items)
        for part in range(self.plan.parts):
            own = [entry for entry in self.plan.read_entries(self.folder, part) if _item(entry)[0] in wanted]
            faults = {at: item.fault for at, item, _ in map(_item, own) if item.fault}
            if any(_item(entry)[0] >= position for entry in own):
                outcomes = self._of_part(part, wanted, faults)
                yield from (one for one in outcomes if (one.position, one.number) >= (position, number))

    def _of_part(self, part: int, wanted: Mapping[int, Item], faults: dict[int, str]) -> Iterator[Record | Skip]:
        """Yield what became of a part's items, those that were left out by the search in their places."""
        with self.folder.at_hand([rows_name(part)]) as here:
            for outcome in read_records(here / rows_name(part)):
                if outcome.position not in wanted:
                    continue
                for at in [at for at in faults if at < outcome.position]:
                    yield _fault(at, wanted[at], faults.pop(at))
                yield outcome
        for at, reason in faults.items():
            yield _fault(at, wanted[at], reason)

    def close(self) -> None:
        """End nothing: files are closed behind each part."""


def _fault(at: int, item: Item, reason: str) -> Skip:
    return Skip(at, 0, item.path, item.start_s or 0.0, 0.0, "unreadable", reason)
