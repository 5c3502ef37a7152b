"""Compute the losses on held-out crops, always the same ones, and the loss of constant predictions."""

from __future__ import annotations

import numpy as np
import torch

from axlstm.data.reader import CropReader
from axlstm.pretrain.config import PretrainConfig
from axlstm.pretrain.stepper import Stepper
from axlstm.training.world import World


class Validation:
    """Held-out crops, split over the processes; crops and masks depend on the seed only."""

    def __init__(self, reader: CropReader, config: PretrainConfig, world: World) -> None:
        records = len(reader.shards)
        chosen = np.linspace(0, records - 1, min(config.validation.crops, records)).round().astype(np.int64)
        self._reader = reader
        self._records = chosen
        self._world = world
        mine, size = np.array_split(chosen, world.size)[world.rank], config.optimiser.micro_batch
        self._chunks = [mine[at : at + size] for at in range(0, len(mine), size)]

    def __len__(self) -> int:
        return len(self._records)

    def losses(self, stepper: Stepper) -> dict[str, float]:
        """Return each objective's mean loss over the validation crops that have targets of it, without its weight and
        without an update. An objective that none of them has targets of is left out."""
        names = stepper.held_out_names
        sums = torch.zeros(2, len(names), dtype=torch.float64, device=self._world.device)  # crops, losses
        stepper.model.eval()
        with self._world.agreed():
            for records in self._chunks:
                batch = self._reader.read(0, records)
                losses, counts = stepper.held_out_losses(batch), stepper.crops_with_targets(batch)
                sums[0] += sums.new_tensor([counts[name] for name in names])
                sums[1] += torch.stack([losses[name].double() for name in names]) * len(records)
        stepper.model.train()
        counted = zip(names, *self._world.sum(sums).tolist(), strict=True)
        return {name: total / count for name, count, total in counted if count}

    def baseline(self, stepper: Stepper) -> dict[str, float]:
        """Return the loss over all patches of two constant predictions: ``mean`` is one number for everything,
        ``band_mean`` one for each value of the patches of each band."""
        bands = stepper.config.model.grid_bands
        shape = (bands, stepper.config.model.patch_pixels)
        sums = torch.zeros(3, *shape, dtype=torch.float64, device=self._world.device)
        with self._world.agreed():
            for records in self._chunks:
                target = stepper.targets(self._reader.read(0, records)).double()  # (B, tokens, pixels)
                grouped = target.unflatten(1, (-1, bands))  # (B, T, bands, pixels)
                count = torch.full(shape, grouped.shape[0] * grouped.shape[1], dtype=torch.float64, device=sums.device)
                sums += torch.stack([grouped.sum((0, 1)), grouped.square().sum((0, 1)), count])
        total, squares, counts = self._world.sum(sums)
        overall = squares.sum() / counts.sum() - (total.sum() / counts.sum()) ** 2
        within = (squares / counts - (total / counts) ** 2).mean()
        return {"mean": float(overall), "band_mean": float(within)}

    def pictures(self, stepper: Stepper) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return windows, masks and predicted patches of three fixed clips, on the CPU."""
        places = np.linspace(0, len(self._records) - 1, min(3, len(self._records))).round().astype(int)
        windows, mask, prediction = stepper.predict(self._reader.read(0, self._records[places]))
        return windows.cpu(), mask.cpu(), prediction.prediction.float().cpu()
