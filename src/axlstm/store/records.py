"""Hold the rows of a file of embeddings, whatever its format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.bounds import check_types, parse_object
from axlstm.embed.window_lengths import Windows
from axlstm.errors import ConfigError, name_some
from axlstm.store.origin import UNKNOWN, Origin, RowKey

PIECE_FRAMES = 15_000  # ten minutes: a longer clip's frames, or more windows, are never in memory all at once
_MOST_VALUES = 1_000_000  # in an embedding


@dataclass(frozen=True)
class StoreSettings:
    """The model of a file of embeddings, and which embeddings it keeps of each clip.

    ``size`` is the length of a scene embedding. It is the length of a frame embedding too, unless ``frame_size``
    says otherwise or no scene embeddings are kept. ``options`` tell what besides the weights the fingerprint stands
    for: layout, layers, dtype, engine, pooling. They are for messages, and empty where the file does not hold them.
    With ``window_s`` and ``hop_s`` (see `axlstm.embed.windows.Windows`) each window has a scene embedding, a row each.

    Raises:
        ConfigError: neither scene nor frame embeddings are kept, windows that are none, or windows beside frames.
    """

    model: str
    fingerprint: str
    size: int
    scene: bool = True
    frames: bool = False
    frame_size: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    window_s: float | None = None
    hop_s: float | None = None

    def __post_init__(self) -> None:
        if (self.window_s is None) != (self.hop_s is None):
            raise ConfigError(f"window_s={self.window_s}, hop_s={self.hop_s}: expected both or neither")
        if self.windows and (self.frames or not self.scene):
            raise ConfigError(
                "with windows each row is the scene embedding of a window: leave out --frames and --no-scene; frames "
                "need a file of their own"
            )
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
        lengths = ("window_s", "hop_s")
        check_types(dict.fromkeys(lengths) | values, dict.fromkeys(lengths, (int, float, NoneType)))
        options = values.get("options", {})
        if not isinstance(options, dict) or not all(isinstance(option, str) for option in options.values()):
            raise ValueError("options that are no texts")
        if unknown := sorted(set(values) - {one.name for one in fields(cls)}):
            raise ValueError(f"unknown settings {name_some(unknown)}")
        if not all(0 < size <= _MOST_VALUES for size in (values["size"], values.get("frame_size") or 1)):
            raise ValueError(f"a size below 1 or above {_MOST_VALUES}")
        return cls(**values)

    def to_json(self) -> str:
        """Write the settings as `from_json` reads them; those of files without windows as they always were."""
        values = asdict(self)
        if self.window_s is None:
            del values["window_s"], values["hop_s"]
        return json.dumps(values)

    @property
    def windows(self) -> Windows | None:
        """Return the windows that have rows, if they have."""
        return None if self.window_s is None else Windows(self.window_s, self.hop_s)

    @property
    def frame_length(self) -> int:
        """Return the length of a frame embedding."""
        return self.frame_size or self.size


@dataclass(frozen=True)
class ClipRecord:
    """One clip's row: scene ``(size,)``, frames ``(T, frame_length)``, timestamps_ms ``(T,)``; None if not kept.

    With windows it is one clip's rows: scene ``(W, size)``, start_s ``(W,)`` and end_s ``(W,)``.

    A long clip may be given in pieces: consecutive records of one key, each with some of the frames or windows. The
    npz format has one row a clip and needs the scene in the last piece only.

    Raises:
        ConfigError: bounds of windows that are none of this clip, or as many as there are not embeddings.
    """

    path: str
    duration_s: float
    scene: NDArray[np.float32] | None = None
    frames: NDArray[np.float32] | None = None
    timestamps_ms: NDArray[np.float32] | None = None
    origin: Origin = UNKNOWN
    start_s: NDArray[np.float64] | None = None
    end_s: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.start_s is None and self.end_s is None:
            return
        start_s, end_s, count = self.get("start_s"), self.get("end_s"), len(self.get("scene"))
        if not start_s.shape == end_s.shape == (count,) or count == 0:
            raise ConfigError(f"{self.path}: {len(start_s)} starts and {len(end_s)} ends of {count} windows")
        # Written so that NaN fails too.
        good = (start_s >= 0) & (start_s < end_s) & (end_s <= self.duration_s)
        good[1:] &= start_s[1:] > start_s[:-1]
        if not good.all():
            wrong = int(good.argmin())
            raise ConfigError(
                f"{self.path}: window {wrong} from {start_s[wrong]:g} to {end_s[wrong]:g} s of a recording of "
                f"{self.duration_s:g} s; expected windows one after another within it"
            )

    @property
    def windows(self) -> int:
        """Count the windows; none of a clip that has a row as a whole."""
        return 0 if self.start_s is None else len(self.start_s)

    @property
    def key(self) -> RowKey:
        """Return what tells the clip from others; its path alone does not."""
        return self.path, self.origin

    def get(self, name: str) -> NDArray[Any]:
        """Return the array called ``name``, which the settings of the file keep.

        Raises:
            ConfigError: the record lacks it.
        """
        values: NDArray[Any] | None = getattr(self, name)
        if values is None:
            raise ConfigError(f"{self.path}: the record has no {name}, which the settings of the file keep")
        return values
