"""Every task's plan, from folders as the packages have them: classes, splits by group, reserved recordings."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from axlstm.evaluate.tasks.metadata import TaskError
from recipes.open_audio.manifest import Row
from recipes.open_audio.packages import load_packages
from recipes.open_audio.tasks import (
    affect,
    environment,
    keyword,
    language,
    notes,
    percussion,
    scenes,
    speaker_count,
    tags,
)
from recipes.open_audio.tasks.plan import (
    TEST,
    TRAIN,
    Clip,
    Note,
    Piece,
    TaskPlan,
    Track,
    balanced_groups,
    check_splits,
    fold_groups,
    without_copies,
)
from recipes.open_audio.tasks.recordings import MissingError, Recordings
from recipes.open_audio.tasks.render import Renderer
from recipes.open_audio.tests.made import RATE_HZ, tune

PACKAGES = {package.name: package for package in load_packages()}


def row_of(package: str, path: str, cluster: int, seconds: float = 1.0) -> Row:
    """A row of the manifest, with the real table's and rules' description of the path."""
    described = PACKAGES[package].describe(path)
    assert described is not None
    return Row(
        path=f"x/{PACKAGES[package].folder}/{path}",
        package=package,
        registry=PACKAGES[package].registry,
        version="1",
        licence=PACKAGES[package].licence,
        kind=described.kind,
        group=described.group,
        language=described.language,
        label=described.label,
        reserved=described.reserved,
        duration_s=seconds,
        sample_rate_hz=RATE_HZ,
        digest=f"{cluster:032x}",
        duplicate_of="",
        cluster=cluster,
    )


def recordings_of(folder: Path, files: dict[str, list[str]], seconds: float = 1.0, written: bool = False) -> Recordings:
    """Recordings of packages at paths; all different, and on the disk if asked for."""
    rows = []
    for package, paths in files.items():
        for path in paths:
            rows.append(row_of(package, path, len(rows), seconds))
            if written:
                target = folder / rows[-1].path
                target.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(target, tune(len(rows), seconds), RATE_HZ, format="WAV")
    return Recordings(folder, rows)


def checked(plan: TaskPlan, recordings: Recordings) -> TaskPlan:
    """A plan whose splits share nothing: by the recipe's own check, and by counting here."""
    check_splits(plan, recordings.by_path)
    splits_of: dict[str, set[str]] = {}
    for clip in plan.clips:
        for thing in [*clip.groups, *(source.path for source in clip.sources())]:
            splits_of.setdefault(thing, set()).add(clip.split)
    assert plan.clips
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert len({clip.name for clip in plan.clips}) == len(plan.clips)
    return plan


def labels_of(plan: TaskPlan) -> Counter[str]:
    return Counter(label for clip in plan.clips for label in clip.labels)


def kit(instruments: dict[str, str]) -> str:
    inner = "".join(
        f"<instrument><name>{name}</name><layer><filename>{file}</filename></layer></instrument>"
        for file, name in instruments.items()
    )
    return f'<drumkit_info xmlns="http://www.hydrogen-music.org/drumkit"><instrumentList>{inner}</instrumentList></drumkit_info>'


def test_percussion_reads_classes_from_kits_and_keeps_an_author_on_one_side(tmp_path: Path) -> None:
    base = "usr/share/hydrogen/data/drumkits"
    kits = ["GMRockKit", "The Black Pearl 1.0", "Kit A", "Kit B", "TR808EmulationKit"]
    files = {"k.wav": "Kick (soft)", "s.wav": "Snare 1", "h.wav": "HH Closed", "c.wav": "Stick Snare"}
    recordings = recordings_of(
        tmp_path,
        {
            "hydrogen-drumkits": [f"{base}/{k}/{f}" for k in kits for f in files],
            "hydrogen-data": [f"{base}/Kit C/k.wav"],
        },
    )
    for name in kits:
        folder = tmp_path / "x" / "hydrogen-drumkits" / base / name
        folder.mkdir(parents=True)
        (folder / "drumkit.xml").write_text(kit(files), encoding="utf-8")
    plan = checked(percussion.plan(recordings, Renderer(tmp_path)), recordings)
    assert labels_of(plan) == {"kick": 4, "snare": 4, "hi-hat closed": 4}
    assert plan.splits == ("fold00", "fold01", "fold02")
    assert len({clip.split for clip in plan.clips if clip.groups == ("glen-macarthur",)}) == 1


