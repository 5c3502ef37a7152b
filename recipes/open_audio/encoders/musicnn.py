"""Put musicnn (Pons & Serra, 2019) behind the HEAR API: a convolutional tagger of music, in torch.

    axlstm hear embed recipes/open_audio/encoders/musicnn.py TASKS OUT

Audio of 16 kHz becomes 96 log-mel bands every 16 ms. Filters over most of the frequencies and filters over time
(together 561 channels) and three layers behind them (3 x 64) give 753 channels a frame, of which maximum and mean
over a patch of 3 s go through a layer of 200 to the tags (Pons et al., *End-to-end learning for music audio tagging
at scale*, 2018).

A scene embedding is that layer's output of 200, musicnn's own ``penultimate``, mean over patches side by side; the
last patch ends with the clip, of which nothing is dropped. A clip below 3 s is one short patch: maximum and mean do
not ask for a length, and neither silence nor repetition is put in. A frame embedding is the 753 channels, mean over
48 ms, before anything is pooled over the clip.

Two sets of weights are fetched: ``MTT`` (MagnaTagATune: tags of instruments; musicnn's default, and ours) and ``MSD``
(Million Song Dataset: tags of genre and mood), named as ``musicnn.py@FOLDER/musicnn/MSD``. The checkpoint is read
without TensorFlow.

musicnn rounds its spectrogram to float16 at this point, where it overflows on loud tones; it stays float32 here.
"""

from __future__ import annotations

from pathlib import Path

import torch
from clip_windows import covering_starts, in_batches, pad_to, times_ms
from encoder_files import default_folder, fingerprint, require_files
from numpy.typing import NDArray
from slaney_mel import MelPower
from tensor_bundle import read_checkpoint
from torch import Tensor, nn
from torch.nn import functional as F

from axlstm.errors import CheckpointError

_HOP_SAMPLES = 256
_MEL_BANDS = 96
_PATCH_FRAMES = 187  # 3 s
_TEMPORAL_FRAMES = (128, 64, 32)  # of the filters over time
_FRAMES_PER_STEP = 3  # 48 ms
_CONTEXT_FRAMES = 73  # 64 of the longest filter over time, 3 of each of the three layers behind
_CHUNK_FRAMES = 1024


