"""The loss on held-out crops, always the same ones, and the loss of constant predictions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from axlstm.data.reader import CropReader
from axlstm.pretrain.config import PretrainConfig
from axlstm.pretrain.stepper import Stepper
from axlstm.pretrain.world import World


@dataclass(frozen=True)
class Baseline:
    """Losses of guessing on the validation crops: always their mean, or always the mean of each mel band."""

    mean: float
    band_mean: float

    def to_dict(self) -> dict[str, Any]:
        """Return the losses as plain values, ready for JSON."""
        return asdict(self)


class Validation:
    """Held-out crops, split over the processes; crops and masks depend on the seed only."""

    def __init__(self, reader: CropReader, config: PretrainConfig, world: World) -> None:
        records = len(reader.shards)
        count = min(config.validation.crops, records)
        chosen = np.linspace(0, records - 1, count).round().astype(np.int64) if count else np.zeros(0, np.int64)
        self._reader = reader
        self._size = min(config.optimiser.micro_batch, max(1, count))
        self._records = chosen
        self._world = world
        self._mine = np.array_split(chosen, world.size)[world.rank]

    def __len__(self) -> int:
        return len(self._records)

    def _chunks(self) -> list[np.ndarray[Any, Any]]:
        return [self._mine[at : at + self._size] for at in range(0, len(self._mine), self._size)]

    def loss(self, stepper: Stepper) -> float:
        """Return the mean loss over all validation crops, without an update."""
        sums = torch.zeros(2, dtype=torch.float64, device=self._world.device)
        stepper.model.eval()
        with self._world.agreed():
            for records in self._chunks():
                _, _, prediction = stepper.predict(self._reader.read(0, records))
                sums += torch.stack([prediction.loss.double() * len(records), sums.new_tensor(len(records))])
        stepper.model.train()
        total, count = self._world.sum(sums).tolist()
        return float(total / count)

    def baseline(self, stepper: Stepper) -> Baseline:
        """Return the loss over all patches of two constant predictions: one number, and one for each
        value of the patches of each band."""
        pixels = stepper.config.model.patch_pixels
        bands = stepper.config.model.grid_bands
        shape = (bands, pixels)
        sums = torch.zeros(3, *shape, dtype=torch.float64, device=self._world.device)
        with self._world.agreed():
            for records in self._chunks():
                target = stepper.targets(self._reader.read(0, records)).double()  # (B, tokens, pixels)
                grouped = target.unflatten(1, (-1, bands))  # (B, T, bands, pixels)
                count = torch.full(shape, grouped.shape[0] * grouped.shape[1], dtype=torch.float64, device=sums.device)
                sums += torch.stack([grouped.sum((0, 1)), grouped.square().sum((0, 1)), count])
        total, squares, counts = self._world.sum(sums)
        overall = squares.sum() / counts.sum() - (total.sum() / counts.sum()) ** 2
        within = (squares / counts - (total / counts) ** 2).mean()
        return Baseline(float(overall), float(within))

    def pictures(self, stepper: Stepper, count: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return windows, masks and predicted patches of a few fixed clips, on the CPU."""
        places = np.linspace(0, len(self._records) - 1, min(count, len(self._records))).round().astype(int)
        windows, mask, prediction = stepper.predict(self._reader.read(0, self._records[places]))
        return windows.cpu(), mask.cpu(), prediction.prediction.float().cpu()
