"""Embed sound with self-supervised models: xLSTM (AxLSTM) and its transformer twin (SSAST).

Importing this package loads neither torch nor any other heavy library. Each name below is
imported from its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from axlstm.collection.detections.sound import SoundClassifier, load_classifier
    from axlstm.embed.batching import Embedding
    from axlstm.embed.embedder import Embedder
    from axlstm.errors import AudioError, AxlstmError, CheckpointError, ConfigError
    from axlstm.export.exported import ExportedClassifier, ExportedModel
    from axlstm.finetuning.run import finetune
    from axlstm.hub import create_model, load_model
    from axlstm.model.config import list_models

_HOME = {
    "Embedder": "axlstm.embed.embedder",
    "Embedding": "axlstm.embed.batching",
    "ExportedClassifier": "axlstm.export.exported",
    "ExportedModel": "axlstm.export.exported",
    "SoundClassifier": "axlstm.collection.detections.sound",
    "create_model": "axlstm.hub",
    "finetune": "axlstm.finetuning.run",
    "load_classifier": "axlstm.collection.detections.sound",
    "load_model": "axlstm.hub",
    "list_models": "axlstm.model.config",
    "AxlstmError": "axlstm.errors",
    "AudioError": "axlstm.errors",
    "CheckpointError": "axlstm.errors",
    "ConfigError": "axlstm.errors",
}

__all__ = [
    "AudioError",
    "AxlstmError",
    "CheckpointError",
    "ConfigError",
    "Embedder",
    "Embedding",
    "ExportedClassifier",
    "ExportedModel",
    "SoundClassifier",
    "__version__",
    "create_model",
    "finetune",
    "list_models",
    "load_classifier",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'axlstm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
