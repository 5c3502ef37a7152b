"""The ladder: pilots cost the same, and are chosen by what the final table does not test on."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from axlstm.data.index import read_index
from axlstm.errors import ConfigError, DataError
from axlstm.evaluate.reporting.results import Result
from axlstm.model.config import ModelConfig
from axlstm.pretrain.config import PretrainConfig
from recipes.open_audio.ladder.cost import step_cost
from recipes.open_audio.ladder.ladder import Place, climb
from recipes.open_audio.ladder.long_run import PACKED, LongBudget, long_config, run_long
from recipes.open_audio.ladder.parts import (
    MIXTURES,
    SET_ASIDE,
    find_overlap,
    find_parts,
    leave_out_set_aside,
    make_validation,
    parts_of,
)
from recipes.open_audio.ladder.pilots import LABELS, TEACHERS, Pilot, PilotBudget, find_pilots, pilots
from recipes.open_audio.ladder.polite import run_politely
from recipes.open_audio.ladder.scoring import mean_difference
from recipes.open_audio.ladder.table import ladder_markdown, learnt
from recipes.open_audio.tests.made import encoded, make_shards, quiet, tune

SMALL = ModelConfig(depth=2, width=16, heads=2, patch_frames=20)
BUDGET = PilotBudget(crops=16, batch=4, share=1.0)
CLASSES = ("low", "high")


def write_task(folder: Path, splits: dict[str, int], mode: str) -> None:
    """A task of two classes; clips of all splits have names of their own."""
    names = {split: [f"{folder.name}-{split}-{i}.wav" for i in range(count)] for split, count in splits.items()}
    for split, files in names.items():
        place = folder / "16000" / split
        place.mkdir(parents=True)
        for i, name in enumerate(files):
            (place / name).write_bytes(encoded(tune(i, 1.0) * (1.0 if i % 2 else 0.1)))
        labels = {name: [CLASSES[i % 2]] for i, name in enumerate(files)}
        (folder / f"{split}.json").write_text(json.dumps(labels), encoding="utf-8")
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,low\n1,high\n", encoding="utf-8")
    metadata = {
        "task_name": folder.name,
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": mode,
        "splits": list(splits),
        "evaluation": ["top1_acc"],
        "sample_duration": 1.0,
    }
    (folder / "task_metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    used = [
        {"split": split, "tested": int(split != "train" and split != "valid"), "cluster": hash(name), "path": name}
        for split, files in names.items()
        for name in files
    ]
    (folder / "about.json").write_text(json.dumps({"used": used}), encoding="utf-8")


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "tasks"
    write_task(
        folder / "percussion-v1-full", dict.fromkeys(("fold00", "fold01", "fold02", "fold03"), 6), "new_split_kfold"
    )
    write_task(folder / "pitch-v1-full", {"train": 20, "valid": 6, "test": 6}, "trainvaltest")
    write_task(folder / "speaker_count-v1-full", {"train": 4, "valid": 2, "test": 2}, "trainvaltest")
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pilots of a model that trains in a second."""
    config = Pilot.config

    def with_small_model(self: Pilot, *arguments: Any) -> PretrainConfig:
        made = config(self, *arguments)
        latent = replace(made.objective.latent, layers=2)
        return replace(made, model=SMALL, objective=replace(made.objective, latent=latent))

    monkeypatch.setattr(Pilot, "config", with_small_model)


def test_pilots_have_names_of_their_own_and_valid_configurations() -> None:
    names = [pilot.name for pilot in pilots()]
    assert len(set(names)) == len(names)
    for pilot in pilots():
        config = pilot.config(PilotBudget(), 100, Path("teachers"))
        assert (config.model.family, config.schedule.steps, config.hardware.threads) == ("axlstm", 100, 1)


def test_only_teachers_whose_licence_lets_their_teaching_be_shipped_are_named() -> None:
    assert set(TEACHERS) == {"musicnn", "resemblyzer"}


def test_an_unknown_pilot_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"latin.*the pilots are base, latent"):
        find_pilots(["latin"])


def test_the_set_aside_fold_is_tested_and_nothing_of_it_is_trained_on(tasks: Path) -> None:
    parts = parts_of(tasks / "percussion-v1-full")
    test, valid = SET_ASIDE["percussion-v1-full"]
    folds = {part: {clip.split("/")[0] for clip in clips} for part, clips in parts.items()}
    assert (folds["test"], folds["valid"]) == ({test}, {valid})
    assert folds["train"] == {"fold00", "fold03"}


