"""Load what makes vectors of windows: axlstm's models, any HEAR-API module, and exported models."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from axlstm.collection.encoders import ClipWindows, EmbedderWindows, EncoderNote, NotedEncoder, WindowEncoder
from axlstm.collection.folder import CollectionFolder, EncoderEntry
from axlstm.devices import dtype_name
from axlstm.embed.window_lengths import Windows
from axlstm.engines.runtimes import is_fork_of_openvino, is_installed
from axlstm.errors import AxlstmError, ConfigError, name_differences
from axlstm.evaluate.embedding.encoders import Candidate, load_encoder
from axlstm.export.exported import SUFFIXES, ExportedModel
from axlstm.hub import load_model
from axlstm.options import EMBEDDER_DEFAULTS

logger = logging.getLogger(__name__)
_DEFAULT_MODEL = "axlstm-tiny"
_DEFAULT_WINDOW_S = 5.0
_NEVER_KEPT = ("device", "batch_windows")  # options that do not change the numbers


def choose_encoder(
    collection: CollectionFolder | None,
    model: str | None = None,
    name: str = "",
    window_s: float | None = None,
    hop_s: float | None = None,
    **options: Any,
) -> WindowEncoder:
    """Load the encoder that recordings are to be indexed with.

    Args:
        collection: None if there is none yet.
        model: see `load_window_encoder`; None takes the collection's encoder of that name, or the only one it has, or
            AxLSTM-Tiny for an empty collection.
        name: of the encoder in the collection.
        window_s, hop_s: in seconds; None takes those of the encoder in the collection, or else 5 and half a window.
        options: of axlstm's own models.

    Raises:
        ConfigError: the collection has several encoders, and none is named.
        AxlstmError: the model cannot be loaded.
    """
    entries = [] if collection is None else collection.encoders()
    entry = None
    if collection is not None and model is None and (entries or name):
        entry = collection.encoder(name or None, "--name")
        return _load_entry(entry, _choose_windows(entry, window_s, hop_s), options)
    candidate = _candidate(model or _DEFAULT_MODEL, name)
    entry = next((there for there in entries if there.name == candidate.name), None)
    windows = _choose_windows(entry, window_s, hop_s)
    going_on = None if entry is None else entry.fingerprint
    return load_window_encoder(candidate.source, windows, name=candidate.name, going_on=going_on, **options)


def _choose_windows(entry: EncoderEntry | None, window_s: float | None, hop_s: float | None) -> Windows:
    if window_s is None and hop_s is None and entry is not None:
        return Windows(entry.window_s, entry.hop_s)
    window_s = _DEFAULT_WINDOW_S if window_s is None else window_s
    return Windows(window_s, window_s / 2 if hop_s is None else hop_s)


def match_entry(collection: CollectionFolder, encoder: NotedEncoder) -> EncoderEntry | None:
    """Find the encoder among those of the collection; None if it is new there.

    Raises:
        ConfigError: there is another one of that name.
    """
    entry = next((entry for entry in collection.encoders() if entry.name == encoder.note.name), None)
    if entry is None:
        return None
    windows = encoder.windows
    here = {
        "window_s": windows.window_s,
        "hop_s": windows.hop_s,
        "source": encoder.note.source,
        **encoder.note.options,
        "fingerprint": encoder.note.fingerprint,
    }
    known = {"window_s": entry.window_s, "hop_s": entry.hop_s, "source": entry.source, "fingerprint": entry.fingerprint}
    compared = {**dict.fromkeys(here), **known, **entry.options}
    here = {**dict.fromkeys(entry.options), **here}
    if encoder.note.fingerprint == entry.fingerprint:  # the same numbers, wherever the weights lie
        here["source"] = entry.source
    if differing := name_differences(compared, here):
        raise ConfigError(
            f"{collection.folder}: encoder {entry.name} was indexed with other settings ({differing}): give the same "
            "ones, or another --name"
        )
    return entry


def load_window_encoder(
    source: str, windows: Windows, *, name: str = "", device: str = "cpu", going_on: str | None = None, **options: Any
) -> WindowEncoder:
    """Load what makes vectors of windows.

    Args:
        source: what `axlstm.load_model` takes; ``logmel`` or a HEAR-API module as `axlstm evaluate` takes it; or a file
            that `axlstm export` wrote.
        name: names the encoder in the collection; an empty one is made from the source.
        going_on: fingerprint of the vectors that are there already, see `Embedder.going_on`.
        options: of axlstm's own models, see `axlstm.options.EmbedderOptions`; ``revision`` too.

    Raises:
        ConfigError: options for what has none, windows that the model cannot fill, a module that is not there.
        AxlstmError: the model cannot be loaded.
    """
    candidate = _candidate(source, name)
    if Path(source).suffix in SUFFIXES.values():
        return _load_exported(candidate, windows, options)
    if candidate.is_module:
        return _load_module(candidate, windows, device, options)
    embedder = load_model(source, device=device, **options).going_on(going_on)
    kept = {key: _plain(value) for key, value in options.items() if _is_kept(key, value)}
    if embedder.engine not in (None, "processes"):
        kept["engine"] = embedder.engine
    note = EncoderNote(candidate.name, _lasting(source), embedder.fingerprint, embedder.scene_embedding_size, kept)
    return EmbedderWindows(embedder, windows, note)


def load_again(entry: EncoderEntry, *, device: str = "cpu", **options: Any) -> WindowEncoder:
    """Load an encoder of a collection, for sounds that are to be compared with its vectors.

    Args:
        options: those that do not change the numbers, such as ``batch_windows``.

    Raises:
        ConfigError: it is not there any more, or gives other vectors now.
    """
    windows, engine = Windows(entry.window_s, entry.hop_s), entry.options.get("engine")
    if engine is not None and Path(entry.source).suffix not in SUFFIXES.values() and not _computes(engine, device):
        elsewhere = replace(entry, options={key: value for key, value in entry.options.items() if key != "engine"})
        encoder = _load_entry(elsewhere, windows, {"device": device, **options})
        if isinstance(encoder, EmbedderWindows) and encoder.embedder.fingerprint_as(engine) == entry.fingerprint:
            logger.warning(
                "encoder %s was indexed in %s, which cannot compute here: torch computes what is compared with it, "
                "and differs by up to 1e-4",
                *(entry.name, engine),
            )
            return encoder
    else:
        encoder = _load_entry(entry, windows, {"device": device, **options})
    if encoder.note.fingerprint != entry.fingerprint:
        told = name_differences({"fingerprint": entry.fingerprint}, {"fingerprint": encoder.note.fingerprint})
        raise ConfigError(
            f"{entry.source} has changed since encoder {entry.name} of the collection was made with it ({told}): put "
            "back what it was, or index with it under another name"
        )
    return encoder


def _computes(engine: str, device: str) -> bool:
    """Tell whether an engine can compute here, on a kind of device."""
    return is_installed(engine) and device == "cpu" and not (engine == "openvino" and is_fork_of_openvino())


def _load_entry(entry: EncoderEntry, windows: Windows, options: Mapping[str, Any]) -> WindowEncoder:
    """Load what an encoder was made with; options that are not the default ones come before its own."""
    plain = {key: value for key, value in options.items() if key not in entry.options or _is_kept(key, value)}
    given = {**entry.options, **plain}
    try:
        return load_window_encoder(entry.source, windows, name=entry.name, going_on=entry.fingerprint, **given)
    except (AxlstmError, OSError) as error:
        if any(_is_kept(key, value) for key, value in options.items()):
            raise  # it may be the options that do not fit
        raise ConfigError(
            f"encoder {entry.name} of the collection cannot be loaded any more ({error}); put {entry.source} back, or "
            "index with another one under another name"
        ) from error


def _is_kept(option: str, value: Any) -> bool:
    is_default = option in EMBEDDER_DEFAULTS and value == EMBEDDER_DEFAULTS[option]  # type: ignore[literal-required]
    is_plain = option == "engine" and value == "processes"
    return not (option in _NEVER_KEPT or is_default or is_plain or value is None)


def _plain(value: Any) -> Any:
    """Give the value of an option as JSON has it."""
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _load_exported(candidate: Candidate, windows: Windows, options: Mapping[str, Any]) -> WindowEncoder:
    _refuse_options(candidate.source, options, {"engine": None})
    engine = None if options.get("engine") == "auto" else options.get("engine")
    model = ExportedModel(candidate.source, engine=engine)
    files = [Path(candidate.source)]
    files += [files[0].with_suffix(".bin")] if files[0].suffix == ".xml" else []
    probe = model(np.zeros((1, model.least_samples), dtype=np.float32)).scene
    kept = {} if engine is None else {"engine": engine}
    note = EncoderNote(candidate.name, _lasting(candidate.source), _hash_files(files), probe.shape[1], kept)
    return ClipWindows(lambda clips: model(clips).scene, model.sample_rate, windows, note)


def _load_module(candidate: Candidate, windows: Windows, device: str, options: Mapping[str, Any]) -> WindowEncoder:
    _refuse_options(candidate.source, options, {})
    encoder = load_encoder(candidate.source, device, candidate.name)
    head, _, weights = candidate.source.partition("@")
    fingerprint = getattr(encoder.model, "fingerprint", None)
    if not isinstance(fingerprint, str):
        files = [Path(file) for file in (head, weights) if Path(file).is_file()]
        digest = hashlib.sha256(f"{_hash_files(files)}/{encoder.sample_rate}".encode())
        for key, value in encoder.model.state_dict().items():
            digest.update(key.encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        fingerprint = digest.hexdigest()[:16]
    source = f"{_lasting(head)}@{_lasting(weights)}" if weights else _lasting(head)
    note = EncoderNote(candidate.name, source, fingerprint, encoder.scene_embedding_size)
    return ClipWindows(
        lambda clips: encoder.scenes(torch.from_numpy(clips)).numpy(), encoder.sample_rate, windows, note
    )


def _refuse_options(source: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    refused = [key for key, value in options.items() if key not in known and _is_kept(key, value)]
    if refused:
        raise ConfigError(f"{source}: takes no {', '.join(refused)}; these are options of axlstm's own models")


def _candidate(source: str, name: str) -> Candidate:
    path = Path(source)
    return Candidate(source, name or (path.stem if path.suffix in SUFFIXES.values() else ""))


def _lasting(source: str) -> str:
    """Give a path that is there as an absolute one, so that it is found from any folder."""
    return os.fspath(Path(source).resolve()) if Path(source).exists() else source


def _hash_files(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]