def test_percussion_says_which_package_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="hydrogen-data"):
        percussion.plan(recordings_of(tmp_path, {"hydrogen-drumkits": ["a/drumkits/K/k.wav"]}), Renderer(tmp_path))


def make_notes(folder: Path) -> Recordings:
    names = ["C2", "Fs3", "A4", "C5"]
    files = {
        package: [
            f"package/audio/{name.replace('s', '#')}v8.ogg" if package[0] == "@" else f"package/{name}.mp3"
            for name in names
        ]
        for package in notes.FAMILY_OF_PACKAGE
    }
    for package in (*notes.TRAINING_FONTS, notes.VALIDATION_FONT):
        font = folder / "x" / package / "usr" / f"{package}.sf2"
        font.parent.mkdir(parents=True)
        font.touch()
    return recordings_of(folder, files)


def test_pitch_trains_on_soundfonts_and_tests_on_recorded_notes(tmp_path: Path) -> None:
    recordings = make_notes(tmp_path)
    plan = checked(notes.plan_pitch(recordings, Renderer(tmp_path)), recordings)
    assert plan.splits == ("train", "valid", "test")
    for clip in plan.clips:
        (source,) = clip.sources()
        assert isinstance(source, Note) is (clip.split != TEST)
        if isinstance(source, Note):
            assert clip.labels == (f"{source.key:03d}",)
            _, low, high = notes.PROGRAMS[source.program]
            assert low <= source.key <= high
    tested = Counter(clip.labels[0] for clip in plan.clips if clip.split == TEST)
    assert tested == dict.fromkeys(("036", "054", "069", "072"), len(notes.FAMILY_OF_PACKAGE))
    assert {clip.labels[0] for clip in plan.clips if clip.split == TRAIN} == {f"{key:03d}" for key in range(36, 85)}


def test_every_family_has_programs_and_recorded_notes(tmp_path: Path) -> None:
    recordings = make_notes(tmp_path)
    plan = checked(notes.plan_family(recordings, Renderer(tmp_path)), recordings)
    for split in plan.splits:
        assert {clip.labels[0] for clip in plan.clips if clip.split == split} == set(notes.FAMILY_OF_PACKAGE.values())


@pytest.mark.parametrize(
    ("name", "key"), [("C4", 60), ("A0", 21), ("Fs3", 54), ("F#2v8", 42), ("F2 v2", 41), ("C8", 108)]
)
def test_key_of(name: str, key: int) -> None:
    assert notes.key_of(name) == key


def test_key_of_refuses_what_is_no_note() -> None:
    with pytest.raises(ValueError, match="'H4' is no note"):
        notes.key_of("H4")


def speech(folder: Path, seconds: float = 1.5) -> Recordings:
    files: dict[str, list[str]] = {}
    numbers = range(20)
    for code, voice in (
        ("en", "en_US_f_A"),
        ("es", "es_MX_f_A"),
        ("fr", "fr_CA_f_J"),
        ("it", "it_IT_m_C"),
        ("ru", "ru_RU_f_I"),
    ):
        base = f"usr/share/asterisk/sounds/{voice}"
        silent = [f"{base}/silence/1.g722.flac", f"{base}/beeperr.g722.flac"]
        files[f"asterisk-core-sounds-{code}-g722"] = [f"{base}/digits/{n}.g722.flac" for n in numbers] + silent
        files.setdefault("klettres-data", []).extend(f"usr/share/klettres/{code}/alpha/{n}.ogg" for n in numbers)
        files.setdefault("ktuberling-data", []).extend(f"usr/share/ktuberling/sounds/{code}/{n}.ogg" for n in numbers)
        files.setdefault("tuxpaint-stamps-default", []).extend(
            f"usr/stamps/animals/a{n}_desc_{code}.ogg" for n in numbers
        )
    files["asterisk-prompt-it-menardi-wav"] = [f"usr/share/asterisk/sounds/it_IT_f_Menardi/{n}.wav" for n in numbers]
    files["asterisk-prompt-es-co"] = [f"usr/share/asterisk/sounds/es/{n}.gsm.flac" for n in numbers]
    files["asterisk-prompt-fr-armelle"] = [f"usr/share/asterisk/sounds/fr/{n}.gsm.flac" for n in numbers]
    files["qabcs-data"] = [
        f"usr/share/qabcs/abcs/{code}/sounds/words/{n}.ogg" for n in numbers for code in ("en", "fr")
    ]
    voices = ("British", "Default_es", "Default_ru")
    files["hedgewars-data"] = [f"usr/Data/Sounds/voices/{voice}/{n}.ogg" for voice in voices for n in numbers]
    files["fillets-ng-data-cs"] = [f"usr/sound/bathroom/cs/bat-{voice}-{n}.ogg" for voice in "mv" for n in numbers]
    files["fillets-ng-data-nl"] = [f"usr/sound/bathroom/nl/bat-{voice}-{n}.ogg" for voice in "mv" for n in numbers]
    files["festvox-ru"] = [f"usr/share/festival/wav/ru_{n}.wav" for n in numbers]
    files["gcin-voice"] = [f"usr/share/gcin/ogg/a{n}/3.ogg" for n in numbers]
    files["kajongg"] = [
        f"usr/share/kajongg/voices/{voice}/w{n}.ogg"
        for voice in ("de/female1", "de/male1", "female1", "male1")
        for n in numbers
    ]
    return recordings_of(folder, files, seconds)


