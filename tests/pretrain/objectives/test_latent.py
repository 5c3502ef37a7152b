"""Latent targets: the teacher, its targets, and the losses against twins in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from axlstm.data.reader import LogMelBatch
from axlstm.errors import ConfigError
from axlstm.model.encoder import Encoder
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.pretrain.config import LatentConfig, ObjectiveConfig
from axlstm.pretrain.objectives.latent import EMATeacher, LatentHeads, LatentTargets
from axlstm.pretrain.stepper import Stepper, masks_of, repeated_keys
from axlstm.training.config import OptimiserConfig
from axlstm.training.world import World
from tests.pretrain.runs import SMALL, small_config

ALONE = World(0, 1, torch.device("cpu"))
LATENT = LatentConfig(weight=1.0, clip_weight=0.5, layers=2, masks=3, decay=0.8, final_decay=0.9)


def student_of(seed: int = 0) -> Encoder:
    return MaskedPatchModel.initialised(SMALL, seed).encoder


def standard(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return [(value - mean) / math.sqrt(variance + 1e-5) for value in values]


def slow_normalise(states: Tensor, over: str) -> Tensor:
    """`normalise_states` one list of numbers at a time."""
    out = torch.empty_like(states)
    batch, tokens, width = states.shape
    for row in range(batch):
        if over == "dimension":
            for channel in range(width):
                out[row, :, channel] = torch.tensor(standard(states[row, :, channel].tolist()))
        else:
            for token in range(tokens):
                out[row, token] = torch.tensor(standard(states[row, token].tolist()))
    return out


@pytest.mark.parametrize("over", ["dimension", "token"])
def test_targets_are_the_mean_of_normalised_upper_layers(over):
    windows = torch.randn(2, 200, 80)
    student = student_of().double()
    teacher = EMATeacher(student, replace(LATENT, normalise=over))
    teacher.encoder.double()
    targets = teacher.targets(windows.double(), note=False)
    with torch.no_grad():
        states = student.hidden_states(windows.double(), [1, 2])
        expected = slow_normalise(sum(slow_normalise(state, over) for state in states) / 2, over)
        clip = sum(slow_normalise(state, "token") for state in states).mean(1) / 2
    torch.testing.assert_close(targets.patches.double(), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(targets.clip.double(), clip, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("over", ["dimension", "token"])
def test_predicting_the_mean_costs_one(over):
    """So that a loss below one says that the target was learnt."""
    targets = EMATeacher(student_of(), replace(LATENT, normalise=over)).targets(torch.randn(4, 200, 80), note=False)
    assert targets.patches.square().mean().item() == pytest.approx(1, abs=1e-3)


def test_clip_targets_are_standardised_by_the_windows_of_all_steps_so_far():
    student = student_of()
    teacher, plain = (EMATeacher(student, LATENT) for _ in range(2))
    steps = [torch.randn(6, 200, 80), torch.randn(6, 200, 80) + 1]
    raw = [plain.targets(windows, note=False).clip.double() for windows in steps]
    for windows in steps:
        for part in windows.split(2):  # parts of a step are noted one by one
            teacher.targets(part, note=True)
        teacher.follow(student, 0.0, ALONE)
    first, second = 0.99 * 0.01, 0.01  # weights of the two steps
    mean = (first * raw[0].mean(0) + second * raw[1].mean(0)) / (first + second)
    square = (first * raw[0].square().mean(0) + second * raw[1].square().mean(0)) / (first + second)
    expected = (raw[1] - mean) / ((square - mean.square()).sqrt() + 1e-5)
    torch.testing.assert_close(teacher.targets(steps[1], note=False).clip.double(), expected, atol=1e-4, rtol=1e-4)


def test_the_teacher_is_a_moving_average_of_the_student():
    student = student_of()
    teacher = EMATeacher(student, LATENT)
    expected = {name: value.clone().double() for name, value in student.named_parameters()}
    for step in range(3):
        with torch.no_grad():
            for value in student.parameters():
                value.add_(torch.randn_like(value))
        progress = (step + 1) / 3
        decay = 0.8 + 0.1 * progress
        teacher.follow(student, progress, ALONE)
        expected = {
            name: decay * expected[name] + (1 - decay) * value.detach().double()
            for name, value in student.named_parameters()
        }
    for name, value in teacher.encoder.named_parameters():
        torch.testing.assert_close(value.double(), expected[name], atol=1e-5, rtol=1e-5)


def slow_losses(heads: LatentHeads, tokens: Tensor, mask: Tensor, targets: LatentTargets) -> tuple[Tensor, Tensor]:
    """Both losses, one vector at a time."""
    crops = len(targets.clip)
    patches, clips = [], []
    for row in range(len(tokens)):
        target = row % crops
        for token in range(tokens.shape[1]):
            if mask[row, token]:
                error = heads.patches(tokens[row, token]) - targets.patches[target, token]
                patches.append((error**2).sum() / len(error))
        error = heads.clip(sum(tokens[row]) / tokens.shape[1]) - targets.clip[target]
        clips.append((error**2).sum() / len(error))
    return sum(patches) / len(patches), sum(clips) / len(clips)


def test_losses_and_gradients_equal_those_of_a_slow_twin_in_float64():
    heads = LatentHeads(SMALL, LATENT)
    tokens = torch.randn(6, SMALL.tokens, SMALL.width, requires_grad=True)
    mask = masks_of(torch.arange(6), SMALL, ObjectiveConfig())
    targets = LatentTargets(torch.randn(2, SMALL.tokens, SMALL.width), torch.randn(2, SMALL.width))
    losses = heads(tokens, mask, targets)
    gradients = torch.autograd.grad(losses["latent"] + 2 * losses["latent_clip"], [tokens, *heads.parameters()])
    wide = tokens.detach().double().requires_grad_()
    patch, clip = slow_losses(heads.double(), wide, mask, LatentTargets(*(target.double() for target in targets)))
    assert losses["latent"].item() == pytest.approx(patch.item(), rel=1e-5)
    assert losses["latent_clip"].item() == pytest.approx(clip.item(), rel=1e-5)
    expected = torch.autograd.grad(patch + 2 * clip, [wide, *heads.parameters()])
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-6, rtol=1e-4)


def test_masks_of_one_crop_differ_and_share_the_pass_of_the_teacher(monkeypatch):
    keys = repeated_keys(torch.arange(4), 3)
    assert torch.equal(keys[:4], torch.arange(4))
    masks = masks_of(keys, SMALL, ObjectiveConfig())
    assert len({tuple(mask.tolist()) for mask in masks}) == 12
    passes, seen = [], []
    states, forward = Encoder.hidden_states, Encoder.forward
    monkeypatch.setattr(Encoder, "hidden_states", lambda s, x, *rest: passes.append(len(x)) or states(s, x, *rest))
    monkeypatch.setattr(Encoder, "forward", lambda s, x, mask: seen.append(len(x)) or forward(s, x, mask))
    optimiser = OptimiserConfig(learning_rate=1e-3, global_batch=4, micro_batch=4)
    stepper = Stepper(
        MaskedPatchModel.initialised(SMALL),
        small_config(4, objective=ObjectiveConfig(latent=LATENT), optimiser=optimiser),
        ALONE,
    )
    result = stepper.step(iter([LogMelBatch(torch.randn(4, 200, 80), torch.arange(4), [])]), 1e-3, stop=False)
    assert (passes, seen) == ([4], [12])
    total = result.parts["pixels"] + result.parts["latent"] + 0.5 * result.parts["latent_clip"]
    assert result.loss == pytest.approx(total, rel=1e-6)


def test_a_step_that_is_skipped_leaves_the_teacher_as_it_was(monkeypatch):
    forward = MaskedPatchModel.forward

    def infinite(self, windows, mask, **options):
        out = forward(self, windows, mask, **options)
        return out._replace(loss=out.loss * torch.inf)

    monkeypatch.setattr(MaskedPatchModel, "forward", infinite)
    optimiser = OptimiserConfig(learning_rate=1e-3, global_batch=4, micro_batch=4)
    config = small_config(4, objective=ObjectiveConfig(latent=LATENT), optimiser=optimiser)
    stepper = Stepper(MaskedPatchModel.initialised(SMALL), config, ALONE)
    before = {name: value.clone() for name, value in stepper.teacher.state_dict().items()}
    batch = LogMelBatch(torch.randn(4, 200, 80), torch.arange(4), [])
    assert not stepper.step(iter([batch]), 1e-3, stop=False).updated
    assert all(torch.equal(value, before[name]) for name, value in stepper.teacher.state_dict().items())


def test_mistakes_are_explained():
    with pytest.raises(ConfigError, match=r"objective\.latent\.layers=8: expected at most 2, the model's depth"):
        small_config(objective=ObjectiveConfig(latent=LatentConfig(weight=1.0)))
    with pytest.raises(ConfigError, match=r"objective\.latent\.masks=4: expected 1 where latent targets are off"):
        LatentConfig(masks=4)
    with pytest.raises(ConfigError, match=r"objective\.latent\.normalise='batch': expected one of dimension, token"):
        LatentConfig(normalise="batch")
    for wrong in ({"weight": -1.0}, {"layers": 0}, {"decay": 1.0}, {"final_decay": -0.1}):
        with pytest.raises(ConfigError, match=r"objective\.latent\.\w+=.*: expected"):
            LatentConfig(**wrong)
    with pytest.raises(ConfigError, match=r"objective\.mask_ratio=0: .*latent targets of hidden patches"):
        ObjectiveConfig(mask_ratio=0, latent=LATENT)
