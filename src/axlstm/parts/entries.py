"""Say what a part is to do: a line of JSON for each recording."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from axlstm.bounds import check_types, parse_object


@dataclass(frozen=True)
class Entry:
    """A recording that was listed, or something met in its place that is left out for a reason.

    Args:
        path: what rows and lists call it; a path as typed, or a URL.
        size_bytes: as listed; -1 if the listing does not say.
        stamp: what changes with its content: the time of its last change in ns, or what its store says.
        skip: why it is left out; empty if it is to be read.
        container: the tar, zip or parquet file that it lies in; its path is that and a name in it, and its stamp that
            of the container.
        at: where in the container: byte, number of the member, or row.
        there: whether what is made of it is there from before, so that no part does it; it is listed for its place in
            the order.
        about: what else the work is to know of it, as JSON.
    """

    path: str
    size_bytes: int = -1
    stamp: str = ""
    skip: str = ""
    container: str = ""
    at: int = 0
    there: bool = False
    about: str = ""

    def to_line(self) -> bytes:
        """Write the entry as a line; what is as by default is left out."""
        values: dict[str, Any] = {name: value for name, value in asdict(self).items() if value != _DEFAULTS.get(name)}
        return json.dumps(values, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Entry:
        """Read a line that `to_line` wrote.

        Raises:
            ValueError: another line.
        """
        values = {**_DEFAULTS, **parse_object(line)}
        check_types(values, _TYPES)
        return cls(**values)


def describe_file(file: Path) -> Entry:
    """Describe a file of this machine as it is now."""
    try:
        facts = file.stat()
    except OSError:
        return Entry(str(file))  # the part says what is wrong with it
    return Entry(str(file), facts.st_size, str(facts.st_mtime_ns))


_DEFAULTS = {one.name: one.default for one in fields(Entry) if one.name != "path"}
_TYPES: dict[str, type] = {one.name: type(_DEFAULTS.get(one.name, "")) for one in fields(Entry)}
