"""Close an output: compare every part with its account, and sum up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from axlstm.parts.accounts import Account, count_reasons, find_done
from axlstm.parts.folders import Folder
from axlstm.parts.plan import Plan
from axlstm.seals import seal_object
from axlstm.threads import on_all_cores

SUMMARY = "_summary.json"
SKIPPED = "_skipped.jsonl"
_AT_A_TIME = 256  # parts whose accounts are in memory


@dataclass(frozen=True)
class Summary:
    """Account of all that was asked for: asked = embedded + skipped, if no part is missing.

    Args:
        not_sound: entries of folders by suffix, which are not among those asked for.
        reasons: how many were skipped for which reason.
        missing: parts that are not done.
    """

    plan: str
    parts: int
    asked: int
    embedded: int
    skipped: int
    rows: int
    audio_s: float
    size_bytes: int  # of the files of rows
    reasons: dict[str, int]
    not_sound: dict[str, int]
    missing: tuple[int, ...]


def find_parts(folder: Folder, plan: Plan) -> Iterator[tuple[int, Account | None]]:
    """Yield each part with its account if it is done. All files of rows are read for their digests."""
    for first in range(0, plan.parts, _AT_A_TIME):
        parts = range(first, min(first + _AT_A_TIME, plan.parts))
        yield from zip(parts, on_all_cores(lambda part: find_done(folder, plan, part), parts), strict=True)


def collect(folder: Folder, plan: Plan) -> Summary:
    """Write the list of skipped recordings and, if every part is done, the summary.

    Raises:
        WriteError: they cannot be written.
    """
    sums: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    missing: list[int] = []
    audio_s = 0.0
    with folder.publish(SKIPPED) as path, path.open("wb") as file:
        for part, account in find_parts(folder, plan):
            if account is None:
                missing.append(part)
                continue
            sums.update({name: getattr(account, name) for name in ("asked", "embedded", "rows", "size_bytes")})
            sums["skipped"] += len(account.skipped)
            audio_s += account.audio_s
            reasons.update(count_reasons(account.skipped))
            for name, reason in account.skipped:
                file.write(json.dumps({"path": name, "reason": reason}).encode() + b"\n")
    summary = Summary(
        plan=plan.id,
        parts=plan.parts,
        **{name: sums[name] for name in ("asked", "embedded", "skipped", "rows", "size_bytes")},
        audio_s=round(audio_s, 3),
        reasons=dict(reasons.most_common()),
        not_sound=dict(plan.not_sound),
        missing=tuple(missing),
    )
    if missing:
        folder.remove(SUMMARY)  # of before a part was lost
    else:
        folder.write(SUMMARY, json.dumps(seal_object(asdict(summary))).encode())
    return summary
