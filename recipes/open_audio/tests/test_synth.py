"""Rendered sound: labels lie where the sound is, targets follow them, and the same seed gives the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from axlstm.data.index import read_index
from axlstm.data.shards import open_shards
from axlstm.data.teachers import Teacher
from axlstm.errors import ConfigError, DataError
from axlstm.model.config import ModelConfig
from recipes.open_audio.synth import render
from recipes.open_audio.synth.espeak import Espeak, EspeakManner
from recipes.open_audio.synth.flite import Flite, FliteManner, read_phones
from recipes.open_audio.synth.labels import (
    NOTE_SIZE,
    PHONE_SIZE,
    WORD_SIZE,
    Labels,
    Phone,
    SoundedNote,
    note_targets,
    phone_targets,
    word_targets,
    word_vector,
)
from recipes.open_audio.synth.learnable import check_learnable
from recipes.open_audio.synth.notes import draw_melody
from recipes.open_audio.synth.overlap import find_copies, find_overlap, words_of
from recipes.open_audio.synth.phones import CMU, FEATURES, class_of, features_of, letters_of
from recipes.open_audio.synth.render import Rendered, SynthConfig, join_parts, read_labels, render_all
from recipes.open_audio.synth.shards import write_synth_shards
from recipes.open_audio.synth.speech import Speech, SpeechError
from recipes.open_audio.synth.teaching import SHARDS, TARGETS, join_shards, teach_labels
from recipes.open_audio.synth.texts import WordList, draw_text, read_languages, read_words
from recipes.open_audio.tests.made import encoded, make_shards, quiet, tune

RATE_HZ = 16_000


def missing_espeak() -> str:
    try:
        Espeak()
    except ConfigError as error:
        return str(error)
    return ""


MISSING_ESPEAK = missing_espeak()
needs_espeak = pytest.mark.skipif(bool(MISSING_ESPEAK), reason=MISSING_ESPEAK)
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed; install flite")


def words(*spoken: str, length_s: float = 0.1) -> Labels:
    """A word of each string, a phone of each letter, from time 0 on; a space is a pause."""
    phones = []
    for number, word in enumerate(spoken):
        for letter in word:
            at = len(phones) * length_s
            phones.append(Phone(letter.strip(), at, at + length_s, number))
    return Labels(phones=tuple(phones))


def features(*letters: str) -> set[str]:
    """The features that a diphthong, an affricate or a single phone has."""
    found = [letter for ipa in letters for letter in letters_of(ipa)]
    return {name for letter in found for name, has in zip(FEATURES, features_of(letter), strict=True) if has}


def test_letters_lose_their_marks_but_not_the_nasal_one() -> None:
    assert letters_of("ˈaɪ") == ["a", "ɪ"]
    assert letters_of("t͡ʃʰ") == ["t", "ʃ"]
    assert letters_of("ɜː") == ["ɜ"]
    assert letters_of("ɔ̃") == ["ɔ\N{COMBINING TILDE}"]
    assert letters_of("ç") == ["ç"]
    assert letters_of("7") == []


def test_features_tell_sounds_apart() -> None:
    assert features("z") - features("s") == {"voiced"}
    assert {"vowel", "front", "close"} <= features("i")
    assert {"vowel", "back", "rounded", "close"} <= features("u")
    assert "nasalised" in features("ɔ̃")
    assert "nasalised" not in features("ɔ")
    assert {"velar", "nasal", "voiced"} <= features("ŋ")


def test_every_phone_of_flite_is_on_the_chart() -> None:
    assert all(letters_of(ipa) for ipa in CMU.values())
    assert {class_of(letter) for ipa in CMU.values() for letter in letters_of(ipa)} == {
        *("front", "central", "back", "open"),
        *("plosive", "voiced plosive", "sibilant", "fricative", "nasal", "liquid"),
    }


def test_flites_phones_are_read_with_their_times() -> None:
    phones = read_phones("pau:0.164 hh:0.233 ow:0.300 pau:0.400 \n")
    assert phones == (
        Phone("", 0, 0.164, 0),
        Phone("h", 0.164, 0.233, 0),
        Phone("oʊ", 0.233, 0.3, 0),
        Phone("", 0.3, 0.4, 0),
    )
    with pytest.raises(SpeechError, match="a phone 'xx', expected one of CMU's"):
        read_phones("xx:0.1")


def test_targets_have_the_features_of_a_phone_in_the_middle_and_of_its_neighbours_beside_it() -> None:
    targets = phone_targets(words("sa", length_s=1.0), 0.0, 2.0)
    assert targets is not None
    assert targets.shape == (50, PHONE_SIZE)
    before, own, after = np.split(targets, 3, axis=1)
    for frame, letter in ((12, "s"), (37, "a")):  # the middles of both
        np.testing.assert_allclose(own[frame], features_of(letter), atol=1e-6)
    np.testing.assert_allclose(after[12], features_of("a"), atol=1e-6)
    np.testing.assert_allclose(before[37], features_of("s"), atol=1e-6)
    assert not before[12].any()
    assert not after[37].any()


def test_targets_of_a_later_record_of_the_recording_go_on() -> None:
    labels = words("sa mi", length_s=0.37)
    for make in (phone_targets, word_targets):
        whole, late = make(labels, 0.0, 1.8), make(labels, 0.4, 1.4)
        assert whole is not None
        assert late is not None
        np.testing.assert_allclose(late, whole[10:], atol=1e-6)


def test_words_that_share_sounds_are_alike_and_a_pause_has_no_word() -> None:
    casts = word_vector(letters_of("kasts"))
    assert casts @ word_vector(letters_of("kast")) > 0.5 > casts @ word_vector(letters_of("mui"))
    assert np.linalg.norm(casts) == pytest.approx(1)
    targets = word_targets(words("ka", "  ", "ti", length_s=0.5), 0.0, 3.0)
    assert targets is not None
    assert targets.shape == (75, WORD_SIZE)
    np.testing.assert_allclose(targets[12], word_vector(["k", "a"]), atol=1e-6)
    np.testing.assert_allclose(targets[70], word_vector(["t", "i"]), atol=1e-6)
    assert not targets[37].any()


def test_notes_have_their_pitch_class_height_and_family_while_they_sound() -> None:
    chord = Labels(notes=(SoundedNote(60, 0, 0.4, 1.2), SoundedNote(76, 0, 0.4, 1.2)))
    targets = note_targets(chord, 0.0, 2.0)
    assert targets is not None
    assert targets.shape == (50, NOTE_SIZE)
    middle = targets[20]
    assert set(np.flatnonzero(middle[:12])) == {0, 4}
    np.testing.assert_allclose(middle[12:15], [2, 16 / 12, 2], atol=1e-6)
    assert not targets[5].any()
    assert not targets[40].any()


def test_speech_has_no_notes_and_music_no_phones() -> None:
    speech, music = words("a"), Labels(notes=(SoundedNote(60, 0, 0.0, 1.0),))
    assert note_targets(speech, 0, 1) is None
    assert phone_targets(music, 0, 1) is None
    assert word_targets(music, 0, 1) is None
    assert Labels.from_dict(json.loads(json.dumps(music.to_dict()))) == music


def test_word_lists_are_read_in_their_encoding_and_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "words"
    every = [f"{a}{b}{c}å" for a in "abcdefghij" for b in "abcdefghij" for c in "abcdefghijklmno"]
    path.write_bytes("\n".join([*every, "it's", "x" * 15, *every]).encode("latin-1"))
    assert read_words(WordList("sv", "wnone", path, "iso-8859-1")) == every
    monkeypatch.setattr("recipes.open_audio.synth.texts._MOST_WORDS", 1400)
    monkeypatch.setattr("recipes.open_audio.synth.texts._LEAST_WORDS", 700)
    assert read_words(WordList("sv", "wnone", path, "iso-8859-1")) == every[::2]
    with pytest.raises(DataError, match=r"not utf-8 .*install the package wnone again"):
        read_words(WordList("sv", "wnone", path, "utf-8"))
    with pytest.raises(DataError, match=r"no such file; install the package wnone"):
        read_words(WordList("sv", "wnone", tmp_path / "none", "utf-8"))
    path.write_text("one two", encoding="utf-8")
    with pytest.raises(DataError, match=r"2 words, expected 700 or more; install the package wnone again"):
        read_words(WordList("sv", "wnone", path, "utf-8"))


def test_drawn_texts_are_of_every_kind_and_depend_on_the_seed_alone() -> None:
    listed = [f"{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]

    def drawn() -> list:
        rng = np.random.default_rng(3)
        return [draw_text(rng, listed) for _ in range(60)]

    texts = drawn()
    assert texts == drawn()
    assert {text.kind for text in texts} == {"list", "row", "numbers", "letters"}
    for text in texts:
        assert text.words
        assert all(word.isdigit() == (text.kind == "numbers") for word in text.words)


def test_parts_are_joined_with_pauses_and_their_phones_move_along() -> None:
    part = Speech(tune(0, 1.0), RATE_HZ, (Phone("a", 0.0, 0.5, 0), Phone("s", 0.5, 1.0, 1)))
    samples, phones = join_parts([part, part], np.random.default_rng(0), 1.25)
    assert [phone.word for phone in phones] == [0, 1, 2, 3]
    assert phones[1].end_s == pytest.approx(0.8)
    pause_s = phones[2].start_s - phones[1].end_s
    assert 0.07 < pause_s < 0.51
    assert not samples[round(0.81 * RATE_HZ) : round((0.79 + pause_s) * RATE_HZ)].any()
    assert np.abs(samples).max() == pytest.approx(0.5, abs=1e-6)
    strange = Speech(tune(0, 1.0), RATE_HZ, (Phone("7", 0.0, 0.5, 0),))
    with pytest.raises(SpeechError, match="not on the IPA's chart: 7"):
        join_parts([strange], np.random.default_rng(0), 1.0)
    silent = Speech(np.zeros(RATE_HZ, np.float32), RATE_HZ, part.phones)
    with pytest.raises(SpeechError, match="silent"):
        join_parts([silent], np.random.default_rng(0), 1.0)


def test_melodies_are_inside_their_clips_and_labelled() -> None:
    for seed in range(20):
        melody = draw_melody(np.random.default_rng(seed), "m", {"one": "a.sf2", "two": "b.sf2"})
        assert len(melody.labels.notes) == len(melody.clip.tracks) > 0
        for track, note in zip(melody.clip.tracks, melody.labels.notes, strict=True):
            (played,) = track.sources
            assert (played.key, played.program, track.at_s) == (note.key, note.program, note.start_s)  # type: ignore[union-attr]
            assert note.end_s <= melody.seconds + 1e-9
            assert 0 <= note.program < 120
            assert 33 <= note.key <= 110


@needs_espeak
def test_espeak_says_when_which_phone_sounds_and_repeats_itself() -> None:
    manner = EspeakManner("de+f3", 150, 50, 50, 0)
    one, other = (Espeak().speak(["Mama", "sieh den Fisch"], manner) for _ in range(2))
    assert [speech.phones for speech in one] == [speech.phones for speech in other]
    np.testing.assert_array_equal(one[1].samples, other[1].samples)
    assert [letter for phone in one[0].phones for letter in letters_of(phone.ipa)] == ["m", "ɑ", "m", "ɑ"]
    assert {phone.word for phone in one[1].phones} == {0, 1, 2}
    (fricative,) = [phone for phone in one[1].phones if phone.ipa == "ʃ"]
    sound, rate = one[1].samples, one[1].rate_hz
    inside = np.square(np.diff(sound[round(fricative.start_s * rate) : round(fricative.end_s * rate)])).mean()
    assert inside > np.square(np.diff(sound[: round(one[1].phones[0].end_s * rate)])).mean() / 10


@needs_espeak
def test_what_espeak_cannot_say_is_explained() -> None:
    espeak = Espeak()
    with pytest.raises(SpeechError, match=r"espeak-ng has no voice 'zz\+f3'"):
        espeak.speak(["a"], EspeakManner("zz+f3", 150, 50, 50, 0))
    assert "f3" in espeak.variants


def test_a_missing_espeak_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text('print(\'{"error": "espeak-ng is not installed"}\')', encoding="utf-8")
    monkeypatch.setattr("recipes.open_audio.synth.espeak._PROGRAM", program)
    with pytest.raises(ConfigError, match="not installed; install the packages libespeak-ng1 and espeak-ng-data"):
        Espeak()
    program.write_text("import sys; sys.exit('boom')", encoding="utf-8")
    with pytest.raises(ConfigError, match="ends with status 1: boom"):
        Espeak()


@needs_flite
def test_flite_says_when_which_phone_sounds() -> None:
    (speech,) = Flite().speak(["fish"], FliteManner("slt", 1.0, 150.0))
    assert [phone.ipa for phone in speech.phones] == ["", "f", "ɪ", "ʃ", ""]
    assert speech.phones[-1].end_s == pytest.approx(len(speech.samples) / speech.rate_hz, abs=0.1)


def test_a_missing_flite_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="flite is not installed; install the package flite"):
        Flite()


class Hummer:
    """In place of the synthesisers: hums of two phones; every fifth text is refused."""

    def __init__(self, *_: object) -> None:
        self.calls = 0

    def render(self, rng: np.random.Generator, name: str) -> Rendered:
        self.calls += 1
        if name.endswith("4"):
            raise SpeechError("no such word")
        seconds = float(rng.uniform(1.0, 3.0))
        half = seconds / 2
        samples = np.concatenate([0.1 * rng.normal(size=round(half * RATE_HZ)), tune(int(rng.integers(99)), half)])
        labels = Labels(phones=(Phone("s", 0, half, 0), Phone("a", half, seconds, 0)))
        return Rendered(samples.astype(np.float32), labels, f"hummer/{name}", {"text": ["sah Bonus"]})


class Whistler(Hummer):
    """In place of the SoundFonts."""

    def render(self, rng: np.random.Generator, name: str) -> Rendered:
        del name
        note = SoundedNote(60, 3, 0.0, 1.5)
        return Rendered(tune(int(rng.integers(99)), 2.0), Labels(notes=(note,)), f"whistler/{rng.integers(9)}", {})


CONFIG = SynthConfig(speech_hours=0.01, note_hours=0.004)


@pytest.fixture
def hummed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(render, "_Speaker", Hummer)
    monkeypatch.setattr(render, "_Player", Whistler)
    work = tmp_path / "work"
    work.mkdir()
    return work


def test_rendering_goes_on_where_it_stopped_and_lists_what_it_could_not(hummed: Path) -> None:
    manifest = render_all(hummed, CONFIG, quiet)
    folder = hummed / "synth"
    first = {path.name: path.read_bytes() for path in folder.rglob("*.*")}
    assert "no such word" in (folder / "skipped.jsonl").read_text(encoding="utf-8")
    assert "speech/000004.flac" not in manifest.read_text(encoding="utf-8")
    (folder / "speech" / "000002.json").unlink()  # as if it had been stopped between sound and labels
    (folder / "speech" / "000002.flac").write_bytes(b"cut sh")
    render_all(hummed, CONFIG, quiet)
    assert {path.name: path.read_bytes() for path in folder.rglob("*.*")} == first
    with pytest.raises(DataError, match="recordings of other settings"):
        render_all(hummed, SynthConfig(speech_hours=1.0), quiet)
    (folder / "speech" / "000002.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"000002\.json: labels that cannot be read .*remove it and render again"):
        read_labels(folder / "speech" / "000002.flac")


def test_a_synthesiser_that_can_say_nothing_is_an_error(hummed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Rendered:
        raise SpeechError("hoarse")

    monkeypatch.setattr(Hummer, "render", refuse)
    with pytest.raises(DataError, match=r"13 of 13 texts cannot be spoken; the last: hoarse"):
        render_all(hummed, CONFIG, quiet)


def test_labels_become_targets_of_their_records_and_real_records_have_none(hummed: Path, tmp_path: Path) -> None:
    index = write_synth_shards(hummed, CONFIG, quiet)
    real = make_shards(tmp_path)
    joined = join_shards(real, hummed / SHARDS, tmp_path / "joined")
    assert read_index(join_shards(real, hummed / SHARDS, joined)) == read_index(joined)
    records = {split: read_index(real)["splits"][split]["records"] for split in ("train", "valid")}
    for split, count in records.items():
        assert len(open_shards(joined, split)) == count + index["splits"][split]["records"]
    taught = teach_labels(hummed, joined, tmp_path / "taught")
    assert {name: content["size"] for name, content in taught.items()} == {
        "phones": PHONE_SIZE,
        "words": WORD_SIZE,
        "notes": NOTE_SIZE,
    }
    opened = open_shards(joined)
    present = {
        name: [
            Teacher(tmp_path / "taught" / name, opened).crop(r, 0, 100, ModelConfig()).present
            for r in range(len(opened))
        ]
        for name in TARGETS
    }
    assert present["phones"] == present["words"]
    assert not any(np.array(present["phones"]) & np.array(present["notes"]))
    assert sum(present["phones"]) + sum(present["notes"]) == index["splits"]["train"]["records"]
    learnt = check_learnable(joined, tmp_path / "taught" / "phones", ModelConfig())
    assert learnt.regression < 0.7 * learnt.mean < 0.7 * learnt.shuffled * 1.1


def test_words_that_tasks_test_on_are_found_in_what_was_spoken(hummed: Path) -> None:
    render_all(hummed, CONFIG, quiet)
    for task in ("keyword_words-v1-full", "keyword_phrases-v1-full"):
        folder = hummed / "tasks" / task
        folder.mkdir(parents=True)
        (folder / "labelvocabulary.csv").write_text("idx,label\n0,de bonus\n1,YesSir2\n", encoding="utf-8")
    assert find_overlap(hummed)["keyword_words-v1-full"] == ({"bonus"}, {"bonus", "yessir"})
    assert words_of("en s1") == set()


def test_a_test_clip_that_was_rendered_is_found(hummed: Path) -> None:
    render_all(hummed, CONFIG, quiet)
    clips = hummed / "tasks" / "pitch-v1-full" / "16000" / "test"
    clips.mkdir(parents=True)
    (clips.parents[1] / "task_metadata.json").write_text('{"split_mode": "trainvaltest"}', encoding="utf-8")
    shutil.copy(hummed / "synth" / "note" / "000001.flac", clips / "a copy.flac")
    (clips / "other.wav").write_bytes(encoded(tune(200)))
    count, (copy,) = find_copies(hummed)
    assert count == 2
    assert "a copy.flac: shares" in copy
    assert "note/000001.flac" in copy


def test_every_language_has_a_word_list_of_a_package() -> None:
    listed = read_languages()
    assert len({one.language for one in listed}) == len(listed) == 16
    assert all(one.path.is_absolute() and one.package for one in listed)
