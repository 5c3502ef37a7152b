"""Put openWakeWord's features (Google's speech_embedding, Lin et al. 2020) behind the HEAR API: words.

    axlstm hear embed recipes/open_audio/encoders/openwakeword.py TASKS OUT

Audio of 16 kHz becomes 32 mel bands in decibels every 10 ms, by the ONNX model that comes with it, and 76 frames of
them (0.78 s) 96 values, every 80 ms, by a second one.

A scene embedding is the mean over the windows that lie inside the clip, those of openWakeWord's ``embed_clips``; a clip
shorter than one window has silence around it, as in openWakeWord's ``predict_clip``. A frame embedding is the window
around it, every 80 ms, with silence beyond the clip. Needs onnxruntime, onnx.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from clip_windows import times_ms
from encoder_files import default_folder, fingerprint, require_files
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from axlstm.errors import CheckpointError

_FRAME_SAMPLES = 512
_HOP_SAMPLES = 160
_WINDOW_FRAMES = 76
_STEP_FRAMES = 8  # 80 ms
_WINDOW_SAMPLES = (_WINDOW_FRAMES - 1) * _HOP_SAMPLES + _FRAME_SAMPLES
_WINDOWS_AT_ONCE = 64


class SpeechEmbedding(nn.Module):
    """Both ONNX models and their windows."""

    sample_rate = 16_000
    scene_embedding_size = 96
    timestamp_embedding_size = 96

    def __init__(self, mel: bytes, embedding: bytes) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
        self._mel, self._embedding = (
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            for model in (mel, embedding)
        )
        self.parameter_count = count_weights(embedding)
        self.fingerprint = fingerprint(mel, embedding)

    def forward(self, audio: Tensor) -> Tensor:
        """Embed the windows ``(B, T, 96)`` inside clips ``(B, n)`` of at least one window."""
        embedded = [torch.from_numpy(self._embed(clip)) for clip in to_int16(audio).numpy()]
        return torch.stack(embedded)

    def _embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        # One clip at a time: the model counts decibels from the loudest value of its batch.
        (decibels,) = self._mel.run(None, {"input": samples[None]})  # (1, 1, frames, 32)
        mel = decibels[0, 0] / 10.0 + 2.0  # to the scale that the embedding was trained on
        windows = np.lib.stride_tricks.sliding_window_view(mel, _WINDOW_FRAMES, axis=0)[::_STEP_FRAMES]  # (T, 32, 76)
        inputs = np.ascontiguousarray(windows.transpose(0, 2, 1)[..., None])  # (T, 76, 32, 1)
        parts = range(0, len(inputs), _WINDOWS_AT_ONCE)
        outputs = [self._embedding.run(None, {"input_1": inputs[i : i + _WINDOWS_AT_ONCE]})[0] for i in parts]
        return np.concatenate(outputs).reshape(len(inputs), -1)


def count_weights(model: bytes) -> int:
    """Count the float32 weights in an ONNX model."""
    tensors = onnx.load_model_from_string(model).graph.initializer
    return sum(math.prod(tensor.dims) for tensor in tensors if tensor.data_type == onnx.TensorProto.FLOAT)


def to_int16(audio: Tensor) -> Tensor:
    """Scale samples in [-1, 1] to the 16-bit numbers that the model was trained on, as float32."""
    return (audio.float() * 32768.0).round().clamp(-32768.0, 32767.0)


def load_model(model_file_path: str = "") -> SpeechEmbedding:
    """Load the models from their folder; ``openwakeword`` in `default_folder` if the path is empty.

    Raises:
        CheckpointError: the folder holds no ONNX models.
    """
    folder = Path(model_file_path) if model_file_path else default_folder() / "openwakeword"
    mel, embedding = require_files(folder, "melspectrogram.onnx", "embedding_model.onnx")
    try:
        return SpeechEmbedding(mel.read_bytes(), embedding.read_bytes()).eval()
    except Exception as error:  # onnxruntime's errors have no class in common
        raise CheckpointError(f"{folder} does not hold openWakeWord's models: {error}") from error


def get_scene_embeddings(audio: Tensor, model: SpeechEmbedding) -> Tensor:
    """Embed clips ``(B, n)`` at 16 kHz as ``(B, 96)``."""
    lacking = max(0, _WINDOW_SAMPLES - audio.shape[1])
    return model(F.pad(audio, (lacking // 2, lacking - lacking // 2))).mean(dim=1)


def get_timestamp_embeddings(audio: Tensor, model: SpeechEmbedding) -> tuple[Tensor, Tensor]:
    """Embed clips ``(B, n)`` at 16 kHz as ``(B, T, 96)``, ``(B, T)`` in ms: every 80 ms, the first at 0."""
    frames = model(F.pad(audio, (_WINDOW_SAMPLES // 2, _WINDOW_SAMPLES // 2)))
    hop_ms = 1000 * _STEP_FRAMES * _HOP_SAMPLES / model.sample_rate
    return frames, times_ms(frames.shape[1], hop_ms, len(audio))
