"""Protocols list the kit's grid points in the kit's order."""

import random

import pytest
from sklearn.model_selection import ParameterGrid

from axlstm.errors import ConfigError
from axlstm.evaluate.probes.protocol import PROTOCOLS, ProbeConfig, find_protocol
from axlstm.evaluate.tasks.metadata import TaskMetadata


def metadata(name: str = "task", **params: object) -> TaskMetadata:
    return TaskMetadata(
        name,
        "scene",
        "multiclass",
        "trainvaltest",
        ("train", "valid", "test"),
        ("top1_acc",),
        evaluation_params=params,
    )


@pytest.mark.parametrize("name", ["published", "hear", "linear"])
def test_order_is_that_of_a_shuffled_parameter_grid(name: str) -> None:
    protocol = find_protocol(name)
    expected = [ProbeConfig(**point) for point in ParameterGrid({k: list(v) for k, v in protocol.grid.items()})]
    random.Random(7).shuffle(expected)
    assert protocol.points(metadata(), seed=7) == expected[:8]


def test_sizes_of_the_named_grids() -> None:
    sizes = {name: len(protocol.points(metadata(), 0)) for name, protocol in PROTOCOLS.items() if not protocol.solved}
    assert sizes == {"published": 2, "hear": 8, "standardised": 2, "linear": 3}


def test_a_task_overlays_the_grid() -> None:
    published = find_protocol("published")
    assert {p.check_val_every_n_epoch for p in published.points(metadata("dcase2016_task2"), 0)} == {10}
    own = metadata(task_specific_param_grid={"max_epochs": [30], "lr": [0.1, 0.2]})
    assert {(p.max_epochs, p.lr) for p in published.points(own, 0)} == {(30, 0.1), (30, 0.2)}
    with pytest.raises(ConfigError, match="the grid of task has optimizer"):
        published.points(metadata(task_specific_param_grid={"optimizer": ["sgd"]}), 0)


def test_hyperparameters_are_written_as_the_kit_does() -> None:
    assert list(ProbeConfig().to_hparams()) == [
        "batch_size",
        "check_val_every_n_epoch",
        "dropout",
        "embedding_norm",
        "hidden_dim",
        "hidden_layers",
        "hidden_norm",
        "initialization",
        "lr",
        "max_epochs",
        "norm_after_activation",
        "optim",
        "patience",
    ]


@pytest.mark.parametrize(
    "values",
    [{"initialization": "zeros_"}, {"hidden_layers": -1}, {"max_epochs": 2}, {"batch_size": 0}],
)
def test_probes_that_cannot_be_are_refused(values: dict) -> None:
    with pytest.raises(ConfigError):
        ProbeConfig(**values)


def test_an_unknown_protocol_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="published, hear, standardised, linear, knn, logreg, lda"):
        find_protocol("best")
