"""One small model of each family, exported once in each format."""

from __future__ import annotations

from pathlib import Path

import pytest

import axlstm

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}


def small(family: str = "axlstm", **options: object) -> axlstm.Embedder:
    return axlstm.create_model(f"{family}-tiny", depth=2, width=32, heads=2, **options)


@pytest.fixture(scope="session")
def embedder() -> axlstm.Embedder:
    return small()


@pytest.fixture(scope="session", params=SUFFIXES)
def exported(request: pytest.FixtureRequest, embedder: axlstm.Embedder, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / f"model{SUFFIXES[request.param]}"
    embedder.export(path, request.param)
    return path


@pytest.fixture(scope="session")
def model(exported: Path) -> axlstm.ExportedModel:
    return axlstm.ExportedModel(exported)
