"""What turns audio into embeddings for an evaluation: axlstm models and any HEAR-API module."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from axlstm.devices import find_device
from axlstm.errors import ConfigError

BASELINE = "logmel"
_NEEDED = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")


@dataclass(frozen=True)
class Encoder:
    """A loaded model behind the HEAR API, with a name for folders and tables."""

    name: str
    source: str
    api: ModuleType
    model: Any  # a torch.nn.Module

    @property
    def sample_rate(self) -> int:
        """Of the audio it takes, in Hz."""
        return int(self.model.sample_rate)

    @property
    def parameters(self) -> int:
        """The number of weights; models that run outside torch say it as ``parameter_count``."""
        told = getattr(self.model, "parameter_count", None)
        return told if isinstance(told, int) else sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def device(self) -> torch.device:
        """Where its weights lie; the CPU for a model without weights."""
        tensor = next(iter([*self.model.parameters(), *self.model.buffers()]), None)
        return tensor.device if tensor is not None else torch.device("cpu")

    def scenes(self, audio: Tensor) -> Tensor:
        """Clip embeddings ``(B, D)`` of clips ``(B, n)``, on the CPU."""
        with torch.no_grad():
            return self.api.get_scene_embeddings(audio.to(self.device), self.model).float().cpu()

    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Frame embeddings ``(B, T, D)`` and times in ms ``(B, T)`` of clips ``(B, n)``, on the CPU."""
        with torch.no_grad():
            embeddings, times_ms = self.api.get_timestamp_embeddings(audio.to(self.device), self.model)
        return embeddings.float().cpu(), times_ms.cpu()

    def describe(self) -> dict[str, Any]:
        """What is noted beside its embeddings.

        A model with a ``fingerprint``, as axlstm's have, is told from every other. One without is known by source,
        size and rate alone: other weights under the same source have the same note.
        """
        note: dict[str, Any] = {"source": self.source, "parameters": self.parameters, "sample_rate": self.sample_rate}
        fingerprint = getattr(self.model, "fingerprint", None)
        return note | ({"fingerprint": fingerprint} if isinstance(fingerprint, str) else {})


def load_encoder(source: str, device: str = "cpu", name: str | None = None, **options: Any) -> Encoder:
    """Load what is to be evaluated.

    Args:
        source: ``logmel`` (the baseline); ``path/to/module.py`` or ``module:package.module`` (a HEAR-API module,
            optionally followed by ``@weights``); or else anything that `axlstm.load_model` takes.
        device: cpu, cuda, ..., or auto: an accelerator if there is one.
        name: for folders and tables, in place of one made from the source.
        options: passed to `axlstm.load_model` (``layout``, ...) or the module's ``load_model``.

    Raises:
        ConfigError: a device that is not there, a module that does not exist or lacks a function of the HEAR API,
            or a model that is not a torch module with ``sample_rate`` and the embedding sizes.
        AxlstmError: from `axlstm.load_model`.
    """
    place = find_device(device)
    head, _, weights = source.partition("@")
    if head == BASELINE or head.startswith("module:") or head.endswith(".py"):
        api = _import(head)
        model = api.load_model(weights, **options) if weights else api.load_model(**options)
        made = Path(head).stem if head.endswith(".py") else head.removeprefix("module:").split(".")[-1]
        made += f"-{Path(weights).stem}" if weights else ""
    else:
        api = importlib.import_module("axlstm.hear")
        model = api.load_model(source, **options)
        made = _name_of(source)
    _check_model(source, model)
    return Encoder(_slug(name or made), source, api, model.to(place))


def _import(head: str) -> ModuleType:
    try:
        if head == BASELINE:
            api = importlib.import_module("axlstm.evaluate.embedding.logmel_baseline")
        elif head.startswith("module:"):
            api = importlib.import_module(head.removeprefix("module:"))
        else:
            api = _import_file(Path(head))
    except ImportError as error:
        raise ConfigError(f"{head} cannot be imported: {error}") from error
    missing = [name for name in _NEEDED if not callable(getattr(api, name, None))]
    if missing:
        raise ConfigError(f"{head} is no HEAR-API module: it lacks {', '.join(missing)}")
    return api


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: expected a Python file with the functions of the HEAR API")
    name = f"axlstm_hear_module_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # a .py file always has a loader
    assert spec.loader is not None
    api = importlib.util.module_from_spec(spec)
    sys.modules[name] = api  # classes of the module must find it by name
    sys.path.insert(0, str(path.resolve().parent))  # while it is imported, it finds its neighbours, as a script does
    try:
        spec.loader.exec_module(api)
    finally:
        sys.path.remove(str(path.resolve().parent))
    return api


def _check_model(source: str, model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{source}: load_model gave a {type(model).__name__}, expected a torch.nn.Module")
    needed = ("sample_rate", "scene_embedding_size", "timestamp_embedding_size")
    missing = [name for name in needed if not hasattr(model, name)]
    if missing:
        raise ConfigError(f"{source}: the model lacks {', '.join(missing)}, which the HEAR API asks for")


def _name_of(source: str) -> str:
    path = Path(source)
    return path.stem if path.suffix in (".safetensors", ".pth") else path.name


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in text).strip("-.") or "model"
