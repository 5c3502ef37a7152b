"""A frozen encoder's embeddings of shards: complete or resumed, at the right times, refused where they do not fit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm.teach
from axlstm.cli import main
from axlstm.data.config import PrepareConfig
from axlstm.data.order import crop_start, sample_key
from axlstm.data.prepare import prepare
from axlstm.data.reader import CropReader
from axlstm.data.shards import open_shards
from axlstm.data.teachers import Teacher, read_taught_shard, shard_file, write_taught_shard
from axlstm.errors import ConfigError, DataError
from axlstm.model.config import ModelConfig
from axlstm.seals import seal_object
from axlstm.teach import TeachConfig, teach
from tests.shards.made import write_sound

CLOCK = str(Path(__file__).parent / "shards" / "stub_teacher.py")
MODEL = ModelConfig()
SECONDS = [0.9, 1.7004, 2.0, 2.4, 3.1, 4.2, 5.3, 9.7, 12.0]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for number, seconds in enumerate(SECONDS):
        write_sound(folder / f"{number}.wav", seconds, number)
    return folder


def make_shards(sounds: Path, folder: Path, content: str = "logmel") -> Path:
    prepare([sounds], folder, PrepareConfig(held_out=0.2, shard_records=3, content=content), processes=1)
    return folder


@pytest.fixture(scope="module")
def shards(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(sounds, tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def taught(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("taught")
    teach(shards, CLOCK, out)
    return out


def raw(teacher: Teacher, standardised: np.ndarray) -> np.ndarray:
    """Undo the standardisation of frames."""
    return standardised * np.array(teacher.index["deviation"]) + np.array(teacher.index["mean"])


@pytest.mark.parametrize("patch_frames", [2, 4, 20])  # student's frames of 20 and 40 ms, and of 200 ms
def test_targets_lie_at_the_times_of_the_students_frames(shards, taught, patch_frames):
    """The teacher tells the time, so a target is the time of its frame."""
    model = replace(MODEL, patch_frames=patch_frames)
    opened = open_shards(shards)
    teacher = Teacher(taught, opened)
    reader = CropReader(opened, model, 3, [teacher])
    for epoch in range(4):
        batch = reader.read(epoch, np.arange(len(opened)))
        (of_teacher,) = batch.taught
        assert of_teacher.present.all()
        for row, record in enumerate(range(len(opened))):
            facts = reader._files.facts(record)
            frames = 1 + int(facts["seconds"] * 16_000) // 160
            start = crop_start(sample_key(3, epoch, record), frames, 200)
            middles = (np.arange(model.grid_frames) * patch_frames + (patch_frames - 1) / 2) % min(frames, 200)
            expected_s = np.clip((start + middles) / 100, 0.0125, facts["seconds"] - 0.0125)
            times_s = raw(teacher, of_teacher.frames[row].numpy())[:, 0]
            edge = 0.003 + 0.01 * patch_frames  # at a record's ends the triangle leans inwards
            inside = (expected_s > edge) & (expected_s < facts["seconds"] - edge)
            np.testing.assert_allclose(times_s[inside], expected_s[inside], atol=0.004)
            np.testing.assert_allclose(times_s, expected_s, atol=edge)
    reader.close()


def test_targets_are_standardised_and_dead_channels_are_zero(shards, taught):
    opened = open_shards(shards)
    teacher = Teacher(taught, opened)
    files = [read_taught_shard(shard_file(taught, shard)) for shard in opened.shards]
    count = sum(int(file.counts.sum()) for file in files)
    every = np.concatenate(
        [np.fromfile(file.path, np.float16, offset=file.begin).reshape(-1, 4).astype(np.float64) for file in files]
    )
    assert len(every) == count
    np.testing.assert_allclose(teacher.index["mean"], every.mean(0), atol=1e-9)
    np.testing.assert_allclose(teacher.index["deviation"], every.std(0), atol=1e-9)
    targets = [teacher.crop(record, 0, 200, MODEL) for record in range(len(opened))]
    for target in targets:
        assert (target.frames[:, 3] == 0).all()
        mean = raw(teacher, target.frames).mean(0) - np.array(teacher.index["mean"])
        scale = np.array(teacher.index["clip_deviation"])
        np.testing.assert_allclose(target.clip[:3], (mean / np.where(scale, scale, 1))[:3], atol=1e-4)


def test_sound_and_log_mel_shards_give_the_same_embeddings(sounds, shards, taught, tmp_path):
    of_sound = make_shards(sounds, tmp_path / "shards", "audio")
    teach(of_sound, CLOCK, tmp_path / "taught")
    one = Teacher(taught, open_shards(shards))
    other = Teacher(tmp_path / "taught", open_shards(of_sound))
    for record in range(len(open_shards(shards))):
        ours, theirs = (teacher.crop(record, 0, 200, MODEL).frames for teacher in (one, other))
        np.testing.assert_allclose(ours, theirs, atol=0.02)


def test_any_of_our_models_teaches(shards, tmp_path):
    index = teach(shards, "axlstm-tiny", tmp_path, TeachConfig(hop_ms=200))
    assert (index["size"], index["hop_ms"], index["first_ms"]) == (960, pytest.approx(200), pytest.approx(95))
    target = Teacher(tmp_path, open_shards(shards)).crop(0, 0, 200, MODEL)
    assert target.frames.shape == (50, 960)
    assert np.isfinite(target.frames).all()


def test_scenes_are_of_stretches_that_overlap_by_half(shards, tmp_path):
    index = teach(shards, CLOCK, tmp_path, TeachConfig(each="scene", stretch_seconds=2.0))
    assert (index["size"], index["hop_ms"], index["first_ms"]) == (2, 1000, 1000)
    opened = open_shards(shards)
    teacher = Teacher(tmp_path, opened)
    reader = CropReader(opened, MODEL, 0)
    counts = {reader._files.facts(r)["seconds"]: int(teacher._counts[r]) for r in range(len(opened))}
    assert counts == {s: max(1, int(s) - 1) for s in counts}
    assert len(set(counts.values())) > 3


def test_an_interrupted_teaching_goes_on_with_the_same_bytes(shards, taught, tmp_path, monkeypatch):
    written = []
    write = axlstm.teach.write_taught_shard

    def twice(path, *rest):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, *rest)

    monkeypatch.setattr("axlstm.teach.write_taught_shard", twice)
    with pytest.raises(KeyboardInterrupt):
        teach(shards, CLOCK, tmp_path)
    with pytest.raises(DataError, match=r"no teacher\.json, so no complete embeddings .* axlstm teach SHARDS"):
        Teacher(tmp_path, open_shards(shards))
    monkeypatch.setattr(
        "axlstm.teach.write_taught_shard", lambda path, *rest: written.append(path) or write(path, *rest)
    )
    teach(shards, CLOCK, tmp_path)
    assert len(written) == len(set(written)) == len(list(taught.glob("*.safetensors")))
    for path in [*taught.glob("*.safetensors"), taught / "teacher.json"]:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_records_that_cannot_be_embedded_are_listed_and_the_rest_is_kept(shards, tmp_path, capsys):
    status = main(["teach", str(shards), "--with", f"{CLOCK}@picky", "-o", str(tmp_path)])
    told = capsys.readouterr().out
    assert status == 0
    lines = [json.loads(line) for line in (tmp_path / "skipped.jsonl").read_text().splitlines()]
    assert f"skipped {len(lines)}" in told
    assert "one every 25 ms" in told
    assert {line["reason"] for line in lines} == {"RuntimeError: clips below 3 s are beneath me"}
    opened = open_shards(shards)
    teacher = Teacher(tmp_path, opened)
    reader = CropReader(opened, MODEL, 0, [teacher])
    (of_teacher,) = reader.read(0, np.arange(len(opened))).taught
    short = [reader._files.facts(record)["seconds"] < 3 for record in range(len(opened))]
    assert any(short)
    assert of_teacher.present.tolist() == [not is_short for is_short in short]
    assert (of_teacher.frames[torch.tensor(short)] == 0).all()


def test_sound_that_is_gone_or_changed_costs_its_record(sounds, tmp_path):
    copy = tmp_path / "sounds"
    shutil.copytree(sounds, copy)
    folder = make_shards(copy, tmp_path / "shards")
    (copy / "3.wav").unlink()
    write_sound(copy / "4.wav", 3.1, 99)
    index = teach(folder, CLOCK, tmp_path / "taught")
    reasons = (tmp_path / "taught" / "skipped.jsonl").read_text()
    assert index["skipped"] == 2
    assert "3.wav: no such file; restore it" in reasons
    assert "4.wav: its sound is not that of the record any more" in reasons


def test_sound_that_is_there_again_is_taught_by_the_same_command(sounds, tmp_path):
    copy, out = tmp_path / "sounds", tmp_path / "taught"
    shutil.copytree(sounds, copy)
    folder = make_shards(copy, tmp_path / "shards")
    copy.rename(tmp_path / "unplugged")
    with pytest.raises(DataError, match=r"none of \d+ records can be embedded; the first: .*no such file; restore it"):
        teach(folder, CLOCK, out)
    (tmp_path / "unplugged").rename(copy)
    assert teach(folder, CLOCK, out)["skipped"] == 0


def test_a_fault_of_the_machine_ends_the_teaching(shards, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr("axlstm.teach._ShardTeacher._embed", fail)
    with pytest.raises(torch.OutOfMemoryError):
        teach(shards, CLOCK, tmp_path)
    monkeypatch.undo()
    assert teach(shards, CLOCK, tmp_path)["skipped"] == 0


@pytest.mark.parametrize("counts", [[10, -5], [[1, 4]], [1.0, 4.0]])
def test_impossible_counts_of_embeddings_are_refused(counts, tmp_path):
    write_taught_shard(tmp_path / "x", np.zeros((5, 2), np.float16), np.array(counts), {}, None, [])
    with pytest.raises(DataError, match="impossible counts of embeddings"):
        read_taught_shard(tmp_path / "x")


def test_mistakes_are_explained(shards, taught, tmp_path):
    with pytest.raises(ConfigError, match="holds shards, whose files must stay as they are"):
        teach(shards, CLOCK, shards)
    with pytest.raises(DataError, match=r"encoder: .*clock .*, .*clock other.* Use the same encoder"):
        teach(shards, f"{CLOCK}@other", taught)
    with pytest.raises(DataError, match=r"hop_ms: None there, 100 here"):
        teach(shards, CLOCK, taught, TeachConfig(hop_ms=100))
    with pytest.raises(DataError, match=r"none of \d+ records can be embedded; the first: .*gives NaN, infinity"):
        teach(shards, f"{CLOCK}@nan", tmp_path / "nan")
    index = teach(shards, f"{CLOCK}@stretching", tmp_path / "stretching")
    assert index["skipped"] > 0
    assert "a teacher needs one hop" in (tmp_path / "stretching" / "skipped.jsonl").read_text()
    with pytest.raises(ConfigError, match="does not exist"):
        teach(shards, "nowhere.py", tmp_path / "none")
    for wrong in ({"hop_ms": 0.0}, {"stretch_seconds": -1.0}, {"each": "word"}, {"each": "scene", "hop_ms": 5.0}):
        with pytest.raises(ConfigError):
            TeachConfig(**wrong)


def copied(taught: Path, folder: Path) -> Path:
    shutil.copytree(taught, folder)
    return folder


def test_embeddings_that_do_not_fit_are_refused_before_the_first_step(sounds, shards, taught, tmp_path):
    opened = open_shards(shards)
    write_sound(tmp_path / "more" / "x.wav", 3.0, 50)
    prepare([sounds, tmp_path / "more"], tmp_path / "shards", PrepareConfig(held_out=0.2, shard_records=3), processes=1)
    with pytest.raises(DataError, match="embeddings are of other shards than those in"):
        Teacher(taught, open_shards(tmp_path / "shards"))
    name = shard_file(taught, opened.shards[1]).name
    cut = copied(taught, tmp_path / "cut")
    (cut / name).write_bytes((cut / name).read_bytes()[:-7])
    with pytest.raises(DataError, match=rf"{name}: cut short or damaged"):
        Teacher(cut, opened)
    gone = copied(taught, tmp_path / "gone")
    (gone / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: this file of embeddings is missing"):
        Teacher(gone, opened)
    index = json.loads((taught / "teacher.json").read_text())
    for key, value, message in (
        ("hop_ms", 80.0, r"a frame every 25 ms from 12\.5 ms on, but teacher\.json says every 80 ms"),
        ("mean", [float("nan")] * 4, "mean or deviation holds NaN, infinity"),
        ("deviation", [1e300] * 4, "more than float16 embeddings can have"),
        ("mean", [0.0], "statistics of other than 4 channels"),
        ("hop_ms", 0.0, r"but teacher\.json says every 0 ms"),
        ("size", 5, "statistics of other than 5 channels"),
    ):
        other = copied(taught, tmp_path / f"{key} {value}")
        index.pop("crc32", None)
        (other / "teacher.json").write_text(json.dumps(seal_object({**index, key: value})))
        with pytest.raises(DataError, match=message):
            Teacher(other, opened)
    (other / "teacher.json").write_text("{")
    with pytest.raises(DataError, match="not the description of a teacher"):
        Teacher(other, opened)


def test_damaged_embeddings_cost_their_record(shards, taught, tmp_path):
    opened = open_shards(shards)
    damaged = copied(taught, tmp_path / "damaged")
    file = read_taught_shard(shard_file(damaged, opened.shards[0]))
    with file.path.open("rb+") as raw_file:
        raw_file.seek(file.begin)
        raw_file.write(np.full(4 * file.counts[0], np.nan, np.float16).tobytes())
    reader = CropReader(opened, MODEL, 0, [Teacher(damaged, opened)])
    skipped = [line for epoch in range(8) for line in reader.read(epoch, np.arange(len(opened))).skipped]
    assert skipped
    assert all("record 0: " in line and "damaged: a checksum is another one" in line for line in skipped)
    (of_teacher,) = reader.read(0, np.arange(len(opened))).taught
    assert of_teacher.frames.isfinite().all()
