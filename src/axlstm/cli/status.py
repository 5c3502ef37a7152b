"""Tell how far an output of parts is: ``axlstm status``."""

from __future__ import annotations

from tyro.conf import Positional

_SHOWN = 5


def status(out: Positional[str], prometheus: bool = False) -> int:
    """Tell how far an output of parts is, also while others work on it.

    The exit status is 0 if it is complete, and 1 if not.

    Args:
        out: the output, or the folder of its parts; either can be a URL.
        prometheus: print the numbers as text that Prometheus reads, such as for its textfile collector.
    """
    from axlstm.errors import name_some
    from axlstm.files import readable_name
    from axlstm.parts.opening import find_planned
    from axlstm.parts.status import read_status, write_prometheus

    found = read_status(*find_planned(out))
    if prometheus:
        print(write_prometheus(found, readable_name(out)), end="")
        return 0 if found.is_complete else 1
    state = "complete" if found.is_complete else "not complete"
    print(f"{readable_name(out)}: {state}, {found.done} of {found.parts} parts")
    waiting = found.asked - found.embedded - found.skipped
    print(f"  {found.asked} recordings: {found.embedded} done, {found.skipped} skipped, {waiting} to come")
    speed = "" if found.hours_per_minute is None else f", {found.hours_per_minute:.2f} h a minute lately"
    cost = "" if found.hours_per_core_hour is None else f", {found.hours_per_core_hour:.0f} h for an hour of a core"
    print(f"  {found.audio_s / 3600:.2f} h of audio{speed}{cost}")
    if found.seconds_left:
        hours, minutes = int(found.seconds_left // 3600), int(found.seconds_left % 3600 // 60)
        print(f"  about {hours} h {minutes:02d} min to go")
    for title, counts in (("skipped", found.reasons), ("tries of parts that failed", found.failures)):
        if counts:
            print(f"  {title}: {name_some((f'{count} {reason}' for reason, count in counts.items()), '; ', _SHOWN)}")
    if found.retries:
        print(f"  {found.retries} requests of the store were tried again")
    return 0 if found.is_complete else 1
