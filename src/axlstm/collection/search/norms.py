"""Keep the length of each standardised vector in the cache of a collection, so that a cosine takes one product."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import axlstm.vector_math
from axlstm.collection.folder import CACHE
from axlstm.collection.search.table import MappedPart, Statistics, WindowTable
from axlstm.errors import WriteError
from axlstm.files import write_atomically
from axlstm.seals import SEAL_BYTES, is_seal, seal_of
from axlstm.threads import on_all_cores

_CHUNK_ROWS = 1 << 14  # of a thread's task
_BLOCK_ROWS = 4096
_BLOCK_VALUES = 1 << 18  # of a block, which stays in a core's cache while it is computed with
_log = logging.getLogger(__name__)


def read_norms(folder: Path, table: WindowTable) -> list[NDArray[np.float32]]:
    """Return the norms of the standardised vectors ``(n,)`` of each run of the table.

    They are read from the cache if it fits parts and statistics, and otherwise computed and kept there.

    Args:
        folder: of the collection.
    """
    statistics, digest = table.statistics, table.statistics.digest
    used = {run.part.id: run.part for run in table.runs}
    names = {number: f"norms-{table.entry.id}-{part.id}-{part.crc32}-{digest}" for number, part in used.items()}
    norms = {number: _read(folder / CACHE / names[number], len(part.rows)) for number, part in used.items()}
    missing = [number for number, known in norms.items() if known is None]
    for number in missing:
        norms[number] = compute_norms(used[number], statistics)
    if missing:
        _keep(folder / CACHE, {names[number]: norms[number] for number in missing})
        _forget_others(folder / CACHE, f"norms-{table.entry.id}-", names.values())
    damaged = sum(int((~np.isfinite(known)).sum()) for known in norms.values() if known is not None)
    if damaged:
        _log.warning(
            "%d windows hold values that are no numbers, and are no hits; see axlstm collection verify", damaged
        )
    found = {number: known for number, known in norms.items() if known is not None}
    return [found[run.part.id][run.first : run.first + run.rows] for run in table.runs]


def compute_norms(part: MappedPart, statistics: Statistics) -> NDArray[np.float32]:
    """Compute the norms of the standardised vectors of all rows of a part, ``(n,)``."""
    mean = torch.from_numpy(statistics.mean.astype(np.float32))
    scale = torch.from_numpy((1 / statistics.deviation).astype(np.float32))
    norms = torch.empty(len(part.rows))

    def compute(begin: int) -> None:
        end = min(begin + _CHUNK_ROWS, len(norms))
        for block, place in blocks(part.vectors[begin:end]):
            torch.linalg.vector_norm(block.sub_(mean).mul_(scale), dim=1, out=norms[begin:end][place])

    on_all_cores(compute, range(0, len(norms), _CHUNK_ROWS))
    return norms.numpy()


def blocks(vectors: Tensor, index: Tensor | None = None) -> Iterator[tuple[Tensor, slice]]:
    """Give float16 vectors ``(n, D)`` as float32 in blocks that fit in a core's cache, with their place.

    Each block overwrites the one before.

    Args:
        index: which vectors to give ``(m,)``; all without one.
    """
    count, rows = len(vectors) if index is None else len(index), max(1, _BLOCK_VALUES // vectors.shape[1])
    buffer = torch.empty(min(rows, count), vectors.shape[1])
    for begin in range(0, count, rows):
        place = slice(begin, min(begin + rows, count))
        chosen = vectors[place] if index is None else torch.index_select(vectors, 0, index[place])
        yield buffer[: place.stop - begin].copy_(chosen), place


def unit_rows(table: WindowTable, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """Give rows of a table, standardised and of length 1, in blocks ``(b, D)``."""
    least = least_norm(table.entry.size)
    for begin in range(0, len(rows), _BLOCK_ROWS):
        standard = table.statistics.standardise(table.take_vectors(rows[begin : begin + _BLOCK_ROWS]))
        yield (standard / np.maximum(np.linalg.norm(standard, axis=1), least)[:, None]).astype(np.float32)


def least_norm(size: int) -> float:
    """Return the length below which a standardised vector of this size is the mean, and has no direction.

    The mean length is the square root of the size; a thousandth of it is less than rounding to float16 may add.
    """
    return 1e-3 * size**0.5


def _read(path: Path, rows: int) -> NDArray[np.float32] | None:
    """Read norms; None if they are not there, or not as they were written."""
    try:
        if path.stat().st_size != 4 * rows + SEAL_BYTES:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    numbers, seal = content[:-SEAL_BYTES], content[-SEAL_BYTES:]
    if not (is_seal(seal) and seal == seal_of(zlib.crc32(numbers))):
        return None
    return np.frombuffer(numbers, np.float32)


def _keep(folder: Path, norms: dict[str, NDArray[np.float32] | None]) -> None:
    try:
        folder.mkdir(exist_ok=True)
        for name, numbers in norms.items():
            assert numbers is not None
            content = numbers.tobytes()
            write_atomically(folder / name, content + seal_of(zlib.crc32(content)))
    except (OSError, WriteError) as error:
        _log.warning("%s: the cache of search cannot be written, and the next search computes it again", error)


def _forget_others(folder: Path, prefix: str, names: Iterable[str]) -> None:
    """Remove what was made from parts or statistics that are no more."""
    keep = set(names)
    try:
        for path in folder.glob(f"{prefix}*"):
            if path.name not in keep:
                path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s: an old file of the cache cannot be removed", error)
