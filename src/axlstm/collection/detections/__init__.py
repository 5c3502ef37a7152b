"""Run classifiers over recordings, collections and streams: windows, probabilities, segments, files of detections."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from axlstm.collection.detections.live import ClassifierStream
    from axlstm.collection.detections.run import detect

_HOME = {"ClassifierStream": "live", "detect": "run"}

__all__ = ["ClassifierStream", "detect"]


def __getattr__(name: str) -> Any:
    """Load the module behind a public name when it is first used."""
    if name in _HOME:
        return getattr(import_module(f"axlstm.collection.detections.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