def test_language_clips_are_of_one_voice_and_collections_stay_together(tmp_path: Path) -> None:
    recordings = speech(tmp_path)
    plan = checked(language.plan(recordings, Renderer(tmp_path)), recordings)
    assert set(labels_of(plan)) == set(language.LANGUAGES)
    used = [source.path for clip in plan.clips for source in clip.sources()]
    assert len(used) == len(set(used))
    assert not any("silence" in path or "beep" in path for path in used)
    assert not any("abcs/fr" in path for path in used)  # synthesised
    for clip in plan.clips:
        rows = [recordings.by_path[source.path] for source in clip.sources()]
        assert len({(row.group, row.language) for row in rows}) == 1
        assert sum(row.duration_s for row in rows) >= 2.5


def with_beds(recordings: Recordings) -> Recordings:
    """Backgrounds beside speech: two packages that only training may use, and six that tests may."""
    packages = {"redeclipse-data": 3, "megaglest-data": 3} | dict.fromkeys(
        ("flare-game", "supertux-data", "btanks-data", "lugaru-data"), 3
    )
    rows = list(recordings.by_path.values())
    for package, count in packages.items():
        rows += [row_of(package, f"usr/share/a/wind_loop{n}.ogg", 10_000 + len(rows) + n, 8.0) for n in range(count)]
    return Recordings(recordings.folder, rows)


def test_speaker_count_mixes_as_many_different_voices_as_it_says(tmp_path: Path) -> None:
    recordings = with_beds(speech(tmp_path))
    plan = checked(speaker_count.plan(recordings, Renderer(tmp_path)), recordings)
    assert labels_of(plan) == {str(count): sum(speaker_count.CLIPS.values()) for count in range(6)}
    for clip in plan.clips:
        bed, *voices = clip.tracks
        assert len(voices) == int(clip.labels[0])
        assert "wind" in bed.sources[0].path
        speakers = [
            {(recordings.by_path[s.path].group, recordings.by_path[s.path].language) for s in voice.sources}
            for voice in voices
        ]
        assert all(len(of_track) == 1 for of_track in speakers)
        assert len(set().union(*speakers)) == len(voices)


def test_speaker_count_without_backgrounds_is_missing_something(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="backgrounds for"):
        speaker_count.plan(speech(tmp_path), Renderer(tmp_path))


def test_keywords_leave_voices_out(tmp_path: Path) -> None:
    base = "usr/share/kajongg/voices"
    voices = [voice for fold in keyword.WORD_VOICES for voice in fold]
    recordings = recordings_of(
        tmp_path, {"kajongg": [f"{base}/{v}/{w}.ogg" for v in [*voices, "male2"] for w in ("b1", "chow")]}
    )
    plan = checked(keyword.plan_words(recordings, Renderer(tmp_path)), recordings)
    assert labels_of(plan) == {"de b1": 4, "de chow": 4, "en b1": 3, "en chow": 3}


