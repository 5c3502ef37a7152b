"""The recordings that ship with the package: present, readable, small and attributed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from axlstm.errors import ConfigError
from axlstm.samples import Sample, Stroke, sample_names, sample_path, sample_paths, samples, strokes, strokes_table

NOTICE = Path(__file__).parents[1] / "NOTICE"
LICENCE_URLS = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
}


def notice_entries() -> dict[str, str]:
    """NOTICE by file name: an entry is a paragraph whose first line is the name of the file."""
    paragraphs = NOTICE.read_text(encoding="utf-8").split("\n\n")
    return dict(paragraph.split("\n", 1) for paragraph in paragraphs if "  Title:" in paragraph)


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_recording_is_readable_sound_of_moderate_length(sample: Sample) -> None:
    wave, sample_rate_hz = soundfile.read(sample_path(sample.name), always_2d=True)  # (T, C)
    assert 0.2 < len(wave) / sample_rate_hz < 25
    assert np.isfinite(wave).all()
    assert np.sqrt((wave**2).mean()) > 0.01
    assert np.abs(wave).max() < 1


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_notice_names_author_source_and_licence(sample: Sample) -> None:
    entry = notice_entries()[sample.file_name]
    assert sample.author in entry
    assert sample.source in entry
    assert LICENCE_URLS[sample.licence] in entry
    assert "  Changes:" in entry


@pytest.mark.parametrize("stroke", strokes(), ids=lambda stroke: stroke.path.stem)
def test_stroke_is_short_loud_mono_and_attributed(stroke: Stroke) -> None:
    wave, _ = soundfile.read(stroke.path)  # (T,), which it is of one channel only
    assert wave.ndim == 1
    assert 0.05 < len(wave) / soundfile.info(stroke.path).samplerate <= 1
    assert 0.3 < np.abs(wave).max() < 1
    entry = notice_entries()[stroke.path.name]
    for credit in (stroke.title, stroke.author, stroke.source, LICENCE_URLS[stroke.licence], "  Changes:"):
        assert credit in entry


def test_strokes_are_a_task_by_kit() -> None:
    listed = strokes()
    assert {stroke.label for stroke in listed} == {"kick", "snare", "tom", "hi-hat", "cymbal"}
    kits = {kit: {stroke.label for stroke in listed if stroke.group == kit} for kit in {s.group for s in listed}}
    assert len(kits) >= 3
    for kit in kits:  # whichever kit is tested, the others have all of its drums
        assert kits[kit] <= set().union(*(drums for other, drums in kits.items() if other != kit))


def test_no_stroke_is_a_recording_too() -> None:
    assert not {sample.source for sample in samples()} & {stroke.source for stroke in strokes()}


def test_tables_folders_and_notice_list_the_same_files() -> None:
    recordings = {sample.file_name for sample in samples()}
    assert {path.name for path in sample_paths()[0].parent.iterdir()} == recordings
    played = {stroke.path.name for stroke in strokes()}
    assert {path.name for path in strokes_table().parent.iterdir()} == played | {strokes_table().name}
    assert set(notice_entries()) == recordings | played
    assert len(recordings | played) == len(samples()) + len(strokes())


def test_recordings_are_small() -> None:
    assert sum(path.stat().st_size for path in sample_paths()) < 3_000_000
    assert sum(stroke.path.stat().st_size for stroke in strokes()) < 1_000_000


def test_formats_rates_and_channels_vary() -> None:
    infos = [soundfile.info(path) for path in sample_paths()]
    assert {info.format for info in infos} >= {"WAV", "FLAC", "OGG", "MP3"}
    assert {info.samplerate for info in infos} >= {16_000, 44_100, 48_000}
    assert {info.channels for info in infos} == {1, 2}


def test_names_are_sorted_and_match_paths() -> None:
    assert sample_names() == sorted({sample.name for sample in samples()})
    assert [path.stem for path in sample_paths()] == sample_names()


def test_unknown_name_lists_the_names() -> None:
    with pytest.raises(ConfigError, match=r"'trumpet'.*bell.*water_river"):
        sample_path("trumpet")
