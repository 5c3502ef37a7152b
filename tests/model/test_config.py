"""One table of sizes, and configurations that say what is wrong with them."""

from __future__ import annotations

import json

import pytest

from axlstm.errors import ConfigError
from axlstm.model.config import PRESETS, ModelConfig, list_models, preset_config, resolve_preset, short_name
from axlstm.model.pretraining import parameter_count

PUBLISHED_PARAMETERS = {
    "axlstm-tiny": 2_917_408,
    "axlstm-small": 11_216_800,
    "axlstm-medium": 19_739_808,
    "axlstm-base": 43_962_016,
    "axlstm-large": 154_319_104,
    "ssast-tiny": 5_401_024,
    "ssast-small": 21_492_544,
    "ssast-medium": 38_159_424,
    "ssast-base": 85_747_264,
    "ssast-large": 303_495_232,
}


@pytest.mark.parametrize(("name", "count"), PUBLISHED_PARAMETERS.items())
def test_parameter_counts_are_the_published_ones(name: str, count: int) -> None:
    assert parameter_count(preset_config(name)) == count


def test_six_sizes_of_two_families() -> None:
    assert len(list_models()) == 12
    assert {config.family for config in PRESETS.values()} == {"axlstm", "ssast"}
    for name, config in PRESETS.items():
        assert resolve_preset(name) == resolve_preset(short_name(name)) == name
        assert config.embedding_size == 5 * config.width
        assert (config.tokens, config.patch_pixels) == (250, 64)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"'axlstm-giant'.*axlstm-tiny.*ssast-huge"):
        preset_config("axlstm-giant")


def test_changes_replace_fields_and_unknown_fields_are_named() -> None:
    assert preset_config("axlstm-tiny", depth=3).depth == 3
    with pytest.raises(ConfigError, match="depht"):
        preset_config("axlstm-tiny", depht=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 0}, "depth=0: expected a whole number above zero"),
        ({"depth": 1.5}, "depth=1.5: expected a whole number"),
        ({"width": "192"}, "width='192'"),
        ({"width": 190}, "multiple of 4"),
        ({"heads": 5}, "heads=5 does not divide"),
        ({"patch_bands": 15}, "patch_bands=15 does not divide mel_bands=80"),
        ({"patch_frames": 3}, "patch_frames=3 does not divide window_frames=200"),
        ({"family": "gru"}, "family='gru': expected one of axlstm, ssast"),
        ({"expansion": 1.001}, "must be whole"),
        ({"cls_token": 1}, "cls_token=1: expected true or false"),
        ({"masked_positions": None}, "masked_positions=None: expected true or false"),
        ({"family": "ssast", "heads": 5}, "heads=5 does not divide width=192"),
    ],
)
def test_impossible_configurations_say_why(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**changes)


def test_a_whole_number_and_a_float_of_the_same_value_are_one_model() -> None:
    assert json.dumps(ModelConfig(expansion=2).to_dict()) == json.dumps(ModelConfig(expansion=2.0).to_dict())


def test_json_round_trip_and_unknown_keys() -> None:
    config = preset_config("ssast-base", cls_token=False)
    values = json.loads(json.dumps(config.to_dict()))
    assert ModelConfig.from_dict(values) == config
    with pytest.raises(ConfigError, match=r"config\.json has unknown keys: dropout"):
        ModelConfig.from_dict({**values, "dropout": 0.1}, "config.json")
