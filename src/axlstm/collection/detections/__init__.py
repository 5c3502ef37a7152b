"""Run classifiers over recordings, collections and streams: windows, probabilities, segments, files of detections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from axlstm.collection.detections.run import detect

__all__ = ["detect"]


def __getattr__(name: str) -> Any:
    """Load the module behind a public name when it is first used."""
    if name in __all__:
        from axlstm.collection.detections import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
