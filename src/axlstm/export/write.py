"""Export: write a model, read it back in its runtime, compare it with the embedder, and only then put it in place."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from axlstm.errors import ConfigError, ExportError
from axlstm.export.check import TOLERANCE, Agreement, measure_agreement
from axlstm.export.exported import SUFFIXES, ExportedModel
from axlstm.export.formats import check_exporter, write_format
from axlstm.export.runtimes import check_engine

if TYPE_CHECKING:
    from axlstm.embedder import Embedder


def export_model(embedder: Embedder, path: Path, kind: str) -> Agreement:
    """Write ``embedder`` to ``path`` as ``kind``; see `Embedder.export`."""
    if kind not in SUFFIXES:
        raise ConfigError(f"format={kind!r}: expected one of {', '.join(SUFFIXES)}")
    if path.suffix != SUFFIXES[kind]:
        raise ConfigError(f"{path}: expected a name that ends with {SUFFIXES[kind]} for format={kind!r}")
    if embedder.model.encoder.norm.weight.dtype != torch.float32 or embedder.device.type != "cpu":
        raise ConfigError("only a float32 embedder on the CPU is exported: the file's runtime chooses what else")
    if kind != "torch-export":
        check_exporter()
        check_engine("openvino" if kind == "openvino" else "onnxruntime")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}: {error.filename})") from error
    with beside as folder:
        written = Path(folder) / path.name
        write_format(embedder, written, kind)
        agreement = measure_agreement(ExportedModel(written), embedder)
        if not agreement.holds:
            raise ExportError(
                f"{path}: not written, since the exported model's embeddings differ from the embedder's by up to "
                f"{agreement.exported:.1e}, more than {TOLERANCE:g} (float32 itself: {agreement.embedder:.1e})"
            )
        # The weights first: with the file of the given name the model is complete.
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == path.name):
            file.replace(path.with_name(file.name))
    return agreement
