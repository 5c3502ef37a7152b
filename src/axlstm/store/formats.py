"""Open files of embeddings: the format follows from the suffix, and every message names the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np

from axlstm.errors import AxlstmError, ConfigError
from axlstm.files import atomic_path
from axlstm.store import csv, npz, parquet
from axlstm.store.origin import RowKey
from axlstm.store.records import ClipRecord, StoreSettings


class _Format(Protocol):
    def write(self, path: Path, settings: StoreSettings, records: Iterable[ClipRecord]) -> None: ...

    def read(self, path: Path) -> tuple[StoreSettings, Iterator[ClipRecord]]: ...

    def read_keys(self, path: Path) -> list[RowKey]: ...


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


def read_settings(path: Path) -> StoreSettings:
    """Read the settings of a file that `write_records` wrote.

    Raises:
        AxlstmError: another file, or a damaged one.
    """
    with _opened(path) as chosen:
        return chosen.read(path)[0]


def read_pieces(path: Path) -> Iterator[ClipRecord]:
    """Read the clips of a file that `write_records` wrote, in order, those of more than `PIECE_FRAMES` in pieces.

    Raises:
        AxlstmError: another file, or a damaged one; damage may show only after some pieces.
    """
    with _opened(path) as chosen:
        yield from chosen.read(path)[1]


def read_records(path: Path) -> Iterator[ClipRecord]:
    """Read the clips of a file that `write_records` wrote, in order, each as a whole.

    Raises:
        AxlstmError: as `read_pieces`.
    """
    for _, group in groupby(read_pieces(path), lambda piece: piece.key):
        *earlier, last = group
        if earlier and last.frames is not None:
            frames = np.concatenate([part.get("frames") for part in (*earlier, last)])  # (T, F)
            times_ms = np.concatenate([part.get("timestamps_ms") for part in (*earlier, last)])  # (T,)
            last = replace(last, frames=frames, timestamps_ms=times_ms)
        yield last


def read_keys(path: Path) -> list[RowKey]:
    """Read the path and the origin of each clip of a file that `write_records` wrote, without the embeddings.

    Raises:
        AxlstmError: another file, or a damaged one.
    """
    with _opened(path) as chosen:
        return [key for key, _ in groupby(chosen.read_keys(path))]


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
        raise AxlstmError(f"{path}: not a file of embeddings that axlstm wrote, or damaged ({error})") from error
