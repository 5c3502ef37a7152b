"""Ray does parts as processes do: workers die, tries fail, and the output is the same, of every command."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from axlstm.cli import main
from axlstm.errors import ConfigError
from axlstm.parts.accounts import read_events, rows_name
from axlstm.parts.choice import choose_runner
from axlstm.parts.drive import Report, drive
from axlstm.parts.folders import LocalFolder
from axlstm.parts.on_ray import on_ray
from tests.collection.detections.made import save_classifier
from tests.collection.made import make_sounds, save_model
from tests.collection.test_planned import same
from tests.conftest import run_without
from tests.evaluate.test_commands import TASKS
from tests.evaluate.test_planned import content
from tests.parts.made import Texts, one_by_one, plan_texts

pytestmark = pytest.mark.filterwarnings("ignore")  # those of Ray itself, which change with its version


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two cores."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield made.address
    made.shutdown()


def run(tmp_path: Path, names: list[str], address: str, workers: int | None = 2) -> tuple[LocalFolder, Report]:
    folder, marks = LocalFolder(tmp_path / "out"), tmp_path / "marks"
    marks.mkdir(parents=True)
    plan = plan_texts(folder, names, marks)
    runner = partial(on_ray, workers=workers, address=address, gpus=0.0)
    return folder, drive(folder, plan, Texts, runner, lambda _: None)


def test_workers_die_and_tries_fail_and_nothing_is_lost(tmp_path: Path, cluster: str) -> None:
    names = ["a.wav", "kill-once.1", "skip.1", "b.wav", "fail-once.1", "c.wav", "fail.1", "d.wav"]
    folder, report = run(tmp_path / "ray", names, cluster)
    assert (report.summary.embedded, report.summary.skipped, report.summary.missing) == (5, 1, (3,))
    assert report.failed == {3: "the store never answers"}
    events = [(event["part"], event["event"]) for event in read_events(folder)]
    assert sorted(part for part, event in events if event == "done") == [0, 1, 2]
    here = LocalFolder(tmp_path / "here")
    marks = tmp_path / "ray" / "marks"  # of what happens once, which has happened
    plan = plan_texts(here, names[:6], marks)
    drive(here, plan, Texts, one_by_one, lambda _: None)
    for part in range(3):
        assert folder.read(rows_name(part)) == here.read(rows_name(part))


def test_as_many_workers_as_the_cluster_has_room_for(tmp_path: Path, cluster: str) -> None:
    folder, report = run(tmp_path, [f"{number}.wav" for number in range(12)], cluster, workers=None)
    assert report.summary.embedded == 12
    assert len({event["worker"] for event in read_events(folder)}) <= 2


def test_a_cluster_without_room_is_told(tmp_path: Path, cluster: str) -> None:
    folder = LocalFolder(tmp_path / "out")
    plan = plan_texts(folder, ["a.wav"], tmp_path)
    runner = partial(on_ray, workers=None, address=cluster, gpus=1.0)
    with pytest.raises(ConfigError, match="0 GPUs; a worker needs 1 CPU and 1 GPUs"):
        drive(folder, plan, Texts, runner, lambda _: None)


@pytest.mark.slow
def test_every_command_makes_what_it_makes_without_parts(
    tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_sounds(tmp_path / "sounds")
    model = str(save_model(tmp_path / "small").resolve())
    classifier = str(save_classifier(tmp_path / "wren.model", model))
    shards = ["--record-seconds", "1", "--shard-records", "4", "--held-out", "0.2"]
    on_ray = ["--runner", "ray", "--ray-address", cluster, "--part-files", "2"]
    for name, more in (("plain", []), ("ray", on_ray)):
        (tmp_path / name).mkdir()
        assert main(["index", "sounds", "-o", f"{name}/birds", "-m", model, "--window-s", "1", *more]) == 0
        assert main(["detect", classifier, "sounds", "-o", f"{name}/out.csv", *more]) == 0
        assert main(["prepare", "sounds", f"{name}/shards", *shards, *more]) == 0
        assert main(["hear", "embed", model, str(TASKS), f"{name}/embeddings", *more]) == 0
    same(tmp_path / "ray" / "birds", tmp_path / "plain" / "birds")
    assert Path("ray/out.csv").read_bytes() == Path("plain/out.csv").read_bytes()
    for name in ("shards", "embeddings"):
        ours, theirs = (content(tmp_path / where / name) for where in ("ray", "plain"))
        assert ours.keys() == theirs.keys()
        assert {file for file in ours if ours[file] != theirs[file]} <= {"journal.jsonl"}


def test_options_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="for --runner ray"):
        choose_runner({"gpus": 0.5})
    with pytest.raises(ConfigError, match="--gpus -1: expected 0 or more"):
        choose_runner({"runner": "ray", "gpus": -1.0})
    with pytest.raises(ConfigError, match="expected one of processes"):
        choose_runner({"runner": "dask"})  # type: ignore[typeddict-item]


def test_ray_that_is_not_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    result = run_without("ray", "embed", str(tmp_path / "a.wav"), "-o", str(tmp_path / "out"), "--runner", "ray")
    assert result.returncode == 1
    assert result.stderr.endswith('axlstm: error: --runner ray needs Ray: pip install "axlstm[ray]"\n')
