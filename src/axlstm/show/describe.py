"""Describe a model, a sound, a file of embeddings, an exported model or a folder of sounds."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any
from zipfile import BadZipFile, ZipFile

from soundfile import LibsndfileError

from axlstm.audio.find import EXTENSIONS, by_place, describe_not_sound, find_audio
from axlstm.audio.frontend import FrontendConfig
from axlstm.audio.open import Sound, is_sound, open_sound
from axlstm.audio.read import file_facts
from axlstm.checkpoints.reading import CONFIG_NAME, WEIGHTS_NAME
from axlstm.errors import AudioError, AxlstmError, CheckpointError
from axlstm.export.exported import METADATA_NAME, SUFFIXES, ExportedFile
from axlstm.hub import load_model
from axlstm.model.config import PRESETS
from axlstm.model.layouts import TimeLayout
from axlstm.options import LayoutName
from axlstm.store.formats import count_rows, read_keys, read_settings
from axlstm.store.origin import RowKey, hash_place

_TABLES = (".parquet", ".npz", ".csv")
_AT_ONCE = 1024  # frames; those before damage in a block are lost


def describe(source: str, layout: LayoutName = "time", revision: str | None = None) -> dict[str, Any]:
    """Collect facts about ``source`` by name, in the order to show them.

    Args:
        source: a file of embeddings, a sound, a model, an exported model or a folder of sounds. A sound may have any
            name.
        layout: layout of the model's frames.
        revision: branch, tag or commit of a Hub id.

    Raises:
        AxlstmError: ``source`` is none of these, or is damaged.
        FileNotFoundError: ``source`` is named like a sound or embeddings, but there is no such file.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if (suffix in EXTENSIONS or suffix in _TABLES) and not path.exists():
        raise FileNotFoundError(f"{source}: no such file")
    if path.is_file() and revision is None:
        if suffix in _TABLES:
            return _describe_embeddings(path)
        if suffix in EXTENSIONS:
            return _describe_sound(path)
        if suffix in SUFFIXES.values():
            return _describe_exported(path)
    try:
        embedder = load_model(source, layout=layout, revision=revision)
    except CheckpointError:
        if path.is_file() and is_sound(path):
            return _describe_sound(path)
        is_model = path.is_dir() and any((path / name).exists() for name in (CONFIG_NAME, WEIGHTS_NAME))
        if path.is_dir() and not is_model and (facts := _describe_folder(path)):
            return facts
        raise
    return {
        "kind": "model",
        "name": embedder.name,
        "trained": "yes" if embedder.trained else "no: random weights",
        "parameters": f"{embedder.parameter_count:,}",
        "embedding size": embedder.scene_embedding_size,
        "sample rate": f"{embedder.sample_rate} Hz",
        "layout": layout,
        "engine": str(embedder.engine_choice),
        "fingerprint": embedder.fingerprint,
        **embedder.config.to_dict(),
        "training": embedder.checkpoint.training or "unknown",
    }


