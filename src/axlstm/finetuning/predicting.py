"""Let a network say what it hears in clips, shared by all processes."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from axlstm.finetuning.begin import losses_of
from axlstm.finetuning.network import TunedNetwork
from axlstm.finetuning.reading import BatchMaker
from axlstm.threads import ahead
from axlstm.training.world import World

_CLIPS_AHEAD = 16


class Predicted(NamedTuple):
    """Scores of clips before calibration, ``(n, K)``, and the mean loss; of events, ``(T, K)`` of each clip."""

    scores: NDArray[np.float64]
    frames: list[NDArray[np.float32]]
    loss: float


@torch.no_grad()
def predict(network: TunedNetwork, maker: BatchMaker, indices: range, world: World) -> Predicted:
    """Score whole clips one by one, so that the numbers do not depend on which are near each other.

    The scores of events are the highest of each label.
    """
    was_training = network.training
    network.eval()
    mine = np.array_split(np.arange(indices.start, indices.stop), world.size)[world.rank]
    own: list[tuple[NDArray[np.float64], NDArray[np.float32] | None, float]] = []
    reading = ahead(lambda index: maker.whole([index]), mine.tolist(), lambda _: 1, _CLIPS_AHEAD)
    with world.agreed(), closing(reading):
        for _, future in reading:
            batch = future.result()
            vectors, real = network.evaluate(batch.windows.to(world.device), batch.counts, batch.frames)
            with torch.autocast(world.device.type, enabled=False):
                scores = network.head.score(vectors)
            targets = batch.targets.to(scores.device)
            if maker.kind == "events":
                of_frames = scores[0][real[0]]  # (T, K)
                loss = losses_of(of_frames, targets[0], maker.kind).mean()
                own.append((of_frames.amax(dim=0).double().cpu().numpy(), of_frames.cpu().numpy(), float(loss)))
            else:
                loss = losses_of(scores, targets, maker.kind).mean()
                own.append((scores[0].double().cpu().numpy(), None, float(loss)))
    network.train(was_training)
    found = [one for part in world.gather(own) for one in part]
    frames = [one for _, one, _ in found if one is not None]
    return Predicted(np.stack([scores for scores, _, _ in found]), frames, float(np.mean([one[2] for one in found])))
