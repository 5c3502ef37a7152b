"""Ask an approximate index of a large collection for candidates, and keep it in the cache; it is one of faiss.

What the index proposes is compared exactly afterwards, so no score is ever wrong; a window that it does not propose is
missed. It fits as long as nearly all windows are of the parts that it was made from, and the statistics are nearly
those that it was made with. Windows of other parts are compared one by one.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import axlstm.vector_math
from axlstm.bounds import check_types, parse_object
from axlstm.collection.folder import CACHE
from axlstm.collection.search.table import Statistics, WindowTable
from axlstm.errors import WriteError
from axlstm.files import atomic_path, write_atomically
from axlstm.seals import crc_of_path, object_is_whole, seal_object

LEAST_WINDOWS = 500_000
"""Below this, comparing with every window is fast enough; see docs/collections.md."""

_PER_HIT = 10  # candidates for each hit that is asked for
_LEAST_CANDIDATES = 200
_MOST_OTHERS = 0.1  # of all windows: those in parts that the index does not have
_MOST_DRIFT = 0.05  # of the statistics, in deviations
_VERSION = 2
_log = logging.getLogger(__name__)


def is_installed() -> bool:
    """Tell whether faiss is there."""
    return find_spec("faiss") is not None


@dataclass(frozen=True)
class About:
    """The parts and statistics that an index was made from, and how many of its lists to look at."""

    parts: tuple[tuple[int, str, int], ...]  # id, checksum and rows, in the order of the index
    statistics: Statistics
    probes: int  # lists to look at; 0 if no number of them gave the recall that is wanted
    recall: float


class NearestIndex:
    """An index that is loaded.

    Args:
        index: of faiss.
        table: windows that it is asked about.
    """

    def __init__(self, index: Any, about: About, table: WindowTable) -> None:
        self._index, self.recall, self.probes = index, about.recall, about.probes
        begins = dict(zip([part[0] for part in about.parts], _begins(about), strict=True))
        self._rows = np.full(sum(part[2] for part in about.parts), -1, dtype=np.int64)  # of the table, for each entry
        self.others = np.zeros(len(table), dtype=bool)
        """Rows of the table that the index does not have ``(n,)``."""
        for run in table.runs:
            own = np.arange(run.begin, run.begin + run.rows)
            if run.part.id in begins:
                first = begins[run.part.id] + run.first
                self._rows[first : first + run.rows] = own
            else:
                self.others[own] = True
        self._used = self._rows >= 0

    def propose(
        self, directions: NDArray[np.float64], count: int, mask: NDArray[np.bool_] | None
    ) -> NDArray[np.int64] | None:
        """Propose rows of the table that are near directions ``(Q, D)``: up to ``count`` for each of them.

        The nearest are asked for without the mask, and more of them the more it leaves out. None if less than half of
        the share that it lets through of all is let through of these: then the nearest may be in lists far away.

        Args:
            mask: rows that may be proposed ``(n,)``.
        """
        import faiss

        allowed = self._used if mask is None else self._used & mask[np.maximum(self._rows, 0)]
        share = allowed.mean()
        wanted = count if share == 1 else min(len(allowed), round(2 * count / max(share, 1 / len(allowed))))
        # faiss spreads directions over threads, which for few of them only wait for each other.
        faiss.omp_set_num_threads(min(len(directions), torch.get_num_threads()))
        lists = faiss.SearchParametersIVF(nprobe=self.probes)
        parameters = faiss.SearchParametersPreTransform(index_params=lists)
        _, found = self._index.search(directions.astype(np.float32), wanted, params=parameters)  # (Q, wanted), or -1
        is_found = found >= 0
        passes = is_found & allowed[found]
        if (passes.sum(axis=1) < share / 2 * is_found.sum(axis=1)).any():
            return None
        passes &= np.cumsum(passes, axis=1) <= count
        return np.unique(self._rows[found[passes]])


def _begins(about: About) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([part[2] for part in about.parts])[:-1]]).astype(np.int64)


def candidates_for(count: int) -> int:
    """Return how many candidates to ask for, to have so many hits."""
    return max(_LEAST_CANDIDATES, _PER_HIT * count)


def load_index(folder: Path, table: WindowTable) -> NearestIndex | None:
    """Load the index of an encoder if it is whole and fits the windows; otherwise None.

    Args:
        folder: of the collection.
    """
    path = _path(folder, table)
    try:
        about = _read_about(path.with_suffix(".json"), path)
        _check_fits(about, table)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.info("%s is not used: %s", path, error)
        return None
    import faiss

    return NearestIndex(faiss.read_index(str(path)), about, table)


def _path(folder: Path, table: WindowTable) -> Path:
    return folder / CACHE / f"nearest-{table.entry.id}.faiss"


def _read_about(path: Path, index: Path) -> About:
    """Read the description of an index.

    Raises:
        ValueError: it, or the index, is not as it was written.
    """
    values = parse_object(path.read_bytes(), 1 << 26)
    if not object_is_whole(values):
        raise ValueError("its description is damaged")
    check_types(
        values, {"version": int, "parts": list, "mean": list, "deviation": list, "probes": int, "recall": float}
    )
    if values["version"] != _VERSION:
        raise ValueError("it is of another version")
    if values["index_crc32"] != crc_of_path(index):
        raise ValueError("its checksum is another one")
    parts = tuple((int(number), str(crc), int(rows)) for number, crc, rows in values["parts"])
    statistics = Statistics(np.array(values["mean"]), np.array(values["deviation"], dtype=np.float64))
    return About(parts, statistics, values["probes"], values["recall"])


def _check_fits(about: About, table: WindowTable) -> None:
    """Refuse an index of other windows or statistics, with a ``ValueError``."""
    known = {number: (crc, rows) for number, crc, rows in about.parts}
    others = 0
    for run in table.runs:
        if run.part.id not in known:
            others += run.rows
        elif known[run.part.id] != (run.part.crc32, len(run.part.rows)):
            raise ValueError(f"part {run.part.id} is another one")
    if others > _MOST_OTHERS * len(table):
        raise ValueError(f"it lacks {others} of {len(table)} windows")
    here, there = table.statistics, about.statistics
    if here.mean.shape != there.mean.shape:
        raise ValueError("it has vectors of another size")
    used = np.isfinite(here.deviation)
    if (used != np.isfinite(there.deviation)).any():
        raise ValueError("the statistics have changed")
    drift = np.abs(here.mean - there.mean)[used] / here.deviation[used]
    growth = np.abs(there.deviation[used] / here.deviation[used] - 1)
    if max(drift.max(initial=0), growth.max(initial=0)) > _MOST_DRIFT:
        raise ValueError("the statistics have changed")


def keep_index(folder: Path, table: WindowTable, index: Any, about: About) -> None:
    """Write the index of an encoder into the cache; where that fails, say so and go on."""
    import faiss

    path = _path(folder, table)
    try:
        path.parent.mkdir(exist_ok=True)
        with atomic_path(path) as temporary:
            faiss.write_index(index, str(temporary))
            crc = crc_of_path(temporary)  # not of what another process may have put in its place
        values = {
            "version": _VERSION,
            "parts": [list(part) for part in about.parts],
            "mean": about.statistics.mean.tolist(),
            "deviation": about.statistics.deviation.tolist(),
            "probes": about.probes,
            "recall": about.recall,
            "index_crc32": crc,
        }
        write_atomically(path.with_suffix(".json"), json.dumps(seal_object(values)).encode())
    except (OSError, RuntimeError, WriteError) as error:  # faiss raises the second
        _log.warning("%s: the index of search cannot be written, and the next search makes it again", error)
