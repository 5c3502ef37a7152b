"""Compute an encoder in OpenVINO: windows to frame embeddings, as arrays. This module loads no torch."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.engines.openvino_graph import build_graph
from axlstm.engines.runtimes import Session, import_openvino, openvino_core, openvino_settings, serve_openvino
from axlstm.model.config import ModelConfig
from axlstm.options import LayoutName
from axlstm.threads import count_cores, on_all_cores

_FEW_WINDOWS = 4  # for each core: up to here they are computed one after another, which takes less memory

_STEP_BY_STEP = {"SNIPPETS_MODE": "DISABLE"}
"""Elementwise steps as they are, not compiled in groups: as fast, and the start takes 0.1 s and 20 MB less."""

Compile = Callable[[Mapping[str, Any]], Any]
"""Settings of OpenVINO to a compiled graph."""


class OpenVINOEncoder:
    """Turns windows into frame embeddings on all cores. It compiles when it is first used.

    Args:
        compile_graph: makes what computes.
        precision: float32 or bfloat16.
        config: of the model.
    """

    def __init__(self, compile_graph: Compile, precision: str, config: ModelConfig) -> None:
        self._compile, self.precision, self.config = compile_graph, precision, config
        self._cores = count_cores()  # here: a session may be made in a thread, which has one
        self._lock = Lock()
        self._callers = 0
        self._session: Session | None = None

    def encode(self, windows: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Compute the frame embeddings ``(T, F)`` of windows ``(frames, bands)``."""
        cores = count_cores()
        if len(windows) <= _FEW_WINDOWS * cores and self._callers <= 1:
            session = self.session(1)
            return [self.encode_one(session, window) for window in windows]
        session = self.session(cores)
        return on_all_cores(partial(self.encode_one, session), windows)

    def session(self, callers: int) -> Session:
        """Return a session for so many threads, which share all cores; it replaces one for fewer."""
        with self._lock:
            if self._session is None or callers > self._callers:
                self._session = serve_openvino(self.compiled(callers))
                self._callers = callers
            return self._session

    def compiled(self, callers: int) -> Any:
        """Compile for so many threads."""
        settings = openvino_settings(self.precision, self._cores, callers)
        try:
            return self._compile({**settings, **_STEP_BY_STEP})
        except RuntimeError:  # a version without that option, which is not documented, refuses it
            return self._compile(settings)

    def encode_one(self, session: Session, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the frame embeddings ``(T, F)`` of a window, which may be shorter than the model's."""
        patches = len(window) // self.config.patch_frames
        if len(window) < self.config.window_frames:
            window = np.pad(window, ((0, self.config.window_frames - len(window)), (0, 0)))
        frames: NDArray[np.float32] = session.run(window[None], np.array([patches]))[0][0, :patches]
        return frames


def from_weights(
    weights: Mapping[str, NDArray[Any]],
    config: ModelConfig,
    layout: LayoutName,
    layers: Sequence[int] | None,
    precision: str,
) -> OpenVINOEncoder:
    """Make the encoder of a model's weights; see `axlstm.engines.openvino_graph.build_graph`."""
    graph = build_graph(weights, config, layout, layers)

    def compile_graph(settings: Mapping[str, Any]) -> Any:
        return openvino_core().compile_model(graph, "CPU", dict(settings))

    return OpenVINOEncoder(compile_graph, precision, config)


def from_content(content: NDArray[np.uint8], config: ModelConfig, precision: str) -> OpenVINOEncoder:
    """Make an encoder of what `content_of` gave, on a processor of the same kind."""

    def compile_graph(settings: Mapping[str, Any]) -> Any:
        tensor = import_openvino().Tensor(content, shared_memory=True)
        return openvino_core().import_model(tensor, "CPU", dict(settings))

    return OpenVINOEncoder(compile_graph, precision, config)


def content_of(encoder: OpenVINOEncoder) -> bytes:
    """Return the compiled graph with its weights, for `from_content`."""
    exported = encoder.compiled(1).export_model()
    return exported.getvalue() if isinstance(exported, io.BytesIO) else bytes(exported)
