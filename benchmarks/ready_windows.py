"""Index files with an encoder that has the vectors of their windows ready: the real way in, without a model."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.encoders import EncoderNote, WindowVectors
from axlstm.embed.windows import Windows
from benchmarks.hoplite_plan import FILE_WINDOWS, HOP_S

_RATE_HZ = 1000


class ReadyEncoder:
    """An encoder that has its vectors already.

    Args:
        vectors: of all windows ``(n, D)``; those of file 7 are the rows from ``7 * FILE_WINDOWS`` on.
    """

    limit = 100

    def __init__(self, vectors: NDArray[np.floating]) -> None:
        self.note = EncoderNote("ready", "ready", "0", vectors.shape[1])
        self.windows = Windows(2 * HOP_S, HOP_S)
        self._vectors = vectors

    def prepare(self, file: Path) -> Path:
        return file

    def size_of(self, prepared: Any) -> int:
        del prepared
        return 1

    def embed(self, prepared: Sequence[Path]) -> list[WindowVectors]:
        start = np.arange(FILE_WINDOWS, dtype=np.float64) * HOP_S
        return [WindowVectors(self._of(file), start, start + 2 * HOP_S) for file in prepared]

    def stream(self, file: Path) -> Iterator[WindowVectors]:
        yield self.embed([file])[0]

    def _of(self, file: Path) -> NDArray[np.float32]:
        first = int(file.stem) * FILE_WINDOWS
        return self._vectors[first : first + FILE_WINDOWS].astype(np.float32)


def write_sounds(folder: Path, names: Sequence[str]) -> None:
    """Write a file for `ReadyEncoder` under each name, no two of the same content."""
    for number, name in enumerate(names, 1):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 1, _RATE_HZ, 0, "NONE", ""))
            file.writeframes(number.to_bytes(4, "little") * round(_RATE_HZ * FILE_WINDOWS * HOP_S / 4))
