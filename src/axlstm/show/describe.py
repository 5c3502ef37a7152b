"""Describe a model, a sound file or a file of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from axlstm.audio.find import EXTENSIONS
from axlstm.audio.logmel import FrontendConfig
from axlstm.audio.open import is_sound
from axlstm.audio.read import file_facts
from axlstm.errors import CheckpointError
from axlstm.hub import load_model
from axlstm.model.config import PRESETS
from axlstm.model.frame_encoder import TimeLayout
from axlstm.options import LayoutName
from axlstm.store.formats import read_paths, read_settings

_TABLES = (".parquet", ".npz", ".csv")


def describe(source: str, layout: LayoutName = "time", revision: str | None = None) -> dict[str, Any]:
    """Collect facts about ``source`` by name, in the order to show them.

    Args:
        source: a file of embeddings, a sound, or a model. A sound may have any name.
        layout: layout of the model's frames.
        revision: branch, tag or commit of a Hub id.

    Raises:
        AxlstmError: ``source`` is no model, sound or file of embeddings, or is damaged.
        FileNotFoundError: ``source`` is named like a sound or embeddings, but there is no such file.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if (suffix in EXTENSIONS or suffix in _TABLES) and not path.is_file():
        raise FileNotFoundError(f"{source}: no such file")
    if suffix in _TABLES and revision is None:
        settings = read_settings(path)
        kinds = [kind for kind in ("scene", "frames") if getattr(settings, kind)]
        return {
            "kind": "embeddings",
            "clips": len(read_paths(path)),
            "keeps": " and ".join(kinds),
            "size": settings.size,
            "model": settings.model,
            "fingerprint": settings.fingerprint,
        }
    if suffix in EXTENSIONS and revision is None:
        return _describe_sound(path)
    try:
        embedder = load_model(source, layout=layout, revision=revision)
    except CheckpointError:
        if path.is_file() and is_sound(path):
            return _describe_sound(path)
        raise
    return {
        "kind": "model",
        "name": embedder.name,
        "trained": "yes" if embedder.trained else "no: random weights",
        "parameters": f"{embedder.parameter_count:,}",
        "embedding size": embedder.scene_embedding_size,
        "sample rate": f"{embedder.sample_rate} Hz",
        "layout": layout,
        "fingerprint": embedder.fingerprint,
        **embedder.config.to_dict(),
        "training": embedder.checkpoint.training or "unknown",
    }


def _describe_sound(path: Path) -> dict[str, Any]:
    facts, config = file_facts(path), FrontendConfig()
    samples = round(facts["duration_s"] * config.sample_rate_hz)
    if samples < config.window_samples:
        return {
            "kind": "sound",
            **facts,
            "frame embeddings": f"none: below {1000 * config.window_samples / config.sample_rate_hz:g} ms",
        }
    frames = TimeLayout(next(iter(PRESETS.values())), config).frame_count(samples)
    return {"kind": "sound", **facts, "frame embeddings": frames}
