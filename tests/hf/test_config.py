"""The configuration holds what config.json does, and writes it as axlstm does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoConfig

from axlstm.checkpoints.own import load_checkpoint
from axlstm.errors import ConfigError
from axlstm.hf import AxLSTMConfig

SMALL = {"depth": 2, "width": 16, "heads": 2}


def test_auto_config_reads_a_folder(folder: Path) -> None:
    config = AutoConfig.from_pretrained(folder)
    assert type(config) is AxLSTMConfig
    assert config.shape == load_checkpoint(folder).model.config
    assert config.name == "small"


def test_a_written_configuration_has_the_bytes_of_the_one_that_was_read(folder: Path, tmp_path: Path) -> None:
    AutoConfig.from_pretrained(folder).save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_bytes() == (folder / "config.json").read_bytes()


def test_it_can_be_made_of_its_dictionary_again() -> None:
    config = AxLSTMConfig(model=SMALL, name="x", num_labels=3)
    assert AxLSTMConfig(**config.to_dict()).to_dict() == config.to_dict()
    assert json.loads(config.to_json_string())["model"]["depth"] == 2


def test_it_tells_sizes_by_the_names_that_transformers_have() -> None:
    config = AxLSTMConfig(model=SMALL)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (5 * 16, 2, 2)
    assert (config.width, config.window_frames) == (16, 200)
    with pytest.raises(AttributeError, match="breadth"):
        _ = config.breadth


def test_the_default_is_the_published_tiny_without_labels() -> None:
    config = AxLSTMConfig()
    assert (config.depth, config.width) == (12, 192)
    assert config.labels == ()


def test_labels_are_there_if_they_are_given() -> None:
    assert AxLSTMConfig(num_labels=2).labels == ("LABEL_0", "LABEL_1")
    assert AxLSTMConfig(id2label={0: "wren", 1: "owl"}).labels == ("wren", "owl")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": {"breadth": 3}}, "unknown keys: breadth"),
        ({"model": {"depth": 0}}, "depth=0"),
        ({"frontend": {"hops": 3}}, "unknown keys: hops"),
        ({"head_pooling": "best"}, "head_pooling"),
        ({"model_type": "bert"}, "model_type 'bert'"),
    ],
)
def test_what_cannot_be_is_refused(given: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        AxLSTMConfig(**given)
