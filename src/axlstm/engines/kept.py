"""Keep compiled graphs on the disk, so that the next start neither compiles nor checks again. This loads no torch.

A file is known by a key: of the weights and the options that the graph depends on, of OpenVINO's version and of the
processor. Files are complete or absent, and end with a checksum. Several processes may read and write at once. What
cannot be read or written is done without: the graph is compiled again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import sys
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.bounds import check_types, parse_object
from axlstm.errors import AxlstmError, first_line
from axlstm.files import write_atomically
from axlstm.options import LayoutName, Precision
from axlstm.seals import SEAL_BYTES, is_seal, seal_of

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "AXLSTM_CACHE"
"""The environment variable that names another folder; if it is empty, nothing is kept."""

_FORMAT = 6  # counts up with every change of the graph or of the file
_MARK = b"axlstm compiled graph\n"
_SUFFIX = ".graph"
_MOST_FILES, _MOST_BYTES = 32, 2_000_000_000
_MOST_HEAD_BYTES = 100_000
_ALIGNMENT = 64  # bytes, of the graph in its file


@dataclass(frozen=True)
class KeptGraph:
    """A compiled graph, the filters of its front end, and how it did when it was checked.

    content: as `axlstm.engines.openvino.content_of` gives it.
    filters: of the mel bands, ``(bins, bands)``.
    difference: largest difference of its frame embeddings from those of torch, or in bfloat16 the lowest cosine
        subtracted from 1.
    """

    content: NDArray[np.uint8]
    filters: NDArray[np.float32]
    difference: float


def graph_key(weights: str, layout: LayoutName, layers: Sequence[int] | None, precision: Precision) -> str:
    """Return the key of a graph, 32 hex digits.

    Args:
        weights: the fingerprint of weights and configuration.
    """
    parts = [_FORMAT, weights, layout, layers and list(layers), precision, version("openvino"), _processor()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """Describe the processor by its model and by what it can compute with."""
    told = ("vendor_id", "model name", "flags", "Features", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    return "/".join([platform.machine(), platform.processor(), *(line for line in lines if line.startswith(told))])


def cache_folder() -> Path | None:
    """Return the folder of compiled graphs; None if the user wants none, or has no home."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen is not None:
        return Path(chosen).expanduser() if chosen else None
    try:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
        elif sys.platform == "darwin":
            base = Path.home() / "Library/Caches"
        else:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user that the system does not know
        return None
    return Path(base, "axlstm")


def drop_graph(key: str) -> None:
    """Remove a graph that does not work, if it can be removed."""
    folder = cache_folder()
    if folder is not None:
        with suppress(OSError):
            (folder / f"{key}{_SUFFIX}").unlink()


def load_graph(key: str) -> KeptGraph | None:
    """Load a graph; None if it is not there, is damaged (it is removed then) or cannot be read."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / f"{key}{_SUFFIX}"
    try:
        if not path.stat().st_size:
            raise ValueError("empty")
        kept = _parse(np.memmap(path, dtype=np.uint8, mode="c"))  # read as it is needed, and shared with others
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.info("%s: %s; the model is compiled again", path, first_line(error))
        with suppress(OSError):
            path.unlink()
        return None
    with suppress(OSError):
        os.utime(path)  # the oldest are removed first
    return kept


def keep_graph(key: str, kept: KeptGraph) -> None:
    """Keep a graph for other processes. Where that fails, one line says why, and nothing else happens."""
    folder = cache_folder()
    if folder is None:
        return
    head = json.dumps({"filters": kept.filters.shape, "difference": kept.difference}).encode()
    head += b" " * (-(len(_MARK) + 4 + len(head) + kept.filters.size * 4) % _ALIGNMENT)
    parts = [_MARK, len(head).to_bytes(4, "little"), head, kept.filters.astype("<f4").tobytes(), kept.content.tobytes()]
    content = b"".join(parts)
    content += seal_of(zlib.crc32(content))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{key}{_SUFFIX}", content)
        _remove_oldest(folder)
    except (OSError, AxlstmError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__  # whose remedy is no remedy here
        reason = getattr(cause, "strerror", None) or first_line(error)
        logger.warning(
            "%s: the compiled model cannot be kept there (%s), so every start compiles and checks it again; "
            "%s names another folder",
            folder,
            reason,
            FOLDER_VARIABLE,
        )


def _parse(content: NDArray[np.uint8]) -> KeptGraph:
    """Take a file apart.

    Raises:
        ValueError: it is damaged.
    """
    seal, inside = content[-SEAL_BYTES:].tobytes(), content[:-SEAL_BYTES]
    begin = len(_MARK) + 4
    if not is_seal(seal) or seal != seal_of(zlib.crc32(inside.data)) or inside[: len(_MARK)].tobytes() != _MARK:
        raise ValueError("damaged")
    end = begin + int.from_bytes(inside[len(_MARK) : begin].tobytes(), "little")
    if end - begin > _MOST_HEAD_BYTES:
        raise ValueError("damaged")
    head = parse_object(inside[begin:end].tobytes())
    check_types(head, {"filters": list, "difference": (int, float)})
    bins, bands = head["filters"]
    behind = end + 4 * bins * bands
    filters = np.frombuffer(inside[end:behind].tobytes(), dtype="<f4").reshape(bins, bands)
    return KeptGraph(inside[behind:], filters.astype(np.float32), float(head["difference"]))


def _remove_oldest(folder: Path) -> None:
    """Remove the files that were used longest ago, until few enough are left."""
    files = []
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(OSError):  # another process may remove it
            facts = path.stat()
            files.append((facts.st_mtime, facts.st_size, path))
    total = 0
    for number, (_, size, path) in enumerate(sorted(files, reverse=True)):
        total += size
        if number and (number >= _MOST_FILES or total > _MOST_BYTES):
            with suppress(OSError):
                path.unlink()