def as_lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Give a line for each fact; those that are mappings themselves are indented below their name."""
    width = max(18 - len(indent), *map(len, facts))
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{name}"
            yield from as_lines(value, f"{indent}  ")
        else:
            yield f"{indent}{name:{width}} {value}"


def _describe_embeddings(path: Path) -> dict[str, Any]:
    try:
        settings, keys = read_settings(path), read_keys(path)
    except AxlstmError:
        if facts := _describe_table(path):
            return facts
        raise
    kinds = [kind for kind in ("scene", "frames") if getattr(settings, kind)]
    lengths = f"{settings.window_s:g} s, every {settings.hop_s:g} s" if settings.windows else ""
    return {
        "kind": "embeddings",
        "clips": len(keys),
        **({"windows": f"{count_rows(path)} of {lengths}"} if settings.windows else {}),
        "keeps": " and ".join(kinds),
        "size": settings.size,
        "model": settings.model,
        "fingerprint": settings.fingerprint,
        **settings.options,
        "recordings": ", ".join(f"{count} {state}" for state, count in Counter(map(_state, keys)).most_common()),
    }


def _describe_table(path: Path) -> dict[str, Any]:
    """Describe a CSV table of sounds; nothing for another file."""
    if path.suffix.lower() != ".csv":
        return {}
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file)
        columns = next(rows, [])
        if "path" not in columns:
            return {}
        return {
            "kind": "table of sounds",
            "columns": ", ".join(columns),
            "rows": sum(1 for _ in rows),
            "to train on them": f"axlstm prepare {quote(str(path))} shards",
            "to make a task": f"axlstm hear make {quote(str(path))} tasks",
        }


def _state(key: RowKey) -> str:
    """Compare a row with its recording as it is now, by size and time alone."""
    name, origin = key
    if not origin.place:
        return "from a pipe, or of an earlier version: not compared"
    path = Path(os.fsdecode(name.encode("utf-8", "surrogateescape")))  # whatever the locale
    (place,) = by_place([path])
    if hash_place(place) != origin.place:
        return "not found from this folder: run axlstm info where axlstm embed was run"
    try:
        facts = place.stat()
    except OSError:
        return "gone since"
    is_same = (facts.st_size, facts.st_mtime_ns) == (origin.size_bytes, origin.modified)
    return "unchanged" if is_same else "changed since (another size or time)"


def _describe_sound(path: Path) -> dict[str, Any]:
    facts, config = file_facts(path), FrontendConfig()
    if fault := _fault(path):
        return {"kind": "sound", **facts, "damage": fault, "frame embeddings": "none: axlstm skips damaged sounds"}
    samples = round(facts["duration_s"] * config.sample_rate_hz)
    if samples < config.window_samples:
        return {
            "kind": "sound",
            **facts,
            "frame embeddings": f"none: below {1000 * config.window_samples / config.sample_rate_hz:g} ms",
        }
    frames = TimeLayout(next(iter(PRESETS.values())), config).frame_count(samples)
    return {"kind": "sound", **facts, "frame embeddings": frames}


def _fault(path: Path) -> str:
    """Say how much of a sound can be read, if its end cannot; damage in the middle is not looked for."""
    with open_sound(path) as (file, name):
        announced, rate_hz = file.frames, file.samplerate
        if announced is None or _count_readable(file, name, announced - 1) == (1, ""):
            return ""  # without a length in its header it has been decoded as a whole
    with open_sound(path) as (file, name):
        readable, reason = _count_readable(file, name, 0)
    if readable >= announced and not reason:
        return ""  # a format that cannot go to its end
    reason = reason or "its header announces more than there is"
    return f"only {readable / rate_hz:.2f} s of {announced / rate_hz:.2f} s can be read: {reason}"


def _count_readable(file: Sound, name: str, first: int) -> tuple[int, str]:
    """Count the frames from ``first`` on that can be read, and say what ends them where that is no usual end."""
    count = 0
    try:
        file.seek(first)
        while len(block := file.read(_AT_ONCE)):
            count += len(block)
    except (AudioError, LibsndfileError) as error:
        return count, str(error).removeprefix(f"{name}: ")
    return count, ""


def _describe_exported(path: Path) -> dict[str, Any]:
    kind = next(name for name, suffix in SUFFIXES.items() if suffix == path.suffix.lower())
    metadata = _pt2_metadata(path) if kind == "torch-export" else ExportedFile(path).metadata
    what, name = ("classifier", "ExportedClassifier") if "labels" in metadata else ("model", "ExportedModel")
    use = f"axlstm.{name} in Python; commands take the {what} that it was exported from"
    return {"kind": f"exported {what} ({kind})", **metadata, "use": use}


def _pt2_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a .pt2 file without running the program in it."""
    try:
        with ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(f"/{METADATA_NAME}"))
            metadata: dict[str, str] = json.loads(archive.read(name))
            return metadata
    except (BadZipFile, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: not written by axlstm export, or damaged ({error})") from error


def _describe_folder(path: Path) -> dict[str, Any]:
    """Count the sounds in a folder; nothing if there are none."""
    try:
        found = find_audio([path])
    except AudioError:
        return {}
    facts: dict[str, Any] = {"kind": "folder of sounds", "sounds": len(found.files)}
    if found.skipped:
        path_of_one, reason = found.skipped[0]
        facts["skipped"] = f"{len(found.skipped)}, such as {path_of_one}: {reason}"
    if found.not_sound:
        facts["others"] = describe_not_sound(found.not_sound)
    if found.files:
        facts["to embed them"] = f"axlstm embed {quote(str(path))} -o embeddings.parquet"
        facts["to train on them"] = f"axlstm prepare {quote(str(path))} shards"
    return facts
