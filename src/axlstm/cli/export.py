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
    encoder: str | None = None,
    revision: Revision = None,
) -> int:
    """Write a model with its front end for another runtime: waveform in, embeddings out.

    Of a classifier, its encoder goes in too: waveform in, probabilities out. The file is read back and compared with
    the model on real recordings before it is put in place.

    Args:
        model: as `axlstm embed --model` takes it, or the folder of a classifier.
        out: .onnx, .xml (OpenVINO) or .pt2 (torch-export).
        format: onnx, openvino or torch-export.
        layers: hidden states to embed with, in place of the last layer's output.
        encoder: where a classifier's encoder is, if it is not where it was when the classifier was trained.
    """
    from axlstm.collection.classifiers.classifier import DESCRIPTION, load_classifier
    from axlstm.collection.detections.exporting import export_classifier
    from axlstm.errors import ConfigError
    from axlstm.export.write import export_model
    from axlstm.hub import load_model

    def tell(step: str) -> None:
        print(f"axlstm: {step}", file=sys.stderr, flush=True)

    if (Path(model) / DESCRIPTION).is_file():
        if layers or revision is not None:
            raise ConfigError(f"{model} is a classifier, whose encoder has its layers and revision already")
        agreement = export_classifier(load_classifier(model), out, format, model=encoder, on_step=tell)
        what = "probabilities"
    else:
        if encoder is not None:
            raise ConfigError(f"--encoder {encoder}: {model} is no classifier")
        agreement = export_model(load_model(model, revision=revision, layers=layers or None), out, format, tell)
        what = "embeddings"
    print(
        f"{out}: {format}; {what} within {agreement.exported:.1e} of exact arithmetic on bundled recordings "
        f"(the model itself: {agreement.embedder:.1e})"
    )
    return 0
