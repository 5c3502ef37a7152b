"""Plan what each part does, once, as two files: the entries in their order, and where each part begins in them."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from axlstm.bounds import MOST_LIST_BYTES, check_types, parse_object
from axlstm.errors import ConfigError, DamageError, name_differences
from axlstm.parts.entries import Entry
from axlstm.parts.folders import PLAN, Folder
from axlstm.remote import is_url
from axlstm.seals import object_is_whole, seal_object

ENTRIES = "_plan/entries.jsonl"
_FORMAT_VERSION = 1
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Limits:
    """Bounds of a part: it ends at so many files, or at so many megabytes of them, whichever comes first.

    A file that is larger than that is a part of its own.

    Raises:
        ConfigError: limits that no part can keep.
    """

    files: int
    megabytes: float

    def __post_init__(self) -> None:
        if self.files < 1:
            raise ConfigError(f"--part-files {self.files}: expected 1 or more")
        if not self.megabytes > 0:
            raise ConfigError(f"--part-mb {self.megabytes:g}: expected more than 0")

    def options(self) -> dict[str, float]:
        """Name the limits as the command line does."""
        return {"--part-files": self.files, "--part-mb": self.megabytes}


@dataclass(frozen=True)
class Plan:
    """The parts of an output.

    Args:
        job: what is done with the entries, as JSON; `axlstm.parts.run.Work` is made of it. ``command`` says which one
            it is, and ``out`` what is made of the parts, if they are not the output themselves.
        sources: what was listed, as typed.
        base: the folder that relative paths begin at.
        limits: where parts end.
        not_sound: entries of folders that are no sound, by suffix; they are counted and in no part.
        starts: where each part begins in the file of entries, in bytes, and where the last one ends.
        counts, checksums: entries of each part that are to be done, and the CRC-32 of its lines.
        size_bytes: of all entries whose size is known.
        id: digest of all of this; accounts of parts name it.
    """

    job: Mapping[str, Any]
    sources: tuple[str, ...]
    base: str
    limits: Limits
    not_sound: Mapping[str, int]
    starts: tuple[int, ...]
    counts: tuple[int, ...]
    checksums: tuple[int, ...]
    size_bytes: int
    id: str

    @property
    def parts(self) -> int:
        """Count the parts."""
        return len(self.counts)

    @property
    def entries(self) -> int:
        """Count the entries of all parts that are to be done."""
        return sum(self.counts)

    def read_entries(self, folder: Folder, part: int) -> list[Entry]:
        """Read what was listed for a part.

        Raises:
            DamageError: the file of entries is not as it was written.
        """
        content = folder.read(ENTRIES, self.starts[part], self.starts[part + 1])
        try:
            if zlib.crc32(content) != self.checksums[part]:
                raise ValueError("its checksum is another one")
            return [Entry.from_line(line) for line in content.splitlines()]
        except ValueError as error:
            raise DamageError(f"{folder.name}/{ENTRIES}: damaged ({error}); {_AGAIN}") from error

    def refuse_other(self, folder: Folder, job: Mapping[str, Any], sources: Iterable[str], limits: Limits) -> None:
        """Refuse to go on with another job, other sources or other limits than were planned.

        Raises:
            ConfigError: naming what differs.
        """
        told = [
            name_differences(self.job, job),
            name_differences(_places(self.base, self.sources), _places(str(Path.cwd()), sources)),
            name_differences(self.limits.options(), limits.options()),
        ]
        if any(told):
            raise ConfigError(
                f"{folder.name} was planned otherwise ({'; '.join(filter(None, told))}): choose another OUT. A plan is "
                "kept; to embed what has come since, give it to another OUT"
            )


def _places(base: str, sources: Iterable[str]) -> dict[str, list[str]]:
    return {"recordings": [source if is_url(source) else str(Path(base, source)) for source in sources]}


_AGAIN = "remove OUT/_plan, and run the same command again to plan anew"
_TYPES: dict[str, type] = {
    **{"job": dict, "sources": list, "base": str, "limits": dict, "not_sound": dict, "starts": list, "counts": list},
    **{"checksums": list, "size_bytes": int, "id": str},
}


def make_plan(
    folder: Folder,
    job: Mapping[str, Any],
    sources: Iterable[str],
    limits: Limits,
    listing: Iterable[Entry],
    not_sound: Mapping[str, int],
) -> Plan:
    """Write the plan of a listing, in memory that grows with its parts and not with its entries.

    The same listing gives the same bytes.

    Args:
        not_sound: read after the listing, which may count while it lists.

    Raises:
        WriteError: it cannot be written.
    """
    starts, counts, checksums, total = [0], [], [], 0
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with folder.publish(ENTRIES) as path, path.open("wb") as file:
        for entries in cut(listing, limits):
            lines = b"".join(entry.to_line() for entry in entries)
            file.write(lines)
            digest.update(lines)
            starts.append(starts[-1] + len(lines))
            counts.append(sum(not entry.there for entry in entries))
            checksums.append(zlib.crc32(lines))
            total += sum(max(0, entry.size_bytes) for entry in entries)
    described = (dict(job), tuple(sources), str(Path.cwd()), limits, dict(not_sound), tuple(starts), tuple(counts))
    digest.update(json.dumps([asdict(one) if isinstance(one, Limits) else one for one in described]).encode())
    plan = Plan(*described, tuple(checksums), total, digest.hexdigest())
    values = {"format_version": _FORMAT_VERSION, **asdict(plan)}
    folder.write(PLAN, json.dumps(seal_object(values)).encode())
    return plan


def cut(listing: Iterable[Entry], limits: Limits) -> Iterator[list[Entry]]:
    """Cut a listing into parts, which keep its order."""
    part: list[Entry] = []
    size = 0
    for entry in listing:
        own = max(0, entry.size_bytes)
        if part and (len(part) == limits.files or size + own > limits.megabytes * 1e6):
            yield part
            part, size = [], 0
        part.append(entry)
        size += own
    if part:
        yield part


def read_plan(folder: Folder) -> Plan | None:
    """Read the plan of an output; None if there is none yet.

    Raises:
        DamageError: it is not as it was written.
    """
    try:
        content = folder.read(PLAN)
    except FileNotFoundError:
        return None
    try:
        values = parse_object(content, MOST_LIST_BYTES)
        if not object_is_whole(values):
            raise ValueError("its checksum is another one")
        if values.get("format_version") != _FORMAT_VERSION:
            raise ValueError(f"format_version {values.get('format_version')!r}, expected {_FORMAT_VERSION}")
        check_types(values, _TYPES)
        kept = {one.name: values[one.name] for one in fields(Plan)}
        kept |= {name: tuple(value) for name, value in kept.items() if isinstance(value, list)}
        plan = Plan(**kept | {"limits": Limits(**values["limits"])})
        if not len(plan.starts) - 1 == len(plan.counts) == len(plan.checksums):
            raise ValueError("lists of different lengths")
    except (ValueError, TypeError) as error:
        raise DamageError(f"{folder.name}/{PLAN}: damaged ({error}); {_AGAIN}") from error
    return plan