def test_phrases_that_few_packs_have_and_exclamations_are_left_out(tmp_path: Path) -> None:
    base = "usr/share/games/hedgewars/Data/Sounds/voices"
    paths = [f"{base}/{v}/{w}.ogg" for v in keyword.PHRASE_VOICES for w in ("Hello", "Byebye", "Ooff1")]
    recordings = recordings_of(
        tmp_path, {"hedgewars-data": [*paths, f"{base}/Default/Rare.ogg", f"{base}/Default_es/Hello.ogg"]}
    )
    plan = checked(keyword.plan_phrases(recordings, Renderer(tmp_path)), recordings)
    assert labels_of(plan) == {"Hello": 10, "Byebye": 10}


def cries(folder: Path, written: bool = False) -> Recordings:
    characters = [f"v{n}" for n in range(5)]
    cries_of = ["pain25", "pain50", "pain75", "pain100", "death1", "jump", "drown", "gasp", "falling"]
    fighters = [f"Pack{n}" for n in range(5)]
    return recordings_of(
        folder,
        {
            "nexuiz-data": [f"usr/data.pk3.d/sound/player/{c}/player/{n}.ogg" for c in characters for n in cries_of]
            + [f"usr/data.pk3.d/sound/player/{c}/coms/taunt1.ogg" for c in characters],
            "hedgewars-data": [
                f"usr/Data/Sounds/voices/{v}/{n}.ogg" for v in fighters for n in ("Ow1", "Jump1", "Laugh", "Hello")
            ],
        },
        0.5,
        written,
    )


def test_affect_holds_voices_out_and_caps_what_a_voice_has_most_of(tmp_path: Path) -> None:
    recordings = cries(tmp_path)
    plan = checked(affect.plan(recordings, Renderer(tmp_path)), recordings)
    assert labels_of(plan) == {"pain": 25, "scream": 10, "effort": 10, "gasp": 10, "laugh": 5}
    for fold in plan.splits:
        assert {label for clip in plan.clips if clip.split == fold for label in clip.labels} == set(affect.RULES)


def effects(folder: Path, seconds: float = 1.0, written: bool = False) -> Recordings:
    names = ["crow", "glass_break", "engine", "explosion", "campfire", "footstep", "sheep", "anvil", "wolf", "splash"]
    packages = [
        "flare-game",
        "supertux-data",
        "btanks-data",
        "lugaru-data",
        "etw-data",
        "scratch",
        "minetest-data",
        "warmux-data",
    ]
    files = {package: [f"usr/share/s/{name}_{n}.ogg" for name in names for n in range(2)] for package in packages}
    return recordings_of(folder, files, seconds, written)


def test_environment_has_every_class_in_every_fold(tmp_path: Path) -> None:
    recordings = effects(tmp_path)
    plan = checked(environment.plan(recordings, Renderer(tmp_path)), recordings)
    assert labels_of(plan) == dict.fromkeys(environment.RULES, 16)
    for fold in plan.splits:
        assert {label for clip in plan.clips if clip.split == fold for label in clip.labels} == set(environment.RULES)


def test_environment_leaves_out_what_was_dropped_and_needs_packages_of_every_class(tmp_path: Path) -> None:
    dropped = sorted(environment.read_dropped())[0]
    package, name = dropped.split("/")
    rows = [*effects(tmp_path).all(), row_of(package, f"usr/share/{name}", 5000)]
    chosen = environment.choose(Recordings(tmp_path, rows))
    assert environment.identity(rows[-1]) == dropped
    assert rows[-1].path not in {row.path for row, _ in chosen}
    with pytest.raises(MissingError, match="the class bird"):
        environment.choose(Recordings(tmp_path, [row for row in rows if "crow" not in row.path]))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("default_break_glass.1", "breaking"),
        ("FootStepSnow1", "footsteps"),
        ("helicopter_engine_inside", "engine"),
        ("boomerang", None),
        ("tank.underattack", None),
        ("button", None),
    ],
)
def test_classes_of_names(name: str, label: str | None) -> None:
    assert environment.find_class(name) == label


def test_dropped_recordings_name_classes_that_exist() -> None:
    with environment.DROPPED.open(encoding="utf-8") as file:
        lines = [line.split(",") for line in file.read().splitlines()]
    assert lines[0] == ["recording", "class", "reason"]
    assert {line[1] for line in lines[1:]} <= set(environment.RULES)
    assert {line[0].split("/")[0] for line in lines[1:]} <= set(PACKAGES)


