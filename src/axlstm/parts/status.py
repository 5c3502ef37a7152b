"""Tell how far an output is: parts and recordings, speed, time left, failures by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from axlstm.parts.accounts import count_reasons, read_account, read_events
from axlstm.parts.collect import SUMMARY
from axlstm.parts.folders import Folder
from axlstm.parts.plan import Plan

_RECENT = 64  # parts that the speed is measured over


@dataclass(frozen=True)
class Status:
    """Progress of an output.

    Args:
        parts, done: how many there are, and how many have an account.
        asked: recordings of all parts; ``embedded`` and ``skipped`` of those that are done.
        reasons: how many were skipped for which reason.
        hours_per_minute: of audio, over the latest parts; None if too few events tell.
        hours_per_core_hour: of audio, over all parts, by the processor's time; None if no events tell.
        seconds_left: at that speed, if what is to come is as long as what is done; None if it is not known.
        failures: tries of parts that failed, by reason, of parts that are not done.
        retries: requests of stores that were tried again.
        is_complete: whether all parts were done, and compared with their accounts, when the output was last collected.
    """

    parts: int
    done: int
    asked: int
    embedded: int
    skipped: int
    audio_s: float
    reasons: Mapping[str, int]
    hours_per_minute: float | None
    hours_per_core_hour: float | None
    seconds_left: float | None
    failures: Mapping[str, int]
    retries: int
    is_complete: bool


def read_status(folder: Folder, plan: Plan) -> Status:
    """Read how far an output is from its accounts and events, without its rows."""
    sums: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    audio_s = 0.0
    done: set[int] = set()
    for part in range(plan.parts):
        account = read_account(folder, plan, part)
        if account is not None:
            done.add(part)
            sums.update(embedded=account.embedded, skipped=len(account.skipped), asked=account.asked)
            audio_s += account.audio_s
            reasons.update(count_reasons(account.skipped))
    events = list(read_events(folder))
    speed = _speed(events)
    left = plan.entries - sums["asked"]
    seconds_left = None
    if speed is not None and audio_s > 0 and speed > 0:
        seconds_left = audio_s / sums["asked"] * left / 60 / speed if left else 0.0
    failed = [("", str(event.get("reason"))) for event in events if _is_failure(event) and event["part"] not in done]
    return Status(
        parts=plan.parts,
        done=len(done),
        asked=plan.entries,
        embedded=sums["embedded"],
        skipped=sums["skipped"],
        audio_s=audio_s,
        reasons=dict(reasons.most_common()),
        hours_per_minute=speed,
        hours_per_core_hour=_cost(events),
        seconds_left=seconds_left,
        failures=count_reasons(failed),
        retries=sum(event.get("retries", 0) for event in events),
        is_complete=len(done) == plan.parts and SUMMARY in folder.names(""),
    )


_TOLD = {
    "parts": ("parts", "gauge", "Parts that there are."),
    "done": ("parts_done", "gauge", "Parts with an account."),
    "asked": ("recordings", "gauge", "Recordings that were planned."),
    "embedded": ("recordings_done", "gauge", "Recordings of parts that are done, without skipped ones."),
    "audio_s": ("audio_seconds", "gauge", "Sound of parts that are done."),
    "hours_per_minute": ("audio_hours_per_minute", "gauge", "Sound a minute, over the latest parts."),
    "hours_per_core_hour": ("audio_hours_per_core_hour", "gauge", "Sound for an hour of a core, over all parts."),
    "seconds_left": ("seconds_left", "gauge", "Time to the end at the present speed."),
    "retries": ("store_retries_total", "counter", "Requests of stores that were tried again."),
    "is_complete": ("complete", "gauge", "Whether all parts were done when the output was last collected."),
}
_BY_REASON = {
    "reasons": ("recordings_skipped", "gauge", "Recordings that were skipped, by reason."),
    "failures": ("part_failures", "gauge", "Failed tries of parts that are not done, by reason."),
}


def write_prometheus(status: Status, output: str) -> str:
    """Write a status in the text format of Prometheus; what is not known is left out.

    Args:
        output: its name, which becomes a label.
    """
    lines: list[str] = []

    def add(name: str, kind: str, about: str, values: Mapping[str, float]) -> None:
        lines.extend([f"# HELP axlstm_{name} {about}", f"# TYPE axlstm_{name} {kind}"])
        lines.extend(f"axlstm_{name}{{{labels}}} {value:.10g}" for labels, value in values.items())

    own = f'output="{_escape(output)}"'
    for field, described in _TOLD.items():
        if (value := getattr(status, field)) is not None:
            add(*described, {own: float(value)})
    for field, described in _BY_REASON.items():
        counts: Mapping[str, int] = getattr(status, field)
        if counts:
            add(*described, {f'{own},reason="{_escape(reason)}"': count for reason, count in counts.items()})
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """Write text as the value of a label."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _is_failure(event: Mapping[str, Any]) -> bool:
    return event.get("event") == "failed"


def _cost(events: Iterable[Mapping[str, Any]]) -> float | None:
    done = [event for event in events if event.get("event") == "done"]
    cpu_s = sum(event["cpu_s"] for event in done)
    return float(sum(event["audio_s"] for event in done) / cpu_s) if cpu_s > 0 else None


def _speed(events: Iterable[Mapping[str, Any]]) -> float | None:
    """Return hours of audio a minute over the latest parts that were done; None if their times do not tell."""
    done = [event for event in events if event.get("event") == "done"][-_RECENT:]
    ends = [datetime.fromisoformat(event["at"]).timestamp() for event in done]
    begins = [end - event["seconds"] for end, event in zip(ends, done, strict=True)]
    if not done or max(ends) <= min(begins):  # a clock that was set back
        return None
    return float(sum(event["audio_s"] for event in done) / 60 / (max(ends) - min(begins)))
