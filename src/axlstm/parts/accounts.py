"""Account for a part: what was asked for, what became of each recording, and the digest of the file of rows."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from axlstm.bounds import MOST_LIST_BYTES, check_types, parse_object
from axlstm.parts.folders import EVENTS, Folder
from axlstm.parts.plan import Plan
from axlstm.seals import object_is_whole, seal_object


@dataclass(frozen=True)
class Account:
    """Account of the entries of a part: asked = embedded + skipped.

    Args:
        plan: the plan's id.
        rows: of the file, which can have several of a recording.
        audio_s: length of the recordings that were embedded, in seconds.
        skipped: path and reason of each.
        size_bytes, digest: of the file of rows.
    """

    plan: str
    part: int
    asked: int
    embedded: int
    rows: int
    audio_s: float
    skipped: tuple[tuple[str, str], ...]
    size_bytes: int
    digest: str


_NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?:e[+-]?\d+)?|(?<![\w.])\d+(?= (?:s|Hz|frames|samples|bytes)\b)")
_TYPES: dict[str, Any] = {
    **{"plan": str, "part": int, "asked": int, "embedded": int, "rows": int, "audio_s": (int, float)},
    **{"skipped": list, "size_bytes": int, "digest": str},
}


def rows_name(part: int) -> str:
    """Name the file of a part's rows."""
    return f"part-{part:06d}.parquet"


def account_name(part: int) -> str:
    """Name the account of a part."""
    return f"_parts/part-{part:06d}.json"


def write_account(folder: Folder, account: Account) -> None:
    """Write an account, which says that its part is done.

    Raises:
        WriteError: it cannot be written.
    """
    folder.write(account_name(account.part), json.dumps(seal_object(asdict(account))).encode())


def read_account(folder: Folder, plan: Plan, part: int) -> Account | None:
    """Read the account of a part; None if there is none of this plan that is whole."""
    try:
        values = parse_object(folder.read(account_name(part)), MOST_LIST_BYTES)
        if not object_is_whole(values) or values.get("plan") != plan.id or values.get("part") != part:
            return None
        check_types(values, _TYPES)
        skipped = tuple((str(path), str(reason)) for path, reason in values["skipped"])
        return Account(**{one.name: values[one.name] for one in fields(Account)} | {"skipped": skipped})
    except (FileNotFoundError, ValueError):
        return None


def find_done(folder: Folder, plan: Plan, part: int) -> Account | None:
    """Return the account of a part that is done: its file is there, and is as it was written."""
    account = read_account(folder, plan, part)
    try:
        is_same = account is not None and folder.digest(rows_name(part)) == (account.size_bytes, account.digest)
    except FileNotFoundError:
        return None
    return account if is_same else None


def note_event(folder: Folder, event: str, **about: Any) -> None:
    """Add a line to `EVENTS`: what happened, when, where, and more about it.

    Raises:
        StoreError, WriteError: it cannot be written.
    """
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    values = {"at": at, "event": event, "worker": _worker(), **about}
    folder.append(EVENTS, json.dumps(seal_object(values)).encode() + b"\n")


def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def read_events(folder: Folder) -> Iterator[Mapping[str, Any]]:
    """Yield the events of an output; lines that are not whole are passed over."""
    for line in folder.lines(EVENTS):
        try:
            values = parse_object(line)
        except ValueError:
            continue
        if object_is_whole(values):
            yield values


def count_reasons(skipped: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Count recordings by the reason that they are skipped for, the most common first, without what is of one alone.

    What was measured is left out, so that there are about as many reasons as kinds of faults: they become labels.
    """
    counts: dict[str, int] = {}
    for path, reason in skipped:
        kind = reason.removeprefix(f"{path}: ").partition(" (")[0].partition(";")[0]
        kind = _NUMBER.sub("...", kind)
        counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
