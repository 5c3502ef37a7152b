"""Write a model for another runtime: ``axlstm export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from axlstm.cli.embed import Revision
from axlstm.options import ExportFormat


def export(
    model: Positional[str],
    out: Positional[Path],
    format: Annotated[ExportFormat, arg(aliases=["-f"])] = "onnx",
    layers: tuple[int, ...] = (),
    revision: Revision = None,
) -> int:
    """Write a model with its front end for another runtime: waveform in, embeddings out.

    The file is read back and compared with the model on real recordings before it is put in place.

    Args:
        model: as `axlstm embed --model` takes it.
        out: .onnx, .xml (OpenVINO) or .pt2 (torch-export).
        format: onnx, openvino or torch-export.
        layers: hidden states to embed with, in place of the last layer's output.
    """
    from axlstm.export.write import export_model
    from axlstm.hub import load_model

    def tell(step: str) -> None:
        print(f"axlstm: {step}", file=sys.stderr, flush=True)

    agreement = export_model(load_model(model, revision=revision, layers=layers or None), out, format, tell)
    print(
        f"{out}: {format}; embeddings within {agreement.exported:.1e} of exact arithmetic on bundled recordings "
        f"(the embedder itself: {agreement.embedder:.1e})"
    )
    return 0
