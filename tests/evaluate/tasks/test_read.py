"""Task directories: read, checked, resampled, unpacked from archives, made from tables."""

import io
import json
import math
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from axlstm.errors import ConfigError, DataError
from axlstm.evaluate.tasks.archive import extract_archive
from axlstm.evaluate.tasks.make import TaskRecipe, make_task
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.evaluate.tasks.read import Task, check_task, find_tasks, read_task, resample_task
from tests.evaluate.reference import DATA

TASKS = DATA / "embed_stage" / "tasks"


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    folder = tmp_path / "tinyscene-v1-full"
    shutil.copytree(TASKS / "tinyscene-v1-full", folder)
    return folder


def change_json(path: Path, file: str, value: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), file: value}), encoding="utf-8")


def test_sound_tasks_have_no_problems() -> None:
    assert [path.name for path in find_tasks(TASKS)] == ["tinyevent-v1-full", "tinyscene-v1-full"]
    for path in find_tasks(TASKS):
        assert check_task(read_task(path)) == []


def test_labels_are_checked_when_a_task_is_read(scene: Path) -> None:
    change_json(scene / "fold00.json", "low-01.wav", ["dog"])
    with pytest.raises(TaskError, match=r"low-01\.wav has the label 'dog', which labelvocabulary\.csv lacks"):
        read_task(scene)
    change_json(scene / "fold00.json", "low-01.wav", ["low", "mid"])
    with pytest.raises(TaskError, match=r"has 2 labels .* multiclass needs exactly one"):
        read_task(scene)
    (scene / "fold00.json").write_text("{}")
    with pytest.raises(TaskError, match="split is empty"):
        read_task(scene)
    (scene / "fold00.json").write_text('{"../x.wav": ["low"]}')
    with pytest.raises(TaskError, match="not a plain file name"):
        read_task(scene)
    (scene / "fold00.json").unlink()
    with pytest.raises(TaskError, match=r"fold00\.json is missing"):
        read_task(scene)
    with pytest.raises(TaskError, match="no task at"):
        find_tasks(scene / "16000")


def test_every_fault_of_the_audio_is_listed(scene: Path) -> None:
    folder = scene / "16000" / "fold00"
    (folder / "low-01.wav").unlink()
    (folder / "low-04.wav").write_bytes(b"nothing")
    soundfile.write(folder / "high-03.wav", np.zeros(399), 16000)
    soundfile.write(folder / "mid-02.wav", np.zeros((8000, 2)), 8000)
    shutil.copy(scene / "16000" / "fold01" / "mid-12.wav", folder / "mid-05.wav")
    change_json(scene / "fold00.json", "low-11.wav", ["low"])
    shutil.copy(scene / "16000" / "fold01" / "low-11.wav", folder / "low-11.wav")
    found = "\n".join(check_task(read_task(scene)))
    for expected in (
        "low-01.wav is missing",
        "low-04.wav cannot be read",
        "high-03.wav lasts 24.9375 ms; embeddings need 25 ms",
        "mid-02.wav has 8000 Hz, its folder says 16000",
        "mid-02.wav has 2 channels",
        "has the content of fold00/mid-05.wav: it leaks",
        "fold01/low-11.wav has the name of fold00/low-11.wav: it leaks",
    ):
        assert expected in found


def test_durations_events_and_absent_classes(tmp_path: Path) -> None:
    folder = tmp_path / "tinyevent-v1-full"
    shutil.copytree(TASKS / "tinyevent-v1-full", folder)
    soundfile.write(folder / "16000" / "valid" / "svalid0.wav", np.zeros(16000), 16000)
    for i in range(3):
        change_json(folder / "train.json", f"strain{i}.wav", [{"label": "low", "start": 3900, "end": 9000}])
    found = "\n".join(check_task(read_task(folder)))
    assert "svalid0.wav lasts 1.000 s, the task's clips last 4.0 s" in found
    assert "the event low from 3900 to 9000 ms does not lie in the clip" in found
    assert "no training clip of high for the test split test" in found
    (folder / "train.json").write_text('{"strain0.wav": [{"label": "low"}]}')
    with pytest.raises(TaskError, match="expected events with label, start and end"):
        read_task(folder)


def test_a_48_khz_release_is_resampled(scene: Path) -> None:
    for path in sorted((scene / "16000").rglob("*.wav")):
        target = scene / "48000" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, np.repeat(soundfile.read(path)[0], 3), 48000)
    kept = scene / "16000" / "fold00" / "low-01.wav"
    before = kept.read_bytes()
    shutil.rmtree(scene / "16000" / "fold01")
    task = read_task(scene)
    assert resample_task(task) == 6
    assert check_task(task) == []
    assert kept.read_bytes() == before
    shutil.rmtree(scene / "48000")
    kept.unlink()
    with pytest.raises(TaskError, match=r"fold00/low-01\.wav exists at none of 16000, 48000"):
        resample_task(task)


