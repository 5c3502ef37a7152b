"""Runs that begin with the weights of another model."""

import shutil
from dataclasses import replace

import pytest

from axlstm.errors import CheckpointError, ConfigError, TrainingError
from axlstm.hub import load_model
from axlstm.pretrain.loop import pretrain
from tests.pretrain.runs import SMALL, Cut, cut_after, small_config, weights_hash


@pytest.fixture(scope="module")
def first(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("first") / "run"
    pretrain(small_config(), shards, folder)
    return folder


def test_a_run_begins_with_the_weights_that_it_was_given(shards, first, tmp_path):
    slow = replace(small_config(1).optimiser, learning_rate=1e-6)
    fresh, taken = tmp_path / "fresh", tmp_path / "taken"
    pretrain(small_config(1, optimiser=slow), shards, fresh)
    pretrain(small_config(1, optimiser=slow, weights=str(first)), shards, taken)
    there = load_model(first).model.state_dict()

    def distance(folder):
        here = load_model(folder).model.state_dict()
        return max(float((here[name] - there[name]).abs().max()) for name in there)

    assert distance(taken) < 1e-5 < 1e-2 < distance(fresh)


def test_such_a_run_is_resumed_exactly(shards, first, tmp_path):
    config = small_config(6, weights=str(first))
    pretrain(config, shards, tmp_path / "whole")
    with pytest.raises(Cut):
        pretrain(config, shards, tmp_path / "cut", cut_after(4))
    pretrain(config, shards, tmp_path / "cut")
    assert weights_hash(tmp_path / "cut") == weights_hash(tmp_path / "whole")


def test_other_weights_under_the_same_name_are_another_run(shards, first, tmp_path):
    given = tmp_path / "given"
    load_model(first).save_pretrained(given)
    config = small_config(6, weights=str(given))
    with pytest.raises(Cut):
        pretrain(config, shards, tmp_path / "run", cut_after(4))
    pretrain(small_config(1, seed=1), shards, tmp_path / "other")
    shutil.rmtree(given)
    load_model(tmp_path / "other").save_pretrained(given)
    with pytest.raises(TrainingError, match="begun on other data"):
        pretrain(config, shards, tmp_path / "run")


def test_weights_that_do_not_fit_are_refused_and_leave_nothing(shards, first, tmp_path):
    wider = small_config(model=replace(SMALL, width=32), weights=str(first))
    with pytest.raises(TrainingError, match=r"another model than the one to train \(width: 16 there, 32 here\)"):
        pretrain(wider, shards, tmp_path / "a")
    with pytest.raises(ConfigError, match=r"weights='axlstm-base': no trained weights"):
        pretrain(small_config(weights="axlstm-base"), shards, tmp_path / "b")
    with pytest.raises(ConfigError, match="unknown model 'nothing'"):
        pretrain(small_config(weights="nothing"), shards, tmp_path / "c")
    with pytest.raises(CheckpointError, match="no such file"):
        pretrain(small_config(weights=str(tmp_path / "gone.safetensors")), shards, tmp_path / "d")
    assert not any((tmp_path / name).exists() for name in "abcd")
