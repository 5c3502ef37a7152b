"""A HEAR-API module whose frames tell the time: (t, 1 - t, loudness near t, 0) every 25 ms, t in seconds."""

import torch
from torch import Tensor, nn

HOP_MS = 25.0


class Clock(nn.Module):
    sample_rate = 8_000
    scene_embedding_size = 2
    timestamp_embedding_size = 4

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.weights = weights
        self.fingerprint = f"clock {weights}"


def load_model(model_file_path: str = "") -> Clock:
    return Clock(model_file_path)


def get_timestamp_embeddings(audio: Tensor, model: Clock) -> tuple[Tensor, Tensor]:
    hop = int(model.sample_rate * HOP_MS / 1000)
    if model.weights == "picky" and audio.shape[1] < 3 * model.sample_rate:
        raise RuntimeError("clips below 3 s are beneath me")
    levels = audio.unfold(1, hop, hop).square().mean(-1)  # (B, T)
    times_ms = (torch.arange(levels.shape[1]) + 0.5) * HOP_MS
    if model.weights == "stretching":  # spread over the clip's length: another hop for each length
        times_ms = times_ms * (1 + audio.shape[1] / 1e6)
    seconds = (times_ms / 1000).expand(len(audio), -1)
    frames = torch.stack([seconds, 1 - seconds, torch.log(levels + 1e-6), 0 * seconds], dim=-1)
    return (frames * torch.nan if model.weights == "nan" else frames), times_ms.expand(len(audio), -1)


def get_scene_embeddings(audio: Tensor, model: Clock) -> Tensor:
    seconds = torch.full((len(audio),), audio.shape[1] / model.sample_rate)
    return torch.stack([seconds, torch.log(audio.square().mean(1) + 1e-6)], dim=-1)