def make_tar(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content)
            info.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
            tar.addfile(info, io.BytesIO(content))
    return path


def test_archives_are_unpacked(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", ("tasks/t/task_metadata.json", tarfile.REGTYPE, b"{}"))
    assert extract_archive(archive, tmp_path / "out") == 1
    assert (tmp_path / "out/tasks/t/task_metadata.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("../evil", tarfile.REGTYPE, b"x"), "would be written outside"),
        (("/evil", tarfile.REGTYPE, b"x"), "would be written outside"),
        (("a/../../evil", tarfile.REGTYPE, b"x"), "would be written outside"),
        (("link", tarfile.SYMTYPE, b""), "is a link or device"),
        (("link", tarfile.LNKTYPE, b""), "is a link or device"),
        (("big", tarfile.REGTYPE, b"x" * 2000), "more than 1000 bytes"),
    ],
)
def test_archives_that_would_do_harm_write_nothing(tmp_path: Path, member: tuple, message: str) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", ("good.txt", tarfile.REGTYPE, b"x"), member)
    with pytest.raises(TaskError, match=message):
        extract_archive(archive, tmp_path / "out" / "deep", most_bytes=1000)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "evil").exists()


def test_a_broken_archive(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"no tar")
    with pytest.raises(TaskError, match="cannot be unpacked"):
        extract_archive(tmp_path / "a.tar.gz", tmp_path / "out")


def damage_gzip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def damage_checksum(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def damage_a_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"second.txt")] = ord("x")
    path.write_bytes(content)


