"""A small HEAR-API module: spectral bands every 40 ms through a fixed random projection, as the kit was run with."""

import torch
from torch import Tensor, nn

HOP_MS = 40
WINDOW = 1280


class RandomBands(nn.Module):
    sample_rate = 16_000
    scene_embedding_size = 192
    timestamp_embedding_size = 192

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.projection = nn.Parameter(torch.randn(WINDOW // 2 + 1, 192, generator=generator) / 25)


def load_model(model_file_path: str = "") -> RandomBands:  # noqa: ARG001 (the HEAR API names it)
    return RandomBands()


def get_timestamp_embeddings(audio: Tensor, model: RandomBands) -> tuple[Tensor, Tensor]:
    hop = model.sample_rate * HOP_MS // 1000
    spectrum = torch.stft(audio, WINDOW, hop, window=torch.hann_window(WINDOW), center=True, return_complex=True)
    embeddings = torch.log(spectrum.abs().transpose(1, 2) + 1e-4) @ model.projection
    times_ms = torch.arange(embeddings.shape[1], dtype=torch.float32) * HOP_MS
    inside = times_ms <= 1000 * audio.shape[1] / model.sample_rate
    return embeddings[:, inside], times_ms[inside].expand(len(audio), -1)


def get_scene_embeddings(audio: Tensor, model: RandomBands) -> Tensor:
    return get_timestamp_embeddings(audio, model)[0].mean(dim=1)
