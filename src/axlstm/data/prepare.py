"""Turn raw audio of any kind into shards: parallel, resumable, bounded in memory."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from axlstm.data.config import STRETCH_SECONDS, PrepareConfig
from axlstm.data.index import FORMAT_VERSION, INDEX_NAME, read_index, write_index
from axlstm.data.journal import SKIPPED_NAME, Journal
from axlstm.data.manifest import Item, find_items, held_out_groups, mixed
from axlstm.data.records import DATA_SUFFIX
from axlstm.data.segments import Record, Skip, Stretch, plan_item, process_stretch
from axlstm.data.tar import ShardWriter
from axlstm.errors import DamageError, DataError
from axlstm.files import clear_dead_parts
from axlstm.locks import locked
from axlstm.threads import UNGUARDED, Processes, check_main_guard

logger = logging.getLogger(__name__)
_MOST_STRETCHES = 64  # in one task: many short files share the cost of handing them over


@dataclass(frozen=True)
class Progress:
    """Progress of a preparation since this call began."""

    items_done: int
    items: int
    audio_seconds: float
    records: int
    skipped: int
    elapsed_seconds: float

    @property
    def hours_per_minute(self) -> float:
        """Return the hours of audio kept for each minute of wall time."""
        return self.audio_seconds / 60 / max(self.elapsed_seconds, 1e-9)


def prepare(
    sources: Sequence[Path],
    directory: Path,
    config: PrepareConfig | None = None,
    *,
    processes: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Write shards of everything in ``sources`` into ``directory``; returns the content of its ``index.json``.

    After an interruption the same call goes on after the last complete shard, and gives the same bytes. Shards are
    compared with their checksums first; one that is damaged is made anew, and those after it. Nothing else is changed
    once the folder is complete.

    Args:
        sources: sound files, folders, and CSV or parquet manifests (path, and any of start, end, label, group).
        processes: workers; None takes all cores, 1 does everything in this process.
        on_progress: called after every record.

    Raises:
        AudioError: a source that does not exist, or no sound files.
        DataError: no readable audio, a folder begun with other settings or files, files that have changed since, a
            manifest that cannot be read.
        WriteError: the disk is full or fails.
        InUseError: another process prepares the same folder.
    """
    check_main_guard()
    config = config or PrepareConfig()
    items, not_sound = find_items(sources, config.grouping)
    items = mixed(items, config.seed)
    held_out = held_out_groups(items, config.held_out, config.seed)
    prepared = Prepared(items, held_out, fingerprints(items, lru_cache(_state)), not_sound, list(map(str, sources)))
    with locked(directory):
        return write_shards(
            prepared, directory, config, lambda: _Workers(processes or os.cpu_count() or 1, config), on_progress
        )


@dataclass(frozen=True)
class Prepared:
    """The source of the records of shards.

    Args:
        items: in their order.
        held_out: the groups of validation.
        fingerprints: see `fingerprints`.
        not_sound: see `axlstm.audio.find.Found`.
        sources: as typed, for messages.
    """

    items: Sequence[Item]
    held_out: set[str]
    fingerprints: Mapping[str, str]
    not_sound: Mapping[str, int]
    sources: Sequence[str]

    def of_split(self, split: str) -> list[tuple[int, Item]]:
        """List the items of a split, with their places in the order of all."""
        is_held = split == "valid"
        return [(at, item) for at, item in enumerate(self.items) if (item.group in self.held_out) == is_held]


class Outcomes(Protocol):
    """Gives what becomes of items: by reading them, or out of parts."""

    def process(self, items: Sequence[tuple[int, Item]], position: int, number: int) -> Iterator[Record | Skip]:
        """Yield what becomes of the items in their order, from record ``number`` of the item at ``position`` on.

        A few records before it may come too.
        """

    def close(self) -> None:
        """End what is behind it."""


