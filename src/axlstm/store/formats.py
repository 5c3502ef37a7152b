"""Open files of embeddings: the format follows from the suffix, and every message names the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from axlstm.errors import AxlstmError, ConfigError, first_line
from axlstm.files import atomic_path
from axlstm.store import csv, npz, parquet
from axlstm.store.origin import RowKey
from axlstm.store.records import ClipRecord, StoreSettings


class _Format(Protocol):
    def write(self, path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None: ...

    def check(self, path: Path) -> None: ...

    def read(self, path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]: ...

    def read_keys(self, path: Path) -> Iterator[RowKey]: ...


_FORMATS: dict[str, _Format] = {".parquet": parquet, ".npz": npz, ".csv": csv}


def check_format(path: Path, settings: StoreSettings) -> None:
    """Refuse what the file's format cannot hold.

    Raises:
        ConfigError: a suffix that is no known format, or csv for scenes and frames together.
    """
    _format_of(path)
    if path.suffix == ".csv" and settings.scene and settings.frames:
        raise ConfigError(f"{path}: csv holds scene or frame embeddings, not both; choose .parquet or .npz")


def _format_of(path: Path) -> _Format:
    if path.suffix not in _FORMATS:
        raise ConfigError(f"{path}: expected a name that ends with {', '.join(_FORMATS)}")
    return _FORMATS[path.suffix]


def write_records(path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None:
    """Write clips, or pieces of them, to ``path`` in the format of its suffix; the file is complete or absent.

    Raises:
        ConfigError: what `check_format` refuses, or a record without an array that ``settings`` keep.
    """
    check_format(path, settings)
    with atomic_path(path) as temporary:
        _format_of(path).write(temporary, settings, records)


def check_whole(path: Path) -> None:
    """Compare a file that `write_records` wrote with its checksums.

    Raises:
        AxlstmError: another file, or a damaged one.
    """
    with _opened(path) as chosen:
        chosen.check(path)


def read_settings(path: Path) -> StoreSettings:
    """Read the settings of a file that `write_records` wrote.

    Raises:
        AxlstmError: another file, or a damaged one.
    """
    with _opened(path) as chosen:
        return chosen.read(path)[0]


def read_pieces(path: Path) -> Iterator[ClipRecord]:
    """Read the clips of a file that `write_records` wrote, in order, some in pieces of at most `PIECE_FRAMES`.

    Raises:
        AxlstmError: another file, or a damaged one; damage may show only after some pieces.
    """
    with _opened(path) as chosen:
        chosen.check(path)
        yield from chosen.read(path)[1]


def read_records(path: Path) -> Iterator[ClipRecord]:
    """Read the clips of a file that `write_records` wrote, in order, each as a whole.

    Raises:
        AxlstmError: as `read_pieces`.
    """
    for _, group in groupby(read_pieces(path), lambda piece: piece.key):
        *earlier, last = group
        if earlier:
            many = ["frames", "timestamps_ms"] if last.frames is not None else []
            many += ["scene", "start_s", "end_s"] if last.windows else []
            arrays: dict[str, Any] = {
                name: np.concatenate([piece.get(name) for piece in (*earlier, last)]) for name in many
            }
            last = replace(last, **arrays)
        yield last


def read_keys(path: Path) -> list[RowKey]:
    """Read the path and the origin of each clip of a file that `write_records` wrote, without the embeddings.

    Raises:
        AxlstmError: another file, or a damaged one.
    """
    with _opened(path) as chosen:
        return [key for key, _ in groupby(chosen.read_keys(path))]


def count_rows(path: Path) -> int:
    """Count the rows of a file that `write_records` wrote: its clips, windows, or pieces of long clips.

    Raises:
        AxlstmError: as `read_keys`.
    """
    with _opened(path) as chosen:
        return sum(1 for _ in chosen.read_keys(path))


def read_paths(path: Path) -> list[str]:
    """Read the path of each clip, as `read_keys`. A file whose content changed has a clip for each content."""
    return [name for name, _ in read_keys(path)]


@contextmanager
def _opened(path: Path) -> Iterator[_Format]:
    """Give the format of a file, and turn what a library raises at its content into an error that names the file."""
    chosen = _format_of(path)
    try:
        yield chosen
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy, zipfile and pyarrow raise nearly anything
        reason = first_line(error)
        raise AxlstmError(f"{path}: not a file of embeddings that axlstm wrote, or damaged ({reason})") from error