def test_a_test_split_is_left_to_the_final_table(tasks: Path) -> None:
    parts = parts_of(tasks / "pitch-v1-full")
    assert {clip.split("/")[0] for clip in parts["test"]} == {"valid"}
    assert {clip.split("/")[0] for part in ("train", "valid") for clip in parts[part]} == {"train"}
    assert not set(parts["train"]) & set(parts["valid"])
    assert len(parts["train"]) + len(parts["valid"]) == 20


def test_mixtures_of_what_other_tasks_test_on_are_left_out(tasks: Path) -> None:
    assert [path.name for path in find_parts(tasks)] == ["percussion-v1-full", "pitch-v1-full"]
    assert "speaker_count-v1-full" in MIXTURES


def test_a_fold_task_that_nobody_has_divided_is_refused(tasks: Path) -> None:
    write_task(tasks / "new-v1-full", dict.fromkeys(("fold00", "fold01", "fold02"), 2), "new_split_kfold")
    with pytest.raises(DataError, match="no fold of this task is set aside"):
        parts_of(tasks / "new-v1-full")


def test_what_is_tested_on_both_sides_is_found(tasks: Path) -> None:
    assert find_overlap(tasks) == {"percussion-v1-full": set(), "pitch-v1-full": set()}
    about = json.loads((tasks / "percussion-v1-full" / "about.json").read_text(encoding="utf-8"))
    aside = next(row for row in about["used"] if row["split"] == SET_ASIDE["percussion-v1-full"][0])
    path = tasks / "speaker_count-v1-full" / "about.json"
    other = json.loads(path.read_text(encoding="utf-8"))
    other["used"].append({"split": "test", "tested": 1, "cluster": aside["cluster"], "path": "a copy"})
    path.write_text(json.dumps(other), encoding="utf-8")
    assert find_overlap(tasks)["percussion-v1-full"] == {aside["path"]}


def test_the_final_table_leaves_out_the_fold_that_was_chosen_by() -> None:
    aside = SET_ASIDE["tags-v1-full"][0]
    folds = {f"fold0{i}": {"test_score": 0.5} for i in range(5)} | {aside: {"test_score": 1.0}}
    tags = Result("m", "tags-v1-full", 0, 0.6, "mAP", True, {**folds, "aggregated_scores": {}}, {})
    pitch = Result("m", "pitch-v1-full", 0, 0.7, "pitch_acc", True, {}, {})
    assert [result.score for result in leave_out_set_aside([tags, pitch])] == [0.5, 0.7]
    with pytest.raises(DataError, match=f"no {aside}"):
        leave_out_set_aside([replace(tags, content={})])