def cut_behind_a_member(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"second.txt")])


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        ("gz", damage_gzip),
        ("gz", damage_checksum),
        ("gz", cut),
        ("xz", damage_gzip),
        ("xz", cut),
        ("bz2", damage_gzip),
        ("", damage_a_header),
        ("", cut_behind_a_member),
    ],
)
def test_nothing_is_unpacked_from_a_damaged_archive(
    tmp_path: Path, suffix: str, damage: Callable[[Path], None]
) -> None:
    archive = tmp_path / f"tasks.tar.{suffix}".rstrip(".")
    noise = np.random.default_rng(0).bytes(100_000)
    with tarfile.open(archive, f"w:{suffix}") as tar:
        for name in ("first.txt", "second.txt", "third.txt"):
            info = tarfile.TarInfo(name)
            info.size = len(noise)
            tar.addfile(info, io.BytesIO(noise))
    assert extract_archive(archive, tmp_path / "whole") == 3
    damage(archive)
    with pytest.raises(TaskError, match=rf"{archive.name} cannot be unpacked"):
        extract_archive(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / f"kit{i % 4}"
        folder.mkdir(exist_ok=True)
        soundfile.write(folder / f"hit{i // 4}.wav", rng.normal(size=4000 + 100 * i) / 20, 8000)
    return tmp_path


def write_table(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_table_with_groups_becomes_folds(sounds: Path) -> None:
    rows = [f"kit{k}/hit{h}.wav,{'low' if h else 'high'},kit{k}" for k in range(4) for h in range(3)]
    table = write_table(sounds, "path,label,group", *rows)
    shown: list[tuple[str, int, int]] = []
    recipe = TaskRecipe("drums", folds=3, duration_s=0.5)
    task = make_task(table, sounds / "tasks", recipe, lambda *step: shown.append(step))
    assert [step for step in shown if step[1] == step[2]] == [("check sounds", 12, 12), ("write clips", 12, 12)]
    shown.clear()
    assert make_task(table, sounds / "tasks", recipe, lambda *step: shown.append(step)) == task
    assert {stage for stage, _, _ in shown} == {"check sounds"}
    assert task.path == sounds / "tasks" / "drums-v1-full"
    assert check_task(task) == []
    assert {name: len(content) for name, content in task.splits.items()} == {"fold00": 6, "fold01": 3, "fold02": 3}
    assert task.metadata.prediction_type == "multiclass"
    assert task.labels == ["high", "low"]


def test_a_table_with_splits_and_several_labels(sounds: Path) -> None:
    parts = ["train", "valid", "test", "train"]
    rows = [f"kit{k}/hit0.wav,{'a; b' if k else 'a'},{parts[k]}" for k in range(4)]
    task = make_task(write_table(sounds, "path,label,split", *rows), sounds / "tasks", TaskRecipe("tags"))
    assert task.metadata.prediction_type == "multilabel"
    assert task.metadata.scores[0] == "mAP"
    assert sorted(task.splits["train"].values()) == [["a"], ["a", "b"]]


def test_a_multilabel_table_may_have_clips_without_labels(sounds: Path) -> None:
    for some, none in (("a;b", ""), ("a", ";")):
        labels = [some, none, "b", some]
        parts = ["train", "train", "valid", "test"]
        rows = [f"kit{k}/hit0.wav,{labels[k]},{parts[k]}" for k in range(4)]
        task = make_task(write_table(sounds, "path,label,split", *rows), sounds / "tasks", TaskRecipe("tags"))
        assert task.metadata.prediction_type == "multilabel"
        assert [] in task.splits["train"].values()


def test_a_class_without_a_training_clip_is_told(sounds: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        f"kit{k}/hit0.wav,{label},{part}"
        for k, (label, part) in enumerate(zip("aac", ("train", "valid", "test"), strict=True))
    ]
    make_task(write_table(sounds, "path,label,split", *rows), sounds / "tasks", TaskRecipe("t"))
    assert "t-v1-full: no training clip of c for the test split test" in caplog.text


def test_a_table_of_events(sounds: Path) -> None:
    rows = ["kit0/hit0.wav,snare,0,100,train", "kit0/hit0.wav,kick,50,120,train", "kit1/hit0.wav,,,,train"]
    rows += ["kit2/hit0.wav,kick,0,90,valid", "kit3/hit0.wav,snare,10,80,test"]
    table = write_table(sounds, "path,label,start_ms,end_ms,split", *rows)
    task = make_task(table, sounds / "tasks", TaskRecipe("hits"))
    assert task.metadata.is_event
    assert sorted(len(events) for events in task.splits["train"].values()) == [0, 2]
    assert check_task(task) == []


def write_tone(path: Path, hz: int, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.sin(2 * np.pi * hz * np.arange(round(16000 * seconds)) / 16000) / 2, 16000)


def find_tones(task: Task) -> dict[str, int]:
    """The frequency in Hz by label of all clips that lie in a task's folders."""
    labels = {(split, file): label for split, found in task.splits.items() for file, (label,) in found.items()}
    tones = {}
    for path in (task.path / "16000").rglob("*.wav"):
        samples, _ = soundfile.read(path)
        peak = int(np.argmax(np.abs(np.fft.rfft(samples)))) * 16000 / len(samples)
        tones[labels.get((path.parent.name, path.name), f"stale {path.name}")] = round(peak)
    return tones


TONES = {"x-2": 100, "a/x": 200, "b/x": 300, "c/v": 400, "c/t": 500, "x-3": 600, "d/x": 700}


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    for name, hz in TONES.items():
        write_tone(tmp_path / f"{name}.wav", hz)
    return tmp_path


def write_tone_table(folder: Path, *names: str) -> Path:
    part = {"c/v": "valid", "c/t": "test"}
    return write_table(folder, "path,label,split", *[f"{name}.wav,{name},{part.get(name, 'train')}" for name in names])


@pytest.mark.parametrize(
    "order", [("x-2", "a/x", "b/x", "c/v", "c/t"), ("a/x", "b/x", "d/x", "x-3", "x-2", "c/v", "c/t")]
)
def test_every_clip_has_a_name_of_its_own(tones: Path, order: tuple[str, ...]) -> None:
    task = make_task(write_tone_table(tones, *order), tones / "tasks", TaskRecipe("t"))
    assert find_tones(task) == {name: TONES[name] for name in order}
    assert "x-2.wav" in task.splits["train"]


def test_a_changed_table_changes_the_clips(tones: Path) -> None:
    make_task(write_tone_table(tones, "a/x", "x-3", "c/v", "c/t"), tones / "tasks", TaskRecipe("t"))
    order = ("b/x", "a/x", "c/v", "c/t")
    task = make_task(write_tone_table(tones, *order), tones / "tasks", TaskRecipe("t"))
    assert find_tones(task) == {name: TONES[name] for name in order}


def test_a_changed_sound_or_duration_changes_the_clips(tones: Path) -> None:
    table = write_tone_table(tones, "a/x", "c/v", "c/t")
    make_task(table, tones / "tasks", TaskRecipe("t"))
    write_tone(tones / "a/x.wav", 900, seconds=2)
    assert find_tones(make_task(table, tones / "tasks", TaskRecipe("t")))["a/x"] == 900
    make_task(table, tones / "tasks", TaskRecipe("t", duration_s=0.5))
    task = make_task(table, tones / "tasks", TaskRecipe("t", duration_s=1.5))
    durations_s = {soundfile.info(path).duration for path in (task.path / "16000").rglob("*.wav")}
    assert durations_s == {1.5}


def test_a_task_goes_on_with_the_clips_that_are_missing(tones: Path) -> None:
    table = write_tone_table(tones, "a/x", "b/x", "c/v", "c/t")
    task = make_task(table, tones / "tasks", TaskRecipe("t"))
    clips = sorted((task.path / "16000").rglob("*.wav"))
    before = {path: path.stat().st_mtime_ns for path in clips}
    next(path for path in clips if path.parent.name == "train").unlink()
    notes = task.path / "16000" / "clips.jsonl"
    notes.write_text(notes.read_text()[:-9])  # cut short as the last clip was noted
    shown: list[tuple[str, int, int]] = []
    assert find_tones(make_task(table, tones / "tasks", TaskRecipe("t"), lambda *step: shown.append(step))) == {
        name: TONES[name] for name in ("a/x", "b/x", "c/v", "c/t")
    }
    assert shown[-1] == ("write clips", 2, 2)
    assert sum(path.stat().st_mtime_ns != before[path] for path in clips) == 2


def test_clips_that_are_not_the_tasks_stay(tones: Path) -> None:
    table = write_tone_table(tones, "a/x", "c/v", "c/t")
    task = make_task(table, tones / "tasks", TaskRecipe("t"))
    mine = task.path / "16000" / "train" / "mine.wav"
    write_tone(mine, 50)
    make_task(table, tones / "tasks", TaskRecipe("t"))
    assert mine.is_file()


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("path,label", ["kit0/hit0.wav,a"], "one of split and group"),
        ("path,label,split", ["none.wav,a,train"], r"line 2: .*none\.wav is not a file"),
        ("path,label,split", ["kit0/hit0.wav,a,train", "kit0/hit0.wav,a,test"], "line 3: .* is there twice"),
        ("path,label,split", ["kit0/hit0.wav,a,"], "line 2: split is empty"),
        ("path,label,split", ["kit0/hit0.wav,a,dev"], "split must be train, valid or test"),
        ("path,label,group", ["kit0/hit0.wav,a,x", "kit1/hit0.wav,a,y"], "at least 3 groups"),
        ("path,label,start_ms,end_ms,split", ["kit0/hit0.wav,a,x,3,train"], "line 2: start_ms and end_ms must be"),
        ("path,label,start_ms,end_ms,split", ["kit0/hit0.wav,a,9,3,train"], "line 2: an event must start"),
        (
            "path,label,split",
            ["kit0/hit0.wav,a,train", "kit1/hit0.wav,,train"],
            "line 3: label is empty, but no clip has",
        ),
        ("path,label,group", ["kit0/hit0.wav,,x", "kit1/hit0.wav, ,y"], "line 2, 3: label is empty"),
        ("path,label,split", [], "has no rows"),
    ],
)
def test_tables_that_make_no_task(sounds: Path, header: str, rows: list[str], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make_task(write_table(sounds, header, *rows), sounds / "tasks", TaskRecipe("t"))


def test_recipes_and_sounds_that_do_not_fit(sounds: Path) -> None:
    with pytest.raises(TaskError, match="task name"):
        TaskRecipe("a/b")
    with pytest.raises(TaskError, match="at least 3"):
        TaskRecipe("a", folds=2)
    for duration_s in (0.0, -0.25, math.nan, math.inf):
        with pytest.raises(ConfigError, match=r"duration_s is .*: expected seconds above 0"):
            TaskRecipe("a", duration_s=duration_s)
    with pytest.raises(TaskError, match="does not exist"):
        make_task(sounds / "none.csv", sounds, TaskRecipe("t"))
    (sounds / "latin.csv").write_bytes("path,label,split\na.wav,Gespr\u00e4ch,train\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.csv is no CSV text in UTF-8 .*: save it again as UTF-8"):
        make_task(sounds / "latin.csv", sounds, TaskRecipe("t"))


def test_sounds_that_cannot_be_read_stop_it_with_their_lines_before_anything_is_written(sounds: Path) -> None:
    rows = [f"kit{k}/hit{h}.wav,a,kit{k}" for h in range(2) for k in range(4)]
    table = write_table(sounds, "path,label,group", *rows)
    task = make_task(table, sounds / "tasks", TaskRecipe("t"))
    before = {path: path.read_bytes() for path in task.path.rglob("*") if path.is_file()}
    (sounds / "kit1" / "hit0.wav").write_bytes(b"no sound")
    whole = (sounds / "kit3" / "hit1.wav").read_bytes()
    (sounds / "kit3" / "hit1.wav").write_bytes(whole[: len(whole) // 2])
    told = r"table\.csv: 2 of 8 sounds .* nothing is written: line 3: .*kit1/hit0\.wav: .*; line 9: .*: cut short"
    for out in (sounds / "new", sounds / "tasks"):
        with pytest.raises(TaskError, match=told):
            make_task(table, out, TaskRecipe("t"))
    assert not (sounds / "new").exists()
    assert {path: path.read_bytes() for path in task.path.rglob("*") if path.is_file()} == before
