"""Changes of crops: powers that add up, levels, speeds, and the same ones whoever reads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from axlstm.data.config import InputConfig, PrepareConfig
from axlstm.data.inputs import change_speed, disturb, draw_speed, equalise
from axlstm.data.order import BatchPlan
from axlstm.data.prepare import prepare
from axlstm.data.reader import CropReader, micro_batches
from axlstm.data.records import encode_logmel
from axlstm.data.shards import open_shards
from axlstm.errors import ConfigError, DataError
from axlstm.model.config import ModelConfig
from tests.shards.made import logmel, published_folder, write_published_shard, write_sound

MODEL = ModelConfig()
ALL = InputConfig(noise=0.5, mix=0.5, equaliser=0.5, speed=0.5)


def level_db(crop: np.ndarray) -> float:
    return 10 * math.log10(np.exp(crop.astype(np.float64)).mean())


def test_another_recording_is_added_in_power_at_the_level_that_is_asked_for():
    crop, other = logmel(200, 1), logmel(200, 2)
    out = disturb(crop, np.random.default_rng(0), InputConfig(mix=1.0, mix_db=(7.0, 7.0)), lambda: other)
    added = np.exp(out.astype(np.float64)) - np.exp(crop.astype(np.float64))
    assert 10 * math.log10(added.mean()) == pytest.approx(level_db(crop) - 7, abs=0.01)
    gain = math.log(10) / 10 * (level_db(crop) - 7 - level_db(other))
    np.testing.assert_allclose(np.exp(out), np.exp(crop) + np.exp(other + gain), rtol=1e-4)
    untouched = disturb(crop, np.random.default_rng(0), InputConfig(mix=1.0), lambda: None)
    np.testing.assert_array_equal(untouched, crop)


def test_noise_has_the_level_that_is_asked_for_and_differs_in_every_frame():
    crop = logmel(200, 1)
    out = disturb(crop, np.random.default_rng(0), InputConfig(noise=1.0, noise_db=(3.0, 3.0)), lambda: None)
    added = np.exp(out.astype(np.float64)) - np.exp(crop.astype(np.float64))
    assert 10 * math.log10(added.mean()) == pytest.approx(level_db(crop) - 3, abs=0.01)
    assert np.std(np.log(added.mean(1))) > 0.01


def test_an_equaliser_moves_whole_bands_smoothly():
    crop = logmel(200, 1)
    rng = np.random.default_rng(0)
    curves = [equalise(crop, rng, InputConfig(equaliser=1.0, equaliser_db=6.0)) - crop for _ in range(300)]
    for curve in curves:
        assert np.ptp(curve, axis=0).max() < 1e-5  # the same in every frame
    gains = np.array([curve[0] for curve in curves]) * 10 / math.log(10)  # in dB
    assert gains.std() == pytest.approx(6.0, rel=0.1)
    assert np.abs(np.diff(gains, axis=1)).mean() < 1.5


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.25])
def test_speed_moves_the_frames_in_time(speed):
    ramp = np.arange(250, dtype=np.float32)[:, None].repeat(80, 1)
    out = change_speed(ramp, speed)
    assert len(out) == round(250 / speed)
    np.testing.assert_allclose(out[:, 0], np.minimum(np.arange(len(out)) * speed, 249), atol=1e-3)


def test_speeds_are_drawn_from_their_range():
    rng = np.random.default_rng(0)
    speeds = [draw_speed(rng, InputConfig(speed=0.5)) for _ in range(2000)]
    changed = [speed for speed in speeds if speed != 1]
    assert len(changed) == pytest.approx(1000, abs=100)
    assert 0.8 <= min(changed) < 0.81
    assert 1.24 < max(changed) <= 1.25


def read(folder, inputs: InputConfig, **options):
    reader = CropReader(open_shards(folder), MODEL, 5, inputs=inputs)
    shards = reader.shards
    plan = BatchPlan(tuple(shards.starts.tolist()), 4, 5, 100)
    return list(micro_batches(reader, plan, first_step=0, last_step=8, **options))


def test_changes_belong_to_record_and_epoch_whoever_reads(tmp_path):
    folder = published_folder(tmp_path, [7, 5])
    whole = read(folder, ALL)
    for one, other in zip(whole, read(folder, ALL, workers=2), strict=True):
        assert torch.equal(one.windows, other.windows)
        assert torch.equal(one.inputs, other.inputs)
    halves = [batch for rank in range(2) for batch in read(folder, ALL, rank=rank, world_size=2)]
    steps = len(whole)
    for step, batch in enumerate(whole):
        assert torch.equal(batch.inputs, torch.cat([halves[step].inputs, halves[steps + step].inputs]))
    first, again = whole[0], whole[3]  # an epoch has three steps
    assert not torch.equal(first.inputs.sort(0).values, again.inputs.sort(0).values)


def test_the_student_hears_noise_and_the_targets_do_not(tmp_path):
    folder = published_folder(tmp_path, [6])
    plain = read(folder, InputConfig())
    noisy = read(folder, InputConfig(noise=1.0, mix=1.0))
    for one, other in zip(plain, noisy, strict=True):
        assert one.inputs is None
        assert torch.equal(one.windows, other.windows)
        assert (other.inputs - other.windows).abs().mean() > 0.05
        assert other.inputs.mean((1, 2)).abs().max() < 0.3  # normalised as the record's crop was
        assert (other.inputs.std((1, 2)) - one.windows.std((1, 2))).abs().max() < 0.1
    equalised = read(folder, InputConfig(equaliser=1.0, equaliser_db=20.0))
    assert all(batch.inputs is None for batch in equalised)
    assert not torch.equal(equalised[0].windows, plain[0].windows)


def test_another_recording_that_cannot_be_read_is_left_out(tmp_path):
    good = encode_logmel(logmel(300, 1), "float16")
    write_published_shard(tmp_path / "a.tar", {**{f"bad{n}": b"nothing" for n in range(30)}, "good": good})
    reader = CropReader(open_shards(tmp_path), MODEL, 0, inputs=InputConfig(mix=1.0))
    batch = reader.read(0, np.array([30]))
    assert batch.skipped == []
    assert batch.inputs.isfinite().all()


def test_short_records_and_silence_stay_finite(tmp_path):
    records = {"short": encode_logmel(logmel(30, 1), "float16")}
    records["silent"] = encode_logmel(np.full((300, 80), math.log(2**-23), np.float32), "float16")
    write_published_shard(tmp_path / "a.tar", records)
    everything = InputConfig(noise=1.0, mix=1.0, equaliser=1.0, speed=1.0)
    reader = CropReader(open_shards(tmp_path), MODEL, 0, inputs=everything)
    for epoch in range(20):
        batch = reader.read(epoch, np.arange(2))
        assert batch.inputs.shape == batch.windows.shape == (2, 200, 80)
        assert batch.inputs.isfinite().all()
        assert batch.windows.isfinite().all()


def test_mistakes_are_explained(tmp_path):
    write_sound(tmp_path / "a.wav", 2.0, 0)
    prepare([tmp_path / "a.wav"], tmp_path / "shards", PrepareConfig(held_out=0.0, content="audio"), processes=1)
    with pytest.raises(DataError, match=r"objective\.input changes log-mel, and these shards hold sound; prepare"):
        CropReader(open_shards(tmp_path / "shards"), MODEL, 0, inputs=ALL)
    for wrong in ({"noise": 1.5}, {"mix_db": (9.0, 3.0)}, {"speed_range": (0.0, 1.0)}, {"equaliser_db": -1.0}):
        with pytest.raises(ConfigError, match=rf"objective\.input\.{next(iter(wrong))}=.*: expected"):
            InputConfig(**wrong)