class _Convolution(nn.Module):
    """Convolution, ReLU, then batch normalisation."""

    def __init__(self, convolution: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        norm = nn.BatchNorm1d if isinstance(convolution, nn.Conv1d) else nn.BatchNorm2d
        self.norm = norm(convolution.out_channels, eps=1e-3)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(F.relu(self.convolution(features)))


class MusiCNN(nn.Module):
    """The network and its patches."""

    sample_rate = 16_000
    scene_embedding_size = 200
    timestamp_embedding_size = 753
    fingerprint = "random weights"

    def __init__(self, tags: int = 50) -> None:
        super().__init__()
        self.mel = MelPower(self.sample_rate, 2 * _HOP_SAMPLES, _HOP_SAMPLES, _MEL_BANDS)
        self.input_norm = nn.BatchNorm2d(1, eps=1e-3)
        self.timbral = nn.ModuleList(
            _Convolution(nn.Conv2d(1, 204, (7, height), padding=(3, 0))) for height in (38, 67)
        )
        self.temporal = nn.ModuleList(_Convolution(nn.Conv2d(1, 51, (length, 1))) for length in _TEMPORAL_FRAMES)
        self.middle = nn.ModuleList(_Convolution(nn.Conv1d(width, 64, 7, padding=3)) for width in (561, 64, 64))
        self.pooled_norm = nn.BatchNorm1d(2 * 753, eps=1e-3)
        self.dense = nn.Linear(2 * 753, 200)
        self.dense_norm = nn.BatchNorm1d(200, eps=1e-3)
        self.tags = nn.Linear(200, tags)

    def log_mel(self, audio: Tensor) -> Tensor:
        """Compute the log-mel bands ``(B, frames, 96)`` of clips ``(B, n)``."""
        return torch.log10(1.0 + 10_000.0 * self.mel(audio))

    def channels(self, log_mel: Tensor) -> Tensor:
        """Compute all layers' channels ``(B, 753, frames)`` of bands ``(B, frames, 96)``."""
        normed = self.input_norm(log_mel.unsqueeze(1))  # (B, 1, frames, 96)
        front = [filters(normed).amax(dim=3) for filters in self.timbral]
        for length, filters in zip(_TEMPORAL_FRAMES, self.temporal, strict=True):
            padded = F.pad(normed, (0, 0, (length - 1) // 2, length // 2))  # TensorFlow's "same"
            front.append(filters(padded).amax(dim=3))
        layers = [torch.cat(front, dim=1)]  # (B, 561, frames)
        layers.append(self.middle[0](layers[0]))  # (B, 64, frames)
        for layer in self.middle[1:]:
            layers.append(layers[-1] + layer(layers[-1]))
        return torch.cat(layers, dim=1)

    def channels_of_long(self, log_mel: Tensor) -> Tensor:
        """Compute `channels` in pieces with the context of their filters, so that long clips fit into memory."""
        frames = log_mel.shape[1]
        pieces = []
        for start in range(0, frames, _CHUNK_FRAMES):
            end = min(frames, start + _CHUNK_FRAMES)
            seen_from, seen_to = max(0, start - _CONTEXT_FRAMES), min(frames, end + _CONTEXT_FRAMES)
            piece = in_batches(self.channels, log_mel[:, seen_from:seen_to], 1)
            pieces.append(piece[:, :, start - seen_from : end - seen_from])
        return torch.cat(pieces, dim=2)

    def penultimate(self, patches: Tensor) -> Tensor:
        """Embed patches ``(N, frames, 96)`` as ``(N, 200)``."""
        channels = self.channels(patches)  # (N, 753, frames)
        pooled = torch.stack([channels.amax(dim=2), channels.mean(dim=2)], dim=2).flatten(1)  # (N, 1506)
        return self.dense_norm(F.relu(self.dense(self.pooled_norm(pooled))))

    def patches(self, audio: Tensor) -> Tensor:
        """Cut clips ``(B, n)`` into patches ``(B, P, frames, 96)``: 187 frames side by side, or one short one."""
        log_mel = self.log_mel(pad_to(audio, _FRAMES_PER_STEP * _HOP_SAMPLES))
        starts = covering_starts(log_mel.shape[1], _PATCH_FRAMES)
        return torch.stack([log_mel[:, start : start + _PATCH_FRAMES] for start in starts], dim=1)


def load_model(model_file_path: str = "") -> MusiCNN:
    """Load musicnn from a folder with a fetched checkpoint; ``musicnn/MTT`` in `default_folder` if the path is empty.

    Raises:
        CheckpointError: the folder holds no checkpoint, or one of another model.
    """
    folder = Path(model_file_path) if model_file_path else default_folder() / "musicnn" / "MTT"
    index, data = require_files(folder, "model.index", "model.data-00000-of-00001")
    model = MusiCNN()
    _fill(model, read_checkpoint(folder / "model"), str(folder))
    model.fingerprint = fingerprint(index.read_bytes(), data.read_bytes())
    return model.eval().requires_grad_(False)


def get_scene_embeddings(audio: Tensor, model: MusiCNN) -> Tensor:
    """Embed clips ``(B, n)`` at 16 kHz as ``(B, 200)``."""
    patches = model.patches(audio)  # (B, P, frames, 96)
    embeddings = in_batches(model.penultimate, patches.flatten(0, 1), 1)  # more leave the cache
    return embeddings.unflatten(0, patches.shape[:2]).mean(dim=1)


def get_timestamp_embeddings(audio: Tensor, model: MusiCNN) -> tuple[Tensor, Tensor]:
    """Embed clips ``(B, n)`` at 16 kHz as ``(B, T, 753)``, ``(B, T)`` in ms: every 48 ms, the first at 16."""
    hop_ms = 1000 * _HOP_SAMPLES / model.sample_rate
    channels = model.channels_of_long(model.log_mel(pad_to(audio, _FRAMES_PER_STEP * _HOP_SAMPLES)))
    frames = F.avg_pool1d(channels, _FRAMES_PER_STEP).transpose(1, 2)  # (B, T, 753)
    centres = times_ms(frames.shape[1], _FRAMES_PER_STEP * hop_ms, len(audio), (_FRAMES_PER_STEP - 1) / 2 * hop_ms)
    return frames, centres.to(audio.device)


def _fill(model: MusiCNN, variables: dict[str, NDArray], source: str) -> None:
    """Copy a checkpoint's variables, which TensorFlow numbered in the order the layers were made."""
    convolutions = [*model.timbral, *model.temporal, *model.middle]
    norms = [model.input_norm, *(layer.norm for layer in convolutions), model.pooled_norm, model.dense_norm]
    named: dict[str, Tensor] = {}
    for i, layer in enumerate(convolutions):
        named[f"conv2d{_suffix(i)}/kernel"] = layer.convolution.weight
        named[f"conv2d{_suffix(i)}/bias"] = layer.convolution.bias
    for i, dense in enumerate((model.dense, model.tags)):
        named[f"dense{_suffix(i)}/kernel"] = dense.weight
        named[f"dense{_suffix(i)}/bias"] = dense.bias
    for i, norm in enumerate(norms):
        parts = {"gamma": norm.weight, "beta": norm.bias, "moving_mean": norm.running_mean}
        for part, tensor in (parts | {"moving_variance": norm.running_var}).items():
            named[f"batch_normalization{_suffix(i)}/{part}"] = tensor
    with torch.no_grad():
        for name, tensor in named.items():
            if name not in variables:
                raise CheckpointError(f"{source} has no {name}: expected a checkpoint of musicnn")
            value = torch.from_numpy(variables[name].copy())
            if value.ndim == 4:  # (time, frequency, in, out); the middle layers' frequencies are channels here
                value = value.permute(3, 2, 0, 1) if tensor.ndim == 4 else value.squeeze(2).permute(2, 1, 0)
            elif value.ndim == 2:  # (in, out)
                value = value.T
            if value.shape != tensor.shape:
                raise CheckpointError(f"{source}: {name} is {tuple(value.shape)}, expected {tuple(tensor.shape)}")
            tensor.copy_(value)


def _suffix(i: int) -> str:
    return f"_{i}" if i else ""
