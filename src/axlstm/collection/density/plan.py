"""Note which windows were drawn to be judged, and from which bins: a sealed file that an estimate begins with."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from axlstm.bounds import MOST_LIST_BYTES, check_types, parse_object
from axlstm.collection.folder import now
from axlstm.errors import DamageError, DataError
from axlstm.files import write_atomically
from axlstm.seals import object_is_whole, seal_object

PLAN = "plan.json"
_FORMAT, _VERSION = "axlstm density", 1


class DrawnWindow(NamedTuple):
    """A window that was drawn: its recording by path and digest, its bounds, and its bin."""

    path: str
    digest: str
    start_s: float
    end_s: float
    bin: int


@dataclass(frozen=True)
class Plan:
    """The windows that were drawn to be judged, and how they were drawn.

    Args:
        label: that is to be judged.
        classifier: fingerprint of the one whose scores the bins are of.
        edges: scores at which bins after the first begin.
        windows: in the order in which they were drawn.
        known: the first characters of the digests of all recordings that they were drawn from, in order.
    """

    label: str
    classifier: str
    seed: int
    edges: tuple[float, ...]
    windows: tuple[DrawnWindow, ...]
    known: tuple[str, ...]


def shorten(digest: str) -> str:
    """Return as much of a recording's digest as a plan notes."""
    return digest[:12]


def write_plan(folder: Path, plan: Plan) -> None:
    """Write a plan into a folder.

    Raises:
        WriteError: the disk is full or fails.
    """
    about = {"format": _FORMAT, "version": _VERSION, "created_at": now(), **asdict(plan)}
    about["windows"] = [list(window) for window in plan.windows]
    write_atomically(folder / PLAN, json.dumps(seal_object(about)).encode())


def read_plan(folder: Path) -> Plan:
    """Read a plan.

    Raises:
        DataError: there is none, or one of a newer version of this package.
        DamageError: it is damaged, or says what no plan can.
    """
    path = folder / PLAN
    try:
        about = parse_object(path.read_bytes(), MOST_LIST_BYTES)
        check_types(about, {"format": str, "version": int})
        if about["format"] != _FORMAT or not object_is_whole(about):
            raise ValueError("another file, or its checksum does not fit")
        if about["version"] > _VERSION:
            raise DataError(f"{path}: of version {about['version']}: install a newer axlstm")
        return _parse(about)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{path} is not there; axlstm density sample makes such a folder") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except DataError:
        raise
    except ValueError as error:
        raise DamageError(f"{path}: damaged ({error}); put back a copy, or draw windows anew") from error


def _parse(about: dict[str, Any]) -> Plan:
    check_types(about, {"label": str, "classifier": str, "seed": int, "edges": list, "windows": list, "known": list})
    edges = about["edges"]
    if not all(type(edge) is float and math.isfinite(edge) for edge in edges) or edges != sorted(set(edges)):
        raise ValueError("edges of bins that are none")
    windows = tuple(_parse_window(values, len(edges)) for values in about["windows"])
    if not windows:
        raise ValueError("no windows")
    if not all(type(digest) is str for digest in about["known"]):
        raise ValueError("digests that are none")
    return Plan(about["label"], about["classifier"], about["seed"], tuple(edges), windows, tuple(about["known"]))


def _parse_window(values: Any, last_bin: int) -> DrawnWindow:
    if not isinstance(values, list) or list(map(type, values)) != [str, str, float, float, int]:
        raise ValueError("a window that is none")
    window = DrawnWindow(*values)
    if not (0 <= window.start_s < window.end_s < math.inf and 0 <= window.bin <= last_bin):
        raise ValueError("a window that is none")
    return window
