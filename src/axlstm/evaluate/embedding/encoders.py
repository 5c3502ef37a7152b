"""Load encoders that can be evaluated: axlstm's models and any HEAR-API module."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from axlstm.devices import find_device
from axlstm.errors import ConfigError
from axlstm.options import Pooling, check_choice

BASELINE = "logmel"
_FUNCTIONS = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
_ATTRIBUTES = ("sample_rate", "scene_embedding_size", "timestamp_embedding_size")


@dataclass(frozen=True)
class Encoder:
    """A loaded model behind the HEAR API, with a name for folders and tables."""

    name: str
    source: str
    api: ModuleType
    model: Any  # a torch.nn.Module

    @property
    def sample_rate(self) -> int:
        """Return the rate of the audio it takes, in Hz."""
        return int(self.model.sample_rate)

    @property
    def scene_embedding_size(self) -> int:
        """Return the size of a clip's embedding."""
        return int(self.model.scene_embedding_size)

    @property
    def timestamp_embedding_size(self) -> int:
        """Return the size of a frame's embedding."""
        return int(self.model.timestamp_embedding_size)

    @property
    def parameters(self) -> int:
        """Count the weights; models that run outside torch have it as ``parameter_count``."""
        count = getattr(self.model, "parameter_count", None)
        return count if isinstance(count, int) else sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def device(self) -> torch.device:
        """Return the device of its weights; the CPU for a model without weights."""
        told = getattr(self.model, "device", None)
        if isinstance(told, torch.device):
            return told
        tensor = next(iter([*self.model.parameters(), *self.model.buffers()]), None)
        return tensor.device if tensor is not None else torch.device("cpu")

    def scenes(self, audio: Tensor) -> Tensor:
        """Compute clip embeddings ``(B, D)`` of clips ``(B, n)``, on the CPU."""
        with torch.no_grad():
            return self.api.get_scene_embeddings(audio.to(self.device), self.model).float().cpu()

    def frames(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Compute frame embeddings ``(B, T, D)`` and times in ms ``(B, T)`` of clips ``(B, n)``, on the CPU."""
        with torch.no_grad():
            embeddings, times_ms = self.api.get_timestamp_embeddings(audio.to(self.device), self.model)
        return embeddings.float().cpu(), times_ms.cpu()

    def describe(self) -> dict[str, Any]:
        """Return the note that lies beside its embeddings.

        A ``fingerprint``, as axlstm's models have, differs between all models. Without one, other weights of the same
        source, size and rate have the same note.
        """
        note: dict[str, Any] = {"source": self.source, "parameters": self.parameters, "sample_rate": self.sample_rate}
        fingerprint = getattr(self.model, "fingerprint", None)
        return note | ({"fingerprint": fingerprint} if isinstance(fingerprint, str) else {})


@dataclass(frozen=True)
class Candidate:
    """A model that is to be evaluated; it is loaded when its turn comes.

    Args:
        source: ``logmel`` (the baseline); ``path/to/module.py`` or ``module:package.module`` (a HEAR-API module,
            optionally followed by ``@weights``); or else anything that `axlstm.load_model` takes.
        name: names the model in folders and tables; an empty one is made from the source.
        options: passed to `axlstm.load_model` (``layout``, ...) or the module's ``load_model``.
        build: makes the model, on its device, in place of loading the source; `axlstm.hear` takes the model. It makes
            one for all candidates that it is given to, if they differ in ``options["pooling"]`` alone.

    Raises:
        ConfigError: a name that no folder should have.
    """

    source: str
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    build: Callable[[], nn.Module] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", _make_name(self.source))
        elif not re.fullmatch(r"\w([\w.+-]*[\w+-])?", self.name):
            expected = "expected letters, digits and ._+-, a letter or digit first; it names folders"
            raise ConfigError(f"name={self.name!r}: {expected}")

    @property
    def is_module(self) -> bool:
        """Tell whether it is a HEAR-API module, and no model of axlstm's."""
        return self.build is None and _is_module(self.source)

    def shares_run(self, other: Candidate) -> bool:
        """Tell whether two differ in pooling alone, so that one run of the encoder serves both."""
        ours, theirs = ({**candidate.options, "pooling": ""} for candidate in (self, other))
        same = ours == theirs and self.source == other.source and self.build is other.build
        return same and not self.is_module


def load_encoder(source: str, device: str = "cpu", name: str | None = None, **options: Any) -> Encoder:
    """Load a model that is to be evaluated.

    Args:
        source, name, options: as in `Candidate`.
        device: cpu, cuda, ..., or auto: an accelerator if there is one.

    Raises:
        ConfigError: a device that this machine lacks, a module that does not exist or lacks a function of the HEAR API,
            or a model that is not a torch module with ``sample_rate`` and the embedding sizes.
        AxlstmError: from `axlstm.load_model`.
    """
    return load_variants([Candidate(source, name or "", options)], device)[0]


def load_variants(candidates: Sequence[Candidate], device: str = "cpu") -> list[Encoder]:
    """Load the one model of candidates that differ in pooling alone, as an encoder each; errors as `load_encoder`."""
    first, place = candidates[0], find_device(device)
    head, _, weights = first.source.partition("@")
    api = _import(head if first.is_module else "module:axlstm.hear")
    if first.build is not None:
        model: Any = first.build()
    elif first.is_module:
        model = api.load_model(weights, **first.options) if weights else api.load_model(**first.options)
    else:
        model = api.load_model(first.source, device=place, **first.options)
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{first.source}: load_model gave a {type(model).__name__}, expected a torch.nn.Module")
    if missing := [name for name in _ATTRIBUTES if not hasattr(model, name)]:
        raise ConfigError(f"{first.source}: the model lacks {', '.join(missing)}, which the HEAR API asks for")
    model = model.to(place) if first.is_module else model
    if len(candidates) == 1:
        return [Encoder(first.name, first.source, api, model)]
    encoders, own = [], getattr(model, "pooling", "mean")
    _ = getattr(model, "engine", None)  # is decided here, once for all copies
    for candidate in candidates:
        variant = copy.copy(model)  # of the same weights, in the same memory
        variant.pooling = check_choice("pooling", candidate.options.get("pooling", own), Pooling)
        encoders.append(Encoder(candidate.name, candidate.source, api, variant))
    return encoders


def embed_scenes(encoders: Sequence[Encoder], audio: Tensor) -> list[Tensor]:
    """Embed clips ``(B, n)`` with variants of one model, which runs once: ``(B, D)`` on the CPU for each encoder."""
    first = encoders[0]
    if len(encoders) == 1:
        return [first.scenes(audio)]
    with torch.no_grad():
        frames, _ = first.model(audio.to(first.device))  # (B, T, F)
        return [encoder.model.pool(frames).float().cpu() for encoder in encoders]


def check_module(head: str) -> None:
    """Check that a HEAR-API module is there, without importing it; `ConfigError` if it is not."""
    if head.endswith(".py"):
        if not Path(head).is_file():
            raise ConfigError(f"{head} does not exist: expected a Python file with the functions of the HEAR API")
    elif head != BASELINE:
        try:
            found = importlib.util.find_spec(head.removeprefix("module:"))
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise ConfigError(f"{head}: there is no such Python module here; install it, or mend its name")


def _import(head: str) -> ModuleType:
    name = "axlstm.evaluate.embedding.logmel_baseline" if head == BASELINE else head.removeprefix("module:")
    try:
        api = _import_file(Path(head)) if head.endswith(".py") else importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"{head} cannot be imported: {error}") from error
    if missing := [name for name in _FUNCTIONS if not callable(getattr(api, name, None))]:
        raise ConfigError(f"{head} is no HEAR-API module: it lacks {', '.join(missing)}")
    return api


def _import_file(path: Path) -> ModuleType:
    check_module(str(path))
    name = f"axlstm_hear_module_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # a .py file always has a loader
    assert spec.loader is not None
    api = importlib.util.module_from_spec(spec)
    sys.modules[name] = api  # classes of the module must find it by name
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)  # while it is imported, it finds its neighbours, as a script does
    try:
        spec.loader.exec_module(api)
    finally:
        sys.path.remove(folder)
    return api


def _is_module(source: str) -> bool:
    head = source.partition("@")[0]
    return head == BASELINE or head.startswith("module:") or head.endswith(".py")


def _make_name(source: str) -> str:
    head, _, weights = source.partition("@") if _is_module(source) else (source, "", "")
    name = head.split(".")[-1].removeprefix("module:") if head.startswith("module:") else Path(head).name
    name = re.sub(r"(?<=.)\.(py|safetensors|pth)$", "", name) + (f"-{Path(weights).stem}" if weights else "")
    return re.sub(r"[^\w.-]", "-", name).strip("-.") or "model"