def test_the_validation_part_is_made_once(tasks: Path, tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        made = make_validation(tasks, tmp_path / "validation", told.append)
    assert len(made) == len(told) == 2
    assert len(list((tmp_path / "validation" / "percussion-v1-full" / "16000" / "test").iterdir())) == 6


@pytest.mark.usefixtures("small")
def test_two_masks_cost_more_than_one_and_a_recipe_costs_as_much_as_itself(tmp_path: Path) -> None:
    shards = make_shards(tmp_path)
    base, latent = (pilot.config(BUDGET, 4, Path()) for pilot in find_pilots(["base", "latent"]))
    both = replace(latent, optimiser=base.optimiser)  # as many recordings
    assert step_cost(both, base, shards) > step_cost(base, base, shards)


@pytest.mark.usefixtures("small")
def test_a_ladder_is_climbed_once(tmp_path: Path, tasks: Path) -> None:
    shards = make_shards(tmp_path)
    place = Place(tasks.parent, tmp_path / "ladder", shards, tmp_path)
    chosen = find_pilots(["base", "inverse-blocks"])
    first = climb(place, BUDGET, chosen, ["logmel"], quiet)
    assert set(first["scores"]) == {"base", "inverse-blocks", "logmel"}
    assert first["runs"]["base"]["crops"] == 16
    before = (tmp_path / "ladder" / "runs" / "base" / "model.safetensors").stat().st_mtime_ns
    assert climb(place, BUDGET, chosen, ["logmel"], quiet) == first
    assert (tmp_path / "ladder" / "runs" / "base" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="another budget"):
        climb(place, replace(BUDGET, crops=32), chosen, [], quiet)


def test_pilots_on_rendered_sound_need_it_and_its_labels_have_a_loss(tmp_path: Path) -> None:
    real, labelled = find_pilots(["base", "synthetic-labels"])
    place = Place(tmp_path, tmp_path / "out", tmp_path / "shards", tmp_path)
    assert place.data_of(real, place.shards) == place.shards
    with pytest.raises(DataError, match=r"no rendered shards; run python -m recipes\.open_audio synth --work"):
        place.data_of(labelled, place.shards)
    taught = labelled.config(PilotBudget(), 100, tmp_path).objective.teachers
    assert [Path(folder).name for folder in taught.folders] == list(LABELS)
    assert taught.weighted[0][1:] == (labelled.labels, labelled.labels / 2)


def test_a_table_has_the_difference_to_base_and_losses_of_targets() -> None:
    scores = {
        "base": {"logistic": {"a": 0.5, "b": 0.4, "c": 0.3}, "neighbours": {"a": 0.2, "b": 0.2, "c": 0.2}},
        "latent": {"logistic": {"a": 0.6, "b": 0.5, "c": 0.4}, "neighbours": {"a": 0.1, "b": 0.3, "c": 0.3}},
    }
    facts = {"what": "w", "step_cost": 1.0, "steps": 4, "crops": 16}
    runs = {"base": {**facts, "losses": {"loss": 0.3}}, "latent": {**facts, "losses": {"loss": 0.2, "latent": 0.7}}}
    results = {"runs": runs, "scores": scores}
    row = ladder_markdown(results).splitlines()[-1]
    assert "| 50.0 | +10.0 ± 0.0 | 3 of 3 | 23.3 | +3.3 ± 28.7 | 2 of 3 |" in row
    assert learnt(results).splitlines()[-1] == "| latent | 0.700 |"


def test_an_interval_over_tasks_holds_zero_where_tasks_disagree() -> None:
    mean, half, won = mean_difference({"a": 1.0, "b": 0.0}, {"a": 0.5, "b": 0.4})
    assert mean == pytest.approx(0.05)
    assert mean - half < 0 < mean + half
    assert won == 1


def test_a_long_run_is_the_pilot_with_a_schedule_of_its_own() -> None:
    (latent,) = find_pilots(["latent"])
    long = long_config(latent, LongBudget(), Path())
    short = latent.config(PilotBudget(), 100, Path())
    assert long.schedule.steps == 13_500
    assert long.objective.latent.final_decay > short.objective.latent.final_decay
    assert replace(long.objective, latent=short.objective.latent) == short.objective


@pytest.mark.usefixtures("small")
def test_a_long_run_packs_what_it_has_and_ends_once(tmp_path: Path) -> None:
    shards, (base,) = make_shards(tmp_path), find_pilots(["base"])
    budget, told = LongBudget(crops=24, batch=4, pack_minutes=0), list[str]()
    first = run_long(base, budget, shards, tmp_path, tmp_path / "long", told.append)
    assert (first["steps"], first["finished"]) == (6, True)
    assert any(line.startswith("packed step 6") for line in told)
    assert any(line.startswith("not packed") for line in told)  # before the first checkpoint
    assert (tmp_path / "long" / PACKED).is_file()
    again = run_long(base, budget, shards, tmp_path, tmp_path / "long", told.append)
    assert again["steps"] == 6


class PauseFile:
    """A file that is there at the second and third look; at the fifth, the command may end."""

    def __init__(self, end: Path) -> None:
        self.end, self.looks = end, 0

    def exists(self) -> bool:
        self.looks += 1
        if self.looks > 4:
            self.end.touch()
        return self.looks in {2, 3}


def test_a_polite_command_is_stopped_while_the_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda _, number: sent.append(number))
    end = tmp_path / "end"
    program = f"import pathlib, sys\nwhile not pathlib.Path({str(end)!r}).exists(): pass\nsys.exit(7)"
    pause = cast(Path, PauseFile(end))
    assert run_politely(pause, [sys.executable, "-c", program], look_seconds=0.01) == 7
    assert sent == [signal.SIGSTOP, signal.SIGCONT]


def test_pilots_train_on_a_share_of_the_shards(tmp_path: Path) -> None:
    from recipes.open_audio.study.training import share_of

    shards = make_shards(tmp_path)
    assert (
        read_index(share_of(shards, 0.5))["splits"]["train"]["records"]
        < read_index(shards)["splits"]["train"]["records"]
    )
