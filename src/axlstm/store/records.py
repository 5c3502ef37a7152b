"""Hold the rows of a file of embeddings, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import NoneType

import numpy as np
from numpy.typing import NDArray

from axlstm.bounds import check_types, parse_object
from axlstm.errors import ConfigError, name_some
from axlstm.store.origin import UNKNOWN, Origin, RowKey

PIECE_FRAMES = 15_000  # ten minutes: a longer clip's frames are never in memory all at once
_MOST_VALUES = 1_000_000  # in an embedding


@dataclass(frozen=True)
class StoreSettings:
    """The model of a file of embeddings, and which embeddings it keeps of each clip.

    ``size`` is the length of a scene embedding. It is the length of a frame embedding too, unless ``frame_size``
    says otherwise or no scene embeddings are kept. ``options`` tell what besides the weights the fingerprint stands
    for: layout, layers, dtype, engine, pooling. They are for messages, and empty where the file does not hold them.

    Raises:
        ConfigError: neither scene nor frame embeddings are kept.
    """

    model: str
    fingerprint: str
    size: int
    scene: bool = True
    frames: bool = False
    frame_size: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.scene or self.frames):
            raise ConfigError("nothing to keep: ask for scene embeddings, frame embeddings or both")

    @classmethod
    def from_json(cls, content: bytes | str) -> StoreSettings:
        """Read the settings that a file holds as a JSON object.

        Raises:
            ValueError: other keys, or values that no settings have.
        """
        values = parse_object(content)
        check_types(values, {"model": str, "fingerprint": str, "size": int, "scene": bool, "frames": bool})
        check_types({"frame_size": None} | values, {"frame_size": (int, NoneType)})
        options = values.get("options", {})
        if not isinstance(options, dict) or not all(isinstance(option, str) for option in options.values()):
            raise ValueError("options that are no texts")
        if unknown := sorted(set(values) - {one.name for one in fields(cls)}):
            raise ValueError(f"unknown settings {name_some(unknown)}")
        if not all(0 < size <= _MOST_VALUES for size in (values["size"], values.get("frame_size") or 1)):
            raise ValueError(f"a size below 1 or above {_MOST_VALUES}")
        return cls(**values)

    @property
    def frame_length(self) -> int:
        """Return the length of a frame embedding."""
        return self.frame_size or self.size


@dataclass(frozen=True)
class ClipRecord:
    """One clip's row: scene ``(size,)``, frames ``(T, frame_length)``, timestamps_ms ``(T,)``; None if not kept.

    A long clip may be given in pieces: consecutive records of one key, each with some of the frames. The npz format
    has one row a clip and needs the scene in the last piece only.
    """

    path: str
    duration_s: float
    scene: NDArray[np.float32] | None = None
    frames: NDArray[np.float32] | None = None
    timestamps_ms: NDArray[np.float32] | None = None
    origin: Origin = UNKNOWN

    @property
    def key(self) -> RowKey:
        """Return what tells the clip from others; its path alone does not."""
        return self.path, self.origin

    def get(self, name: str) -> NDArray[np.float32]:
        """Return the array called ``name``, which the settings of the file keep.

        Raises:
            ConfigError: the record lacks it.
        """
        values: NDArray[np.float32] | None = getattr(self, name)
        if values is None:
            raise ConfigError(f"{self.path}: the record has no {name}, which the settings of the file keep")
        return values
