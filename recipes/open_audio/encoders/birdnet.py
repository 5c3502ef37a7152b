"""Put BirdNET V2.4 (Kahl et al., 2021) behind the HEAR API: birds, frogs, insects, and what is confused with them.

    axlstm hear embed recipes/open_audio/encoders/birdnet.py TASKS OUT

A window of 3 s at 48 kHz, scaled to its own range, becomes two mel spectrograms (0 to 3 kHz and 0.5 to 15 kHz) and 1024
values for each of six pieces of 375 ms; their mean goes to 6522 classes.

A scene embedding is that mean, mean over windows side by side; the last window ends with the clip, of which nothing is
dropped, and a clip below 3 s is filled up with silence, as by BirdNET. A frame embedding is one piece, every 125 ms,
from windows that start 125 ms apart, with silence beyond the clip.

Tasks are read at 16 kHz, as by the models it is compared with, and resampled here: BirdNET then hears nothing
above 8 kHz. ``load_model(sample_rate_hz=48_000)`` is for tasks that have a folder of that rate. Needs ai-edge-litert.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soxr
import torch
from ai_edge_litert.interpreter import Interpreter
from clip_windows import covering_starts, pad_to, times_ms
from encoder_files import default_folder, fingerprint, require_files
from tflite_graph import cut_before
from torch import Tensor, nn
from torch.nn import functional as F

from axlstm.errors import ConfigError

_RATE_HZ = 48_000
_WINDOW_SAMPLES = 3 * _RATE_HZ
_PIECES = 6
_PIECE_SAMPLES = 18_000  # 375 ms
_FIRST_PIECE_SAMPLES = 27_000  # the centre of the first piece: it sees three eighths of the window
_FRAMES_PER_PIECE = 3
_FRAME_SAMPLES = _PIECE_SAMPLES // _FRAMES_PER_PIECE  # 125 ms


class BirdNet(nn.Module):
    """The TensorFlow Lite model, which ends at the pieces of 375 ms, and its windows."""

    scene_embedding_size = 1024
    timestamp_embedding_size = 1024

    def __init__(self, content: bytes, sample_rate_hz: int, source: str) -> None:
        super().__init__()
        self.sample_rate = sample_rate_hz
        cut = cut_before(content, "model/GLOBAL_AVG_POOL/Mean", front_end="MEL_SPEC", source=source)
        self.parameter_count = cut.weights
        self.fingerprint = fingerprint(content, note=f"{sample_rate_hz} Hz")
        self._interpreter = Interpreter(model_content=cut.content, num_threads=torch.get_num_threads())
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def resampled(self, audio: Tensor) -> Tensor:
        """Resample clips ``(B, n)`` from the model's ``sample_rate`` to 48 kHz."""
        if self.sample_rate == _RATE_HZ:
            return audio.float()
        clips = [soxr.resample(clip, self.sample_rate, _RATE_HZ, quality="HQ") for clip in audio.float().numpy()]
        return torch.from_numpy(np.stack(clips))

    def forward(self, windows: Tensor) -> Tensor:
        """Embed the pieces of windows ``(N, 144000)``, ``(N, 6, 1024)``; one by one, as batches take no less time."""
        pieces = []
        for window in windows.numpy():
            self._interpreter.set_tensor(self._input, window[None])
            self._interpreter.invoke()
            pieces.append(torch.from_numpy(self._interpreter.get_tensor(self._output)).reshape(_PIECES, -1))
        return torch.stack(pieces)


def load_model(model_file_path: str = "", sample_rate_hz: int = 16_000) -> BirdNet:
    """Load BirdNET from the folder that it was fetched to.

    Args:
        model_file_path: the folder; ``birdnet`` in `default_folder` if empty.
        sample_rate_hz: of the audio to embed.

    Raises:
        CheckpointError: the folder holds no model, or another one.
        ConfigError: the rate is below 16 kHz or above 48.
    """
    if not 16_000 <= sample_rate_hz <= _RATE_HZ:
        raise ConfigError(f"sample_rate_hz={sample_rate_hz}: expected 16000 to {_RATE_HZ}")
    folder = Path(model_file_path) if model_file_path else default_folder() / "birdnet"
    (path,) = require_files(folder, "model.tflite")
    return BirdNet(path.read_bytes(), sample_rate_hz, str(path)).eval()


def get_scene_embeddings(audio: Tensor, model: BirdNet) -> Tensor:
    """Embed clips ``(B, n)`` at the model's rate as ``(B, 1024)``."""
    audio = pad_to(model.resampled(audio), _WINDOW_SAMPLES)
    starts = covering_starts(audio.shape[1], _WINDOW_SAMPLES)
    means = [model(audio[:, start : start + _WINDOW_SAMPLES]).mean(dim=1) for start in starts]  # of (B, 1024)
    return torch.stack(means).mean(dim=0)


def get_timestamp_embeddings(audio: Tensor, model: BirdNet) -> tuple[Tensor, Tensor]:
    """Embed ``(B, n)`` at the model's rate as ``(B, T, 1024)``, ``(B, T)`` in ms: every 125 ms, the first at 0."""
    audio = model.resampled(audio)
    count = audio.shape[1] // _FRAME_SAMPLES + 1
    windows = -(-count // (_FRAMES_PER_PIECE * _PIECES))  # that follow each other
    step = _PIECES * _PIECE_SAMPLES
    needed = (_FRAMES_PER_PIECE - 1) * _FRAME_SAMPLES + (windows - 1) * step + _WINDOW_SAMPLES
    padded = pad_to(F.pad(audio, (_FIRST_PIECE_SAMPLES, 0)), needed)
    interleaved = [
        torch.cat([model(padded[:, at : at + _WINDOW_SAMPLES]) for at in range(first, first + windows * step, step)], 1)
        for first in range(0, _FRAMES_PER_PIECE * _FRAME_SAMPLES, _FRAME_SAMPLES)
    ]  # of (B, P, 1024): the pieces around every third frame
    frames = torch.stack(interleaved, dim=2).flatten(1, 2)[:, :count]
    return frames, times_ms(count, 1000 * _FRAME_SAMPLES / _RATE_HZ, len(audio))
