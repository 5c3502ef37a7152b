"""Changes of clips are made of powers, drawn by key, and leave targets true."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from axlstm.finetuning.augment import Augmenter, fitted
from axlstm.finetuning.clips import Clip, ClipEvent, Parts, frame_targets
from axlstm.finetuning.config import AugmentConfig
from axlstm.finetuning.reading import TrainingOrder
from axlstm.finetuning.splits import fewer_clips
from axlstm.options import TaskKind

FLOOR = 2.0**-23


def augmenter(kind: TaskKind = "multiclass", background: Any = (), **settings: Any) -> Augmenter:
    other = torch.full((30, 80), math.log(4.0 + FLOOR)), np.array([0.0, 1.0], np.float32)
    return Augmenter(AugmentConfig(**settings), kind, 100, (1, lambda _: other), list(background), FLOOR)


def clip(frames: int = 50, power: float = 1.0) -> torch.Tensor:
    return torch.full((frames, 80), math.log(power + FLOOR))


def change(made: Augmenter, mel: torch.Tensor, target: Any = (1.0, 0.0), seed: int = 0) -> Any:
    return made.change(mel, np.array(target, np.float32), np.random.default_rng(seed), 4)


def test_nothing_is_changed_without_a_share() -> None:
    mel, target, hidden = change(augmenter(), clip())
    assert torch.equal(mel, clip())
    assert target.tolist() == [1.0, 0.0]
    assert not hidden.any()


def test_mixing_adds_powers_and_shares_the_target() -> None:
    mel, target, _ = change(augmenter(mixup=1.0), clip())
    part = float(target[1])
    assert 0 <= part <= 0.5
    assert target.sum() == 1
    # The other one is brought to the same power first.
    assert torch.allclose(mel.exp(), torch.full_like(mel, 1 + part / (1 - part)), atol=1e-4)
    _, both, _ = change(augmenter("multilabel", mixup=1.0), clip(), (1.0, np.nan))
    assert both[0] == 1.0
    assert np.isnan(both[1])


def test_a_background_lies_below_the_clip() -> None:
    mel, _, _ = change(augmenter(background=[clip(20, 7.0)], background_share=1.0, background_db=(10.0, 10.0)), clip())
    assert torch.allclose(mel.exp(), torch.full_like(mel, 1.1), atol=1e-4)


def test_a_gain_multiplies_the_power() -> None:
    mel, _, _ = change(augmenter(gain=1.0, gain_db=10.0), clip(power=0.5))
    gain = float((mel.exp() - FLOOR)[0, 0] / 0.5)
    assert 0.1 <= gain <= 10
    assert gain != 1


def test_a_shift_takes_the_targets_of_frames_along() -> None:
    mel = torch.arange(40.0)[:, None].repeat(1, 80)
    target = np.repeat(np.arange(10, dtype=np.float32)[:, None], 2, axis=1)
    shifted, moved, _ = change(augmenter("events", shift=1.0), mel, target)
    assert torch.equal(shifted[::4, 0] / 4, torch.from_numpy(moved[:, 0]))
    assert sorted(moved[:, 0].tolist()) == list(range(10))


def test_masks_hide_a_stretch_and_a_range() -> None:
    hidden = [change(augmenter(masks=1.0), clip(), seed=seed)[2] for seed in range(20)]
    assert max(int(one.all(dim=1).sum()) for one in hidden) <= 50 // 3
    assert max(int(one.all(dim=0).sum()) for one in hidden) <= 16
    assert any(one.any() for one in hidden)


def test_a_short_sound_is_repeated_to_fit() -> None:
    mel = torch.arange(3.0)[:, None]
    assert fitted(mel, 7, 0.0)[:, 0].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert fitted(torch.arange(9.0)[:, None], 2, 0.999)[:, 0].tolist() == [7, 8]


def test_an_event_is_in_the_frames_between_its_ends() -> None:
    event = Clip(Path("x"), events=(ClipEvent(1, 100, 200),))
    times = np.array([60, 100, 140, 180, 220], np.float32)
    assert frame_targets(event, times, 2)[:, 1].tolist() == [0, 1, 1, 1, 0]


def test_each_clip_comes_once_in_an_epoch_and_the_order_has_no_memory() -> None:
    order = TrainingOrder(10, 4, seed=3)
    seen = [order.clip(position) for position in range(20)]
    assert sorted(index for index, _ in seen[:10]) == sorted(index for index, _ in seen[10:]) == list(range(10))
    assert [index for index, _ in seen[:10]] != [index for index, _ in seen[10:]]
    assert [TrainingOrder(10, 4, seed=3).clip(position) for position in (17, 2)] == [seen[17], seen[2]]
    assert len({key for _, key in seen}) == 20


def test_rare_labels_are_drawn_as_often() -> None:
    shares = np.array([1 / 9] * 9 + [1.0])
    drawn = Counter(TrainingOrder(10, 4, 0, shares).clip(position)[0] for position in range(2000))
    assert 0.4 < drawn[9] / 2000 < 0.6


def test_fewer_clips_keep_each_label_and_lie_in_more() -> None:
    clips = tuple(Clip(Path(f"{n}"), labels=(0 if n < 38 else 1,)) for n in range(40))
    parts = Parts("x", "multiclass", ("a", "b"), clips, clips[:2])
    few, more = (set(fewer_clips(parts, share, 0).train) for share in (0.1, 0.5))
    assert (len(few), len(more)) == (4, 20)
    assert few < more
    assert {one.labels for one in few} == {(0,), (1,)}
