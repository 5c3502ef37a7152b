"""Where a run's numbers go: TensorBoard and Weights & Biases beside metrics.jsonl."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from axlstm.errors import ConfigError
from axlstm.training.config import LogConfig
from axlstm.training.metrics import open_sinks, read_metrics


def write(workdir: Path, config: LogConfig, steps: range) -> None:
    sinks = open_sinks(workdir, config, {"seed": 1}, steps.start - 1, None)
    for step in steps:
        for sink in sinks:
            sink.write(step, {"loss": 1 / step, "learning_rate": 0.1})
    for sink in sinks:
        sink.close()


def test_tensorboard_holds_the_numbers_of_metrics(tmp_path: Path) -> None:
    write(tmp_path, LogConfig(tensorboard=True), range(1, 4))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["learning_rate", "loss"]
    shown = [(event.step, event.value) for event in events.Scalars("loss")]
    assert shown == [(line["step"], pytest.approx(line["loss"])) for line in read_metrics(tmp_path)]


class FakeRun:
    def __init__(self, options: dict) -> None:
        self.options, self.logged, self.finished = options, [], False

    def log(self, values: dict, step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished = True


def test_without_weights_and_biases_tensorboard_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.close", lambda writer: closed.append(writer))
    with pytest.raises(ConfigError, match=r"log\.wandb needs wandb"):
        write(tmp_path, LogConfig(tensorboard=True, wandb="offline"), range(1, 2))
    assert len(closed) == 1


def test_weights_and_biases_is_started_offline_and_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[FakeRun] = []

    def init(**options: object) -> FakeRun:
        runs.append(FakeRun(options))
        return runs[-1]

    module = types.ModuleType("wandb")
    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    (tmp_path / "run-a").mkdir()
    for steps in (range(1, 3), range(3, 5)):
        write(tmp_path / "run-a", LogConfig(wandb="offline"), steps)
    assert [run.options["mode"] for run in runs] == ["offline", "offline"]
    assert runs[0].options["id"] == runs[1].options["id"]
    assert runs[0].options["name"] == "run-a"
    other = tmp_path / "elsewhere" / "run-a"
    other.mkdir(parents=True)
    write(other, LogConfig(wandb="offline"), range(0))
    assert runs.pop().options["id"] != runs[0].options["id"]
    assert runs[0].options["config"] == {"seed": 1}
    assert [step for run in runs for step, _ in run.logged] == [1, 2, 3, 4]
    assert all(run.finished for run in runs)
