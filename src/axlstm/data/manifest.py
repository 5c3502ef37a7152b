"""Turn folders, files and manifests into one list of items, and choose the groups to hold out."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axlstm.audio.find import find_audio
from axlstm.bounds import MOST_PARQUET, check_parquet
from axlstm.errors import AudioError, DataError, first_line, name_some
from axlstm.options import Grouping

MANIFEST_SUFFIXES = (".csv", ".parquet")
_COLUMNS = ("path", "start", "end", "label", "group")


@dataclass(frozen=True, slots=True)
class Item:
    """A sound file, or the part of one between two times in seconds (None: its beginning, its end).

    ``fault`` is the reason for which the search skipped it, if it did; ``copy`` is a copy of it on this machine, if it
    has to be read from one.
    """

    path: str
    group: str
    start_s: float | None = None
    end_s: float | None = None
    label: str | None = None
    fault: str = ""
    copy: str = ""

    @property
    def place(self) -> str:
        """Return the path to read."""
        return self.copy or self.path


def find_items(sources: Sequence[Path], grouping: Grouping) -> tuple[list[Item], Mapping[str, int]]:
    """List the items of files, folders (searched with all below them) and CSV or parquet manifests.

    Also counts the entries of folders that are not sound, see `axlstm.audio.find.Found`.

    Args:
        grouping: the group of an item that no manifest gives one: its file, or the folder it lies in.

    Raises:
        AudioError: as `axlstm.audio.find.find_audio`, or all that was found is skipped.
        DataError: a manifest without a column ``path`` or any row, with unknown columns or impossible times, or that
            is not UTF-8.
    """
    items: list[Item] = []
    plain = []
    for source in sources:
        if source.suffix.lower() in MANIFEST_SUFFIXES and source.is_file():
            listed = list(_read_manifest(source, grouping))
            if not listed:
                raise DataError(f"{source}: no rows; expected one for each sound, or part of one, to prepare")
            items.extend(listed)
        else:
            plain.append(source)
    if not plain and sources:
        return items, {}
    found = find_audio(plain)
    items.extend(Item(str(path), group_of(path, grouping)) for path in found.files)
    items.extend(Item(str(path), group_of(path, grouping), fault=reason) for path, reason in found.skipped)
    if all(item.fault for item in items):
        faults = name_some((f"{item.path}: {item.fault}" for item in items), "; ", 3)
        raise AudioError(f"{', '.join(map(str, plain))}: no sound that can be read: {faults}")
    return items, found.not_sound


def group_of(path: Path, grouping: Grouping) -> str:
    """Return the group of an item that no manifest gives one."""
    return str(path if grouping == "file" else path.parent)


def _read_manifest(source: Path, grouping: Grouping) -> Iterator[Item]:
    for number, row in enumerate(_rows(source), start=1):
        where = f"{source}, row {number}"
        if not row.get("path") or "\0" in str(row["path"]):
            raise DataError(f"{where}: no path")
        path = source.parent / os.fsdecode(_name_bytes(str(row["path"])))  # whatever the locale
        start_s, end_s = (_seconds(row.get(name), f"{where}: {name}") for name in ("start", "end"))
        if end_s is not None and end_s <= (start_s or 0.0):
            raise DataError(f"{where}: ends at {end_s} s, not after its start at {start_s or 0} s")
        label, group = (None if row.get(name) in (None, "") else str(row[name]) for name in ("label", "group"))
        yield Item(str(path), group or group_of(path, grouping), start_s, end_s, label)


def _rows(source: Path) -> Iterator[Mapping[str, Any]]:
    if source.suffix.lower() == ".parquet":
        yield from _parquet_rows(source)
        return
    with source.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        try:
            _check_columns(source, reader.fieldnames or ())
            yield from reader
        except UnicodeDecodeError as error:
            raise DataError(f"{source}: not UTF-8 ({error}); expected that: save the table again as UTF-8") from error
        except csv.Error as error:
            raise DataError(f"{source}: not a CSV table that can be read ({error})") from error


def _parquet_rows(source: Path) -> Iterator[Mapping[str, Any]]:
    from pyarrow import ArrowException, OSFile, parquet

    try:
        file = parquet.ParquetFile(OSFile(os.fsencode(source)), **MOST_PARQUET)
        check_parquet(file.metadata, source.stat().st_size)
    except (ArrowException, OSError, ValueError) as error:  # pyarrow's own are all of these
        raise DataError(f"{source}: not a parquet file that can be read ({first_line(error)})") from error
    _check_columns(source, file.schema_arrow.names)
    try:
        for batch in file.iter_batches():
            yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise DataError(f"{source}: damaged ({first_line(error)})") from error


def _check_columns(source: Path, names: Iterable[str]) -> None:
    given = list(names)
    unknown = [name for name in given if name not in _COLUMNS]
    if "path" not in given or unknown:
        raise DataError(
            f"{source}: columns {', '.join(map(str, given)) or '(none)'}; expected path, and any of "
            f"{', '.join(_COLUMNS[1:])} (start and end in seconds)"
        )


def _seconds(value: Any, where: str) -> float | None:
    if value in (None, ""):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise DataError(f"{where} is {value!r}: expected seconds, zero or above")
    return seconds


def mixed(items: Sequence[Item], seed: int) -> list[Item]:
    """Order the items by a hash of their names and the seed, so that every shard holds a mixture."""

    def position(item: Item) -> bytes:
        name = _name_bytes(f"{seed}\0{item.path}\0{item.start_s}\0{item.end_s}")
        return hashlib.blake2b(name, digest_size=16).digest()

    return sorted(items, key=position)


def _name_bytes(text: str) -> bytes:
    """Encode text with file names in it, which need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def held_out_groups(items: Sequence[Item], share: float, seed: int) -> set[str]:
    """Choose groups for validation: about ``share`` of the items, at least one group, never all of them.

    Groups are tried in an order that depends on the seed. A group that would make the part more than 1.5 times as
    large as wanted is skipped, unless all are that large: then the smallest one is chosen.

    Raises:
        DataError: something is to be held out, but everything is one group.
    """
    if share == 0:
        return set()
    sizes = Counter(item.group for item in items)
    if len(sizes) < 2:
        raise DataError(
            f"all {len(items)} items are of one group ({next(iter(sizes), 'none')}): nothing can be held out by group. "
            "Group by file, name groups in a manifest, or hold out a share of 0"
        )
    wanted = share * len(items)
    order = sorted(sizes, key=lambda group: hashlib.blake2b(_name_bytes(f"{seed}\0{group}")).digest())
    chosen: set[str] = set()
    held = 0
    for group in order:
        if len(chosen) == len(sizes) - 1:
            break
        if held < wanted and held + sizes[group] <= max(1.0, 1.5 * wanted):
            chosen.add(group)
            held += sizes[group]
    return chosen or {min(order, key=lambda group: sizes[group])}
