"""Options: each choice is known to what carries it out, each option has a default, and unknown ones are named."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from axlstm import options
from axlstm.devices import DTYPES
from axlstm.engines.runtimes import EXTRAS
from axlstm.errors import ConfigError
from axlstm.evaluate.probes.protocol import PROTOCOLS
from axlstm.export.exported import SUFFIXES
from axlstm.model.config import ModelConfig


@pytest.mark.parametrize(
    ("choices", "table"),
    [
        (options.Precision, DTYPES),
        (options.TrainingPrecision, ["auto", *DTYPES]),
        (options.Runtime, EXTRAS),
        (options.EngineName, ["auto", "processes", *EXTRAS]),
        (options.ExportFormat, SUFFIXES),
        (options.ProtocolName, PROTOCOLS),
    ],
)
def test_what_can_be_chosen_is_what_there_is(choices: object, table: object) -> None:
    assert set(get_args(choices)) == set(table)


def test_every_option_of_an_embedder_has_a_default_and_a_description() -> None:
    hints = get_type_hints(options.EmbedderOptions, include_extras=True)
    assert list(options.EMBEDDER_DEFAULTS) == list(hints)
    for name, hint in hints.items():
        assert [described.documentation.endswith(".") for described in hint.__metadata__] == [True], name
    assert options.EmbedderOptions.__doc__ != options.EncoderOptions.__doc__


def test_changes_of_a_model_are_fields_of_it() -> None:
    assert set(options.ModelChanges.__annotations__) < set(ModelConfig().to_dict())


def test_a_choice_that_does_not_exist_is_told_which_do() -> None:
    assert options.check_choice("masking", "timestep", options.Masking) == "timestep"
    with pytest.raises(ConfigError, match="masking='none': expected one of unstructured, timestep"):
        options.check_choice("masking", "none", options.Masking)