def write_shards(
    prepared: Prepared,
    directory: Path,
    config: PrepareConfig,
    open_outcomes: Callable[[], Outcomes],
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Write the shards of what is prepared, in a folder that this process holds; errors as `prepare`.

    Returns:
        the content of ``index.json``.
    """
    items = prepared.items
    journal = Journal.open(directory, config, prepared.fingerprints, prepared.not_sound)
    index_path = directory / INDEX_NAME
    if index_path.exists() and len(journal.finished) == 2:
        try:
            return read_index(directory)
        except DamageError as error:
            logger.warning("%s: it is made anew", error)
    index_path.unlink(missing_ok=True)
    clear_dead_parts(directory)
    _warn_of_share(items, prepared.held_out, config.held_out)
    report = _Reporter(len(items), on_progress)
    with closing(open_outcomes()) as outcomes:
        for split in ("valid", "train"):
            if split not in journal.finished:
                _write_split(split, prepared.of_split(split), journal, config, outcomes, report)
    index = _index(config, journal)
    if index["splits"]["train"]["records"] == 0:
        reasons = ", ".join(f"{count} {reason}" for reason, count in journal.skipped.most_common())
        raise DataError(
            f"no readable audio for training in {', '.join(prepared.sources)}: of {len(items)} items all that was "
            f"not held out was dropped ({reasons or 'nothing skipped'}); reasons in {directory / SKIPPED_NAME}"
        )
    return write_index(directory, index)


def _warn_of_share(items: Sequence[Item], groups: set[str], share: float) -> None:
    """Warn where whole groups hold out a much larger or smaller part of the items than was asked for."""
    held, wanted = sum(item.group in groups for item in items), share * len(items)
    if abs(held - wanted) > max(1.0, 0.5 * wanted):
        logger.warning(
            "held out %d of %d items (%.0f %%), where %g %% were asked for: groups are held out whole, and these are "
            "large. Smaller groups come nearer: --grouping file, or the column group of a manifest",
            *(held, len(items), 100 * held / len(items), 100 * share),
        )


def fingerprints(items: Iterable[Item], state_of: Callable[[str], object]) -> dict[str, str]:
    """Digest the items as they are named, and the files as they are.

    Args:
        state_of: gives of a path what changes with its content.
    """
    names, states = hashlib.sha256(), hashlib.sha256()
    for item in items:
        names.update(repr((item.path, item.group, item.start_s, item.end_s, item.label)).encode())
        states.update(repr(state_of(item.path)).encode())
    return {"sources": names.hexdigest(), "states": states.hexdigest()}


def _state(path: str) -> tuple[int, int] | None:
    """Read the size of a file and the time of its last change; None if it cannot be reached."""
    try:
        facts = Path(path).stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def _index(config: PrepareConfig, journal: Journal) -> dict[str, Any]:
    from axlstm.audio.frontend import FrontendConfig

    return {
        "format_version": FORMAT_VERSION,
        "content": config.content,
        "settings": config.to_dict(),
        "frontend": FrontendConfig().to_dict(),
        "splits": {
            split: {
                "records": sum(shard["records"] for shard in shards),
                "hours": round(sum(shard["seconds"] for shard in shards) / 3600, 4),
                "shards": shards,
            }
            for split, shards in journal.shards.items()
        },
        "skipped": dict(journal.skipped),
        "not_sound": dict(journal.not_sound),
    }


def _write_split(
    split: str,
    items: Sequence[tuple[int, Item]],
    journal: Journal,
    config: PrepareConfig,
    outcomes: Outcomes,
    report: _Reporter,
) -> None:
    position, number = journal.next_record[split]
    report.items_done += sum(at < position for at, _ in items)
    shard = _OpenShard(split, config, journal)
    try:
        for outcome in outcomes.process(items, position, number):
            if (outcome.position, outcome.number) < (position, number):
                continue
            if isinstance(outcome, Record) and outcome.digest in journal.seen:
                outcome = _as_duplicate(outcome)
            if isinstance(outcome, Record):
                journal.seen.add(outcome.digest)
                shard.add(outcome)
            else:
                shard.skips.append(outcome)
            report.note(outcome)
        shard.close(finished=True)
    except BaseException:
        shard.abandon()
        raise


def _as_duplicate(record: Record) -> Skip:
    facts = json.loads(record.facts)
    detail = "the same samples are in an earlier record"
    return Skip(record.position, record.number, facts["source"], facts["start_s"], record.seconds, "duplicate", detail)


def _plan(
    items: Sequence[tuple[int, Item]], config: PrepareConfig, position: int, number: int
) -> Iterator[list[Stretch | Skip]]:
    """Plan tasks of at most `STRETCH_SECONDS` of audio each, from record ``number`` of the item at ``position`` on."""
    task: list[Stretch | Skip] = []
    seconds = 0.0
    for at, item in items:
        if at < position:
            continue
        for part in plan_item(at, item, config, number if at == position else 0):
            length = (part.end - part.begin) / part.rate_hz if isinstance(part, Stretch) else 0.0
            if task and (seconds + length > STRETCH_SECONDS or len(task) == _MOST_STRETCHES):
                yield task
                task, seconds = [], 0.0
            task.append(part)
            seconds += length
    if task:
        yield task


class _OpenShard:
    """The shard being written, begun with its first record and closed when it is full."""

    def __init__(self, split: str, config: PrepareConfig, journal: Journal) -> None:
        self._split, self._config, self._journal = split, config, journal
        self._writer: ShardWriter | None = None
        self._seconds = 0.0
        self._digests: list[int] = []
        self._next = journal.next_record[split]
        self.skips: list[Skip] = []

    def add(self, record: Record) -> None:
        if self._writer is None:
            count = len(self._journal.shards[self._split])
            self._writer = ShardWriter(self._journal.directory / f"{self._split}-{count:06d}.tar")
        self._writer.add(record.key, DATA_SUFFIX[self._config.content], record.data, record.facts)
        self._seconds += record.seconds
        self._digests.append(record.digest)
        self._next = (record.position, record.number + 1)
        if self._writer.records == self._config.shard_records:
            self.close(finished=False)

    def close(self, finished: bool) -> None:
        entry = None
        if self._writer is not None:
            writer, self._writer = self._writer, None
            entry = {
                "name": writer.path.name,
                "records": writer.records,
                "seconds": round(self._seconds, 3),
                "sha256": writer.close(),
                "bytes": writer.size,
            }
        self._journal.note(self._split, entry, self._next, self._digests, self.skips, finished)
        self._seconds, self._digests, self.skips = 0.0, [], []

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.abandon()


class _Workers:
    """Processes that turn tasks into records, a bounded number ahead; results come in the order of the tasks."""

    def __init__(self, processes: int, config: PrepareConfig) -> None:
        self._config = config
        self._ahead = 2 * processes
        self._processes = Processes(processes, _start_worker) if processes > 1 else None

    def close(self) -> None:
        if self._processes is not None:
            self._processes.pool.shutdown(cancel_futures=True)

    def process(self, items: Sequence[tuple[int, Item]], position: int, number: int) -> Iterator[Record | Skip]:
        tasks = _plan(items, self._config, position, number)
        if self._processes is None:
            for task in tasks:
                yield from _process(task, self._config)
            return
        pending: deque[Future[list[Record | Skip]]] = deque()
        try:
            for task in tasks:
                pending.append(self._processes.submit(_process, task, self._config))
                if len(pending) > self._ahead:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BrokenProcessPool as error:
            if self._processes.failed_to_start:
                raise DataError(f"no worker process could start: {UNGUARDED}, or use processes=1") from error
            raise DataError(
                "a worker process was killed, perhaps for want of memory: use fewer processes and run the same "
                "command again to go on after the last complete shard"
            ) from error


def _start_worker() -> None:
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers in order


def _process(task: Sequence[Stretch | Skip], config: PrepareConfig) -> list[Record | Skip]:
    out: list[Record | Skip] = []
    for part in task:
        out.extend([part] if isinstance(part, Skip) else process_stretch(part, config))
    return out


class _Reporter:
    def __init__(self, items: int, on_progress: Callable[[Progress], None] | None) -> None:
        self.items_done = 0
        self._items, self._on_progress = items, on_progress
        self._started = time.monotonic()
        self._seconds, self._records, self._skipped = 0.0, 0, 0
        self._last = -1

    def note(self, outcome: Record | Skip) -> None:
        self.items_done += outcome.position != self._last
        self._last = outcome.position
        if isinstance(outcome, Record):
            self._seconds += outcome.seconds
            self._records += 1
        else:
            self._skipped += 1
        if self._on_progress:
            counts = (self.items_done, self._items, self._seconds, self._records, self._skipped)
            self._on_progress(Progress(*counts, time.monotonic() - self._started))