def test_tags_are_those_of_what_is_heard(tmp_path: Path) -> None:
    recordings = effects(tmp_path)
    plan = checked(tags.plan(recordings, Renderer(tmp_path)), recordings)
    assert Counter(clip.split for clip in plan.clips) == dict.fromkeys(plan.splits, tags.CLIPS)
    for clip in plan.clips:
        heard = {environment.find_class(Path(source.path).stem) or "" for source in clip.sources()}
        assert set(clip.labels) == heard | {tags.PARENTS[label] for label in heard if label in tags.PARENTS}
        assert len(clip.tracks) == len(heard)


def test_scenes_place_events_where_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "SCENES", {"train": 4, "valid": 2, "test": 3})
    quiet = with_beds(effects(tmp_path, 0.6, written=True))
    plan = checked(scenes.plan(quiet, Renderer(tmp_path)), quiet)
    assert plan.is_event
    for clip in plan.clips:
        events = {(event.start_ms, event.label) for event in clip.events}
        assert events == {
            (round(1000 * track.at_s, 1), environment.find_class(Path(track.sources[0].path).stem))
            for track in clip.tracks[1:]
        }
        assert all(0 <= event.start_ms < event.end_ms <= 10_000 for event in clip.events)


def plan_of(*clips: Clip) -> TaskPlan:
    return TaskPlan("t", "", "", 1.0, ("top1_acc",), clips)


def clip_of(name: str, split: str, path: str, *groups: str) -> Clip:
    return Clip(name, split, groups, (Track((Piece(path),)),), ("a",))


def test_splits_that_share_something_are_refused() -> None:
    rows = [row_of("kajongg", f"usr/share/kajongg/voices/v{n}/w.ogg", n) for n in range(3)]
    copy = row_of("kajongg", "usr/share/kajongg/voices/v9/w.ogg", 0)
    by_path = {row.path: row for row in [*rows, copy]}
    paths = [row.path for row in rows]
    check_splits(plan_of(*(clip_of(f"c{n}", f"fold0{n}", path, f"v{n}") for n, path in enumerate(paths))), by_path)
    with pytest.raises(TaskError, match="t: v0 is in fold01 and in fold00"):
        check_splits(plan_of(clip_of("a", "fold00", paths[0], "v0"), clip_of("b", "fold01", paths[1], "v0")), by_path)
    with pytest.raises(TaskError, match=r"v9/w\.ogg, or a copy of it, is in fold01"):
        check_splits(plan_of(clip_of("a", "fold00", paths[0]), clip_of("b", "fold01", copy.path)), by_path)


def test_tests_take_reserved_recordings_only() -> None:
    row = row_of("festvox-ru", "usr/wav/a.wav", 0)
    with pytest.raises(TaskError, match="which is not reserved"):
        check_splits(plan_of(clip_of("a", "fold00", row.path)), {row.path: row})


def test_groups_are_dealt_so_that_every_split_gets_its_share_of_every_class() -> None:
    draw = random.Random(0)
    counts = {f"g{n}": Counter({label: draw.randint(0, 6) for label in "abc"}) for n in range(30)}
    shares = {"train": 0.5, "valid": 0.2, "test": 0.3}
    split_of = balanced_groups(counts, shares)
    totals = sum(counts.values(), Counter())
    for split, share in shares.items():
        got = sum((counts[group] for group, its_split in split_of.items() if its_split == split), Counter())
        assert all(abs(got[label] / totals[label] - share) < 0.1 for label in "abc")


def test_folds_need_three_groups() -> None:
    assert fold_groups({"a": 5, "b": 3, "c": 2, "d": 1}, 3) == {
        "a": "fold00",
        "b": "fold01",
        "c": "fold02",
        "d": "fold02",
    }
    with pytest.raises(MissingError, match="needs 3 groups for folds, found a, b"):
        fold_groups({"a": 5, "b": 3}, 5)


def test_copies_are_left_out_and_those_with_two_labels_altogether() -> None:
    rows = [row_of("kajongg", f"usr/share/kajongg/voices/v/{name}.ogg", 7) for name in "abc"]
    rows += [row_of("kajongg", "usr/share/kajongg/voices/w/d.ogg", 8)]
    labels = {row.path: "one" for row in rows}
    groups = {row.path: row.group for row in rows}
    assert [row.label for row in without_copies(rows, labels, groups)] == ["a", "d"]
    assert [row.label for row in without_copies(rows, labels | {rows[1].path: "two"}, groups)] == ["d"]
