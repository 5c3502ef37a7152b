"""Plans become task folders: rendered, whole, up to date, described; tasks without their packages are skipped."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from axlstm.errors import AxlstmError, ConfigError
from axlstm.evaluate.tasks.make import TaskRecipe, make_task
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.evaluate.tasks.read import check_task, read_task
from recipes.open_audio.fetch import Work
from recipes.open_audio.tasks import affect, render, suite
from recipes.open_audio.tasks.build import build_task
from recipes.open_audio.tasks.chance import chance_level
from recipes.open_audio.tasks.plan import Clip, Note, Piece, TaskPlan, Track
from recipes.open_audio.tasks.recordings import Recordings
from recipes.open_audio.tasks.render import Renderer
from recipes.open_audio.tests.made import RATE_HZ
from recipes.open_audio.tests.test_tasks_plans import cries


def quiet(line: str) -> None:
    """A report to nobody."""


def write(folder: Path, name: str, samples: np.ndarray) -> Piece:
    soundfile.write(folder / name, samples, RATE_HZ, format="WAV", subtype="FLOAT")
    return Piece(name)


def clip_of(*tracks: Track) -> Clip:
    return Clip("c", "train", (), tracks)


def test_recordings_are_joined_cut_and_padded(tmp_path: Path) -> None:
    ones = write(tmp_path, "a.wav", np.full(RATE_HZ // 2, 0.1, np.float32))
    twos = write(tmp_path, "b.wav", np.full(RATE_HZ // 2, 0.2, np.float32))
    samples = Renderer(tmp_path).clip(clip_of(Track((ones, twos), length_s=0.75)), 1.0)
    assert len(samples) == RATE_HZ
    np.testing.assert_allclose(samples[:8000], 0.1)
    np.testing.assert_allclose(samples[8000:11_800], 0.2)
    assert (np.diff(samples[11_840:12_000]) <= 0).all()  # it fades where it is cut
    assert not samples[12_000:].any()


def test_tracks_start_where_they_say_loop_and_have_the_level_asked_for(tmp_path: Path) -> None:
    tone = 0.01 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    loud = write(tmp_path, "a.wav", np.concatenate([np.zeros(RATE_HZ, np.float32), tone]))
    track = Track((Piece(loud.path, 1.0, 1.5),), at_s=1.0, length_s=2.0, loops=True, level_db=-20.0)
    samples = Renderer(tmp_path).clip(clip_of(track), 4.0)
    assert not samples[:RATE_HZ].any()
    assert not samples[3 * RATE_HZ :].any()
    rms_db = 10 * np.log10(np.mean(samples[RATE_HZ : 3 * RATE_HZ] ** 2))
    assert rms_db == pytest.approx(-20.0, abs=0.1)


def test_a_mixture_beyond_full_scale_is_made_quieter_not_clipped(tmp_path: Path) -> None:
    loud = write(tmp_path, "a.wav", np.linspace(-0.9, 0.9, RATE_HZ, dtype=np.float32))
    samples = Renderer(tmp_path).clip(clip_of(Track((loud,)), Track((loud,))), 1.0)
    assert np.abs(samples).max() == pytest.approx(0.95)
    assert len(np.unique(samples)) > RATE_HZ // 2


def test_noise_lies_under_all_of_a_clip_and_is_the_same_every_time(tmp_path: Path) -> None:
    silence = write(tmp_path, "a.wav", np.zeros(100, np.float32))
    clip = Clip("c", "train", (), (Track((silence,)),), noise_db=-60.0)
    first, again = (Renderer(tmp_path).clip(clip, 1.0) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert 10 * np.log10(np.mean(first**2)) == pytest.approx(-60.0, abs=0.2)
    assert (Renderer(tmp_path).clip(Clip("d", "train", (), clip.tracks, noise_db=-60.0), 1.0) != first).any()


def test_where_a_recording_sounds(tmp_path: Path) -> None:
    sound = np.zeros(RATE_HZ, np.float32)
    sound[4000:8000] = 0.5
    write(tmp_path, "a.wav", sound)
    write(tmp_path, "b.wav", np.zeros(1000, np.float32))
    renderer = Renderer(tmp_path)
    assert renderer.sounding("a.wav") == pytest.approx((0.25, 0.5))
    assert renderer.sounding("b.wav") == (0.0, 0.0)


def test_notes_are_played_and_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str | int, ...]] = []

    class Synth:
        def __init__(self, **settings: float) -> None:
            assert settings["samplerate"] == 44_100

        def sfload(self, path: str) -> int:
            assert path == str(tmp_path / "f.sf2")
            return 3

        def sounds_off(self) -> None: ...

        def program_select(self, *numbers: int) -> None:
            calls.append(("program", *numbers))

        def noteon(self, *numbers: int) -> None:
            calls.append(("on", *numbers))

        def noteoff(self, *numbers: int) -> None:
            calls.append(("off", *numbers))

        def generate(self, count: int) -> memoryview:
            calls.append(("samples", count))
            return memoryview(np.full(2 * count, 0.25, np.float32).tobytes())

    module = ModuleType("tinysoundfont")
    module.Synth = Synth  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tinysoundfont", module)
    samples = Renderer(tmp_path).clip(clip_of(Track((Note("f.sf2", 40, 69, 80, 1.0),))), 2.0)
    played = [("program", 0, 3, 0, 40), ("on", 0, 69, 80), ("samples", 44_100), ("off", 0, 69), ("samples", 22_050)]
    assert calls == played
    assert np.abs(samples[1000:23_000] - 0.25).max() < 0.01
    assert not samples[24_001:].any()


def test_without_a_player_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    with pytest.raises(ConfigError, match="pip install --no-deps tinysoundfont"):
        Renderer(tmp_path).clip(clip_of(Track((Note("f.sf2", 40, 69, 80, 1.0),))), 2.0)


def test_a_task_is_sound_described_and_the_same_every_time(tmp_path: Path) -> None:
    recordings = cries(tmp_path / "work", written=True)
    contents = []
    for name in ("one", "two"):
        renderer = Renderer(recordings.folder)
        about = build_task(affect.plan(recordings, renderer), recordings, renderer, tmp_path / name, quiet)
        task = read_task(tmp_path / name / about.task)
        assert check_task(task) == []
        contents.append(
            {
                path.relative_to(tmp_path / name): path.read_bytes()
                for path in sorted((tmp_path / name).rglob("*"))
                if path.is_file()
            }
        )
    assert contents[0] == contents[1]
    assert about.labels == ["effort", "gasp", "laugh", "pain", "scream"]
    assert sum(about.clips.values()) == 60
    assert about.hours == pytest.approx(60 * 2 / 3600, abs=1e-4)
    assert about.test_groups == 10
    assert about.split_mode == "5 folds"
    assert about.chance == pytest.approx(0.2)  # mAP of a constant: the share of positives, over five classes
    assert len(about.used) == 60
    assert {row["tested"] for row in about.used} == {1}
    for row in about.used:
        name = f"{row['path'].split('/')[-3]}-{Path(row['path']).stem}"
        assert any(name.rpartition("-")[2] in file for file in task.splits[row["split"]])


def test_an_up_to_date_task_stays_and_a_changed_one_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = cries(tmp_path / "work", written=True)
    renderer = Renderer(recordings.folder)
    plan = affect.plan(recordings, renderer)
    about = build_task(plan, recordings, renderer, tmp_path / "tasks", quiet)
    with monkeypatch.context() as patch:
        patch.setattr(Renderer, "clip", lambda *_: pytest.fail("rendered again"))
        assert build_task(plan, recordings, renderer, tmp_path / "tasks", quiet) == about
    monkeypatch.setattr(render, "VERSION", render.VERSION + 1)
    assert build_task(plan, recordings, renderer, tmp_path / "tasks", quiet).digest != about.digest


def test_an_interrupted_task_goes_on_with_the_clips_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = cries(tmp_path / "work", written=True)
    renderer = Renderer(recordings.folder)
    plan = affect.plan(recordings, renderer)
    original, rendered = Renderer.clip, []

    def clip(self: Renderer, clip: Clip, duration_s: float) -> np.ndarray:
        if len(rendered) == 20:
            raise KeyboardInterrupt
        rendered.append(clip.name)
        return original(self, clip, duration_s)

    monkeypatch.setattr(Renderer, "clip", clip)
    with pytest.raises(KeyboardInterrupt):
        build_task(plan, recordings, renderer, tmp_path / "tasks", quiet)
    assert not (tmp_path / "tasks" / "vocal_affect-v1-full").exists()
    first = rendered.copy()
    rendered.clear()
    monkeypatch.setattr(Renderer, "clip", lambda self, clip, s: rendered.append(clip.name) or original(self, clip, s))
    build_task(plan, recordings, renderer, tmp_path / "tasks", quiet)
    assert sorted(first + rendered) == sorted(clip.name for clip in plan.clips)


def test_what_check_finds_wrong_stops_the_task(tmp_path: Path) -> None:
    recordings = cries(tmp_path / "work", written=True)
    paths = [row.path for row in recordings.of("nexuiz-data")][:3]
    labels = ("a", "b", "b")
    clips = tuple(
        Clip(f"c{n}", f"fold0{n}", (), (Track((Piece(path),)),), (label,))
        for n, (path, label) in enumerate(zip(paths, labels, strict=True))
    )
    plan = TaskPlan("t", "", "", 1.0, ("top1_acc",), clips)
    with pytest.raises(TaskError, match="t: 3 problems, the first: no training clip of a"):
        build_task(plan, recordings, Renderer(recordings.folder), tmp_path / "tasks", quiet)


def make_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recordings:
    recordings = cries(tmp_path, written=True)
    monkeypatch.setattr(suite, "read_manifest", lambda _: recordings.all())
    return recordings


def test_the_suite_skips_tasks_without_their_packages_and_tells_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_suite(tmp_path, monkeypatch)
    out = tmp_path / "tasks"
    built, skipped, scores = suite.build_suite(Work(tmp_path), out, (), 1, quiet)
    assert [about.task for about in built] == ["vocal_affect-v1-full"]
    assert set(skipped) == set(suite.TASKS) - {"vocal_affect"}
    assert "hydrogen-drumkits" in skipped["percussion"]
    suite.write_tables(out, built, skipped, scores)
    said = json.loads((out / "tasks.json").read_text(encoding="utf-8"))
    (entry,) = said["tasks"]
    assert entry["baseline"]["model"] == "logmel"
    assert 0 < entry["baseline"]["score"] <= 1
    assert said["skipped"] == skipped
    with (out / "used.csv").open(encoding="utf-8") as file:
        used = list(csv.DictReader(file))
    assert len(used) == 60
    assert {row["package"] for row in used} == {"nexuiz-data", "hedgewars-data"}
    assert all((tmp_path / row["path"]).is_file() for row in used)
    readme = (out / "README.md").read_text(encoding="utf-8")
    assert "| vocal_affect-v1-full |" in readme
    assert "Skipped: pitch: needs" in readme


def test_one_task_of_the_suite_leaves_the_others_in_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_suite(tmp_path, monkeypatch)
    out = tmp_path / "tasks"
    suite.build_suite(Work(tmp_path), out, ("vocal_affect",), 0, quiet)
    built, skipped, scores = suite.build_suite(Work(tmp_path), out, ("percussion",), 0, quiet)
    assert [about.task for about in built] == ["vocal_affect-v1-full"]
    assert list(skipped) == ["percussion"]
    assert scores == {}


def test_an_unknown_task_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(AxlstmError, match="'whistling' is no task; expected percussion, environment"):
        suite.build_suite(Work(tmp_path), tmp_path / "tasks", ("whistling",), 0, quiet)


def make_table(folder: Path, rows: list[dict[str, object]], duration_s: float, *scores: str) -> float:
    """Chance on a task from a table of silent clips."""
    for row in rows:
        soundfile.write(folder / str(row["path"]), np.full(160, 0.1, np.float32), RATE_HZ)
    table = folder / "table.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return chance_level(make_task(table, folder / "tasks", TaskRecipe("t", 3, duration_s, scores)))


def test_chance_of_accuracy_names_the_most_frequent_training_class(tmp_path: Path) -> None:
    labels = {"train": "aaab", "valid": "ab", "test": "abbbb"}
    rows = [
        {"path": f"{s}{n}.wav", "label": label, "split": s}
        for s, found in labels.items()
        for n, label in enumerate(found)
    ]
    assert make_table(tmp_path, rows, 0.5, "top1_acc") == pytest.approx(0.2)


def test_chance_of_accuracy_of_equally_frequent_classes_is_one_of_them(tmp_path: Path) -> None:
    labels = {"train": "ab", "valid": "ab", "test": "abbb"}
    rows = [
        {"path": f"{s}{n}.wav", "label": label, "split": s}
        for s, found in labels.items()
        for n, label in enumerate(found)
    ]
    assert make_table(tmp_path, rows, 0.5, "top1_acc") == pytest.approx(0.5)


def test_chance_of_mean_average_precision_is_the_share_of_positives(tmp_path: Path) -> None:
    labels = {"train": ["a;b", "a", "b"], "valid": ["a", "b;a"], "test": ["a;b", "a", "a", "a"]}
    rows = [
        {"path": f"{s}{n}.wav", "label": label, "split": s}
        for s, found in labels.items()
        for n, label in enumerate(found)
    ]
    assert make_table(tmp_path, rows, 0.5, "mAP") == pytest.approx((1.0 + 0.25) / 2)


def test_chance_of_events_is_low_but_not_nothing(tmp_path: Path) -> None:
    rows = [
        {"path": f"{split}{n}.wav", "label": "a", "split": split, "start_ms": 100 * n, "end_ms": 100 * n + 50}
        for split in ("train", "valid", "test")
        for n in range(10)
    ]
    assert 0.05 < make_table(tmp_path, rows, 2.0, "event_onset_200ms_fms") < 0.5
