"""Read and write the description of a checkpoint, ``config.json``, and the checksum of its weights file."""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axlstm.bounds import parse_json
from axlstm.checkpoints.unreadable import unreadable
from axlstm.errors import CheckpointError, first_line, name_some
from axlstm.seals import crc_of_file

logger = logging.getLogger(__name__)

MODEL_TYPE = "axlstm"
FORMAT_VERSION = 1
SEAL_KEY = "crc32"  # in the metadata of a weights file
_UNSEALED = b'"crc32":"00000000"'
_SEALED = re.compile(rb'"crc32":"([0-9a-f]{8})"')
_MOST_HEADER_BYTES = 100_000_000  # as the safetensors library
_KEYS: dict[str, tuple[type, str]] = {
    "model_type": (str, "a text"),
    "format_version": (int, "a whole number"),
    "name": (str, "a text"),
    "trained": (bool, "true or false"),
    "model": (dict, "an object"),
    "frontend": (dict, "an object"),
    "training": (dict, "an object"),
}


def describe_model(
    name: str, trained: bool, model: Mapping[str, Any], frontend: Mapping[str, Any], training: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of ``config.json``."""
    return {
        "model_type": MODEL_TYPE,
        "format_version": FORMAT_VERSION,
        "name": name,
        "trained": trained,
        "model": dict(model),
        "frontend": dict(frontend),
        "training": dict(training),
    }


def seal_weights(content: bytes) -> bytes:
    """Give a safetensors file a checksum, and its metadata a fixed order; the library writes them in random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted({**header["__metadata__"], SEAL_KEY: "00000000"}.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    tensors = memoryview(content)[end:]
    crc = zlib.crc32(tensors, zlib.crc32(text))
    sealed = text.replace(_UNSEALED, f'"crc32":"{crc:08x}"'.encode(), 1)
    return b"".join([len(text).to_bytes(8, "little"), sealed, tensors])


def check_weights(file: Path) -> None:
    """Compare a weights file with its checksum. Files of others and of earlier versions have none.

    Raises:
        CheckpointError: the file is damaged.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = opened.read(min(length, _MOST_HEADER_BYTES))
        found = _SEALED.search(header)
        if found is None:
            return
        unsealed = zlib.crc32(header[: found.start()] + _UNSEALED + header[found.end() :])
        if int(found[1], 16) != crc_of_file(opened, 8 + len(header), crc=unsealed):
            raise CheckpointError(f"{file}: damaged: its checksum is another one; fetch or save the model again")


def read_description(text: bytes | str, source: str, inside: str | None = None) -> dict[str, Any]:
    """Parse the content of a ``config.json``.

    Args:
        inside: the description in the weights file, if there is one; a difference is logged.

    Raises:
        CheckpointError: it is no JSON, of another kind, or of a newer version; ``source`` is named.
    """
    try:
        description = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(source, f"not valid JSON ({first_line(error)})") from error
    if not isinstance(description, dict) or description.get("model_type") != MODEL_TYPE:
        raise CheckpointError(f'{source}: expected an object with "model_type": "{MODEL_TYPE}"')
    for key, (kind, expected) in _KEYS.items():
        if not isinstance(description.get(key, kind()), kind):
            raise CheckpointError(f"{source}: {key}: expected {expected}, not {repr(description[key])[:80]}")
    if description.get("format_version", 0) > FORMAT_VERSION:
        raise CheckpointError(f"{source}: format_version is above {FORMAT_VERSION}; install a newer axlstm")
    if unknown := sorted(set(description) - set(_KEYS)):
        raise CheckpointError(
            f"{source}: unknown keys {name_some(key[:80] for key in unknown)}; known are {', '.join(sorted(_KEYS))}"
        )
    if inside is not None and description != (other := parse_json(inside)):
        different = [key for key in _KEYS if description.get(key) != other.get(key)]
        logger.warning("%s: other values than in the weights file beside it: %s", source, ", ".join(different))
    return description
