"""Compute the encoder in another runtime than torch: windows in, frame embeddings out, both tensors."""

from __future__ import annotations

import logging

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from axlstm.audio.frontend import FrontendConfig
from axlstm.audio.logmel import array_twin, mel_filterbank
from axlstm.audio.read import load_audio
from axlstm.engines.graph import PortableEncoder
from axlstm.engines.kept import KeptGraph, cache_folder, drop_graph, graph_key, keep_graph, load_graph
from axlstm.engines.onnx import check_exporter, record, to_onnx
from axlstm.engines.openvino import OpenVINOEncoder, content_of, from_content, from_weights
from axlstm.engines.runtimes import open_session, refuse_fork_of_openvino
from axlstm.errors import EngineError, first_line
from axlstm.model.frame_encoder import Encode, FrameEncoder, cut_windows
from axlstm.model.layouts import PublishedLayout
from axlstm.options import LayoutName, Precision, Runtime
from axlstm.samples import sample_path
from axlstm.threads import count_cores

logger = logging.getLogger(__name__)

MOST_DIFFERENCE = 1e-4
"""Largest difference of a frame embedding from torch's, in float32."""

LEAST_COSINE = 0.98
"""Lowest cosine of a bfloat16 frame embedding to torch's in float32. Random weights come near to it."""

_CHECK_SECONDS = 1.0


def compile_encoder(frame_encoder: FrameEncoder, engine: Runtime, precision: Precision) -> Encode:
    """Compile a frame encoder, in float32 on the CPU, for an engine that computes in ``precision``.

    As many threads as there are cores may call the function at the same time; each computes on one core.

    Raises:
        ConfigError: a library that is missing, or a model that the engine cannot compute.
    """
    if engine == "openvino":
        refuse_fork_of_openvino()
        return _in_tensors(_from_frame_encoder(frame_encoder, precision))
    check_exporter()
    config, threads = frame_encoder.config, count_cores()
    example = torch.zeros(1, config.window_frames, config.mel_bands)
    patches = torch.tensor([config.grid_frames])
    program = record(PortableEncoder(frame_encoder), (example, patches), {})
    onnx = to_onnx(program, {"window": [None] * 3, "patches": [None]}, {"frames": [None] * 3}, {})
    session = open_session(onnx, engine, precision=precision, threads=threads, callers=threads)

    def encode(windows: Tensor) -> Tensor:
        real = windows.shape[1] // config.patch_frames  # patches of time
        filled = F.pad(windows, (0, 0, 0, config.window_frames - windows.shape[1])).numpy()
        patches = np.array([real])
        frames = [session.run(window[None], patches)[0][:, :real] for window in filled]
        return torch.from_numpy(np.concatenate(frames))  # (N, T, F)

    return encode


def open_checked(
    frame_encoder: FrameEncoder, frontend: FrontendConfig, weights: str, precision: Precision
) -> tuple[Encode, float]:
    """Open a frame encoder in OpenVINO: as it was kept, or compiled, checked against torch and kept.

    Args:
        frame_encoder: in float32, on the CPU.
        weights: the fingerprint of weights and configuration.

    Returns:
        the function, as of `compile_encoder`, and the difference that was found when it was checked: see `KeptGraph`.

    Raises:
        EngineError: OpenVINO does not work here, or does not give torch's numbers.
    """
    try:
        key = graph_key(weights, _layout_name(frame_encoder), frame_encoder.layers, precision)
        kept = load_graph(key)
        if kept is not None:
            try:
                encoder = from_content(kept.content, frame_encoder.config, precision)
                encoder.session(count_cores())  # now, so that an error is found here
                return _in_tensors(encoder), kept.difference
            except Exception as error:  # of another build of OpenVINO, for example
                logger.info("what was compiled before does not work (%s): it is compiled again", first_line(error))
                drop_graph(key)
        encoder = _from_frame_encoder(frame_encoder, precision)
        difference = _check(encoder, frame_encoder, frontend)
        if cache_folder() is not None:
            _keep(key, encoder, frontend, difference)
    except EngineError:
        raise
    except Exception as error:  # of a runtime, which has errors of its own
        raise EngineError(f"OpenVINO does not work here ({first_line(error)})") from error
    return _in_tensors(encoder), difference


def _keep(key: str, encoder: OpenVINOEncoder, frontend: FrontendConfig, difference: float) -> None:
    """Keep a compiled graph if that is possible: one that works is used either way."""
    try:
        keep_graph(key, _as_kept(encoder, frontend, difference))
    except Exception as error:
        logger.info("the compiled graph is not kept (%s)", first_line(error))


def _from_frame_encoder(frame_encoder: FrameEncoder, precision: Precision) -> OpenVINOEncoder:
    states = frame_encoder.encoder.state_dict().items()
    weights = {f"encoder.{name}": value.detach().float().cpu().numpy() for name, value in states}
    layout = _layout_name(frame_encoder)
    return from_weights(weights, frame_encoder.config, layout, frame_encoder.layers, precision)


def _layout_name(frame_encoder: FrameEncoder) -> LayoutName:
    return "published" if isinstance(frame_encoder.layout, PublishedLayout) else "time"


def _as_kept(encoder: OpenVINOEncoder, frontend: FrontendConfig, difference: float) -> KeptGraph:
    content = np.frombuffer(content_of(encoder), dtype=np.uint8)
    return KeptGraph(content, mel_filterbank(frontend).numpy(), difference)


def _in_tensors(encoder: OpenVINOEncoder) -> Encode:
    cores = count_cores()  # here: the function is called in threads, each of which has one

    def encode(windows: Tensor) -> Tensor:
        session = encoder.session(cores)
        return torch.from_numpy(np.stack([encoder.encode_one(session, window) for window in windows.numpy()]))

    return encode


def _check(encoder: OpenVINOEncoder, frame_encoder: FrameEncoder, frontend: FrontendConfig) -> float:
    """Compare a second of speech with torch, behind the front end that both have.

    Raises:
        EngineError: the numbers are other ones.
    """
    waveform = load_audio(sample_path("speech_it_queue"))[: round(_CHECK_SECONDS * frontend.sample_rate_hz)]
    layout, config = frame_encoder.layout, frame_encoder.config
    with torch.no_grad():
        logmel = array_twin(frontend)(torch.from_numpy(waveform))
        windows = cut_windows(layout, logmel, len(waveform), config)
        exact = frame_encoder(torch.stack(list(windows[:1])))[0].numpy()  # (T, F)
    found = encoder.encode([windows[0].numpy()])[0]  # (T, F)
    real = min(len(exact), layout.frame_count(len(waveform)))
    exact, found = exact[:real], found[:real]
    if encoder.precision == "float32":
        difference, most = float(np.abs(found - exact).max()), MOST_DIFFERENCE
    else:
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(exact, axis=1)
        difference, most = 1 - float(((found * exact).sum(axis=1) / lengths).min()), 1 - LEAST_COSINE
    if not difference <= most:  # NaN is none
        raise EngineError(f"OpenVINO's embeddings differ from torch's by {difference:.1e}, more than {most:.0e}")
    return difference
