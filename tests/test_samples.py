"""The recordings that ship with the package: present, readable, small and attributed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from axlstm.errors import ConfigError
from axlstm.samples import SAMPLES, Sample, sample_names, sample_path, sample_paths

NOTICE = Path(__file__).parents[1] / "NOTICE"
LICENCE_URLS = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
}


def notice_entries() -> dict[str, str]:
    """NOTICE by file name: an entry is a paragraph whose first line is the name of the file."""
    paragraphs = NOTICE.read_text(encoding="utf-8").split("\n\n")
    return dict(paragraph.split("\n", 1) for paragraph in paragraphs if "  Title:" in paragraph)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_recording_is_readable_sound_of_moderate_length(sample: Sample) -> None:
    wave, sample_rate_hz = soundfile.read(sample_path(sample.name), always_2d=True)  # (T, C)
    assert 0.2 < len(wave) / sample_rate_hz < 25
    assert np.isfinite(wave).all()
    assert np.sqrt((wave**2).mean()) > 0.01
    assert np.abs(wave).max() < 1


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_notice_names_author_source_and_licence(sample: Sample) -> None:
    entry = notice_entries()[sample.file_name]
    assert sample.author in entry
    assert sample.source in entry
    assert LICENCE_URLS[sample.licence] in entry
    assert "  Changes:" in entry


def test_table_folder_and_notice_list_the_same_files() -> None:
    listed = {sample.file_name for sample in SAMPLES}
    folder = sample_paths()[0].parent
    assert {path.name for path in folder.iterdir()} == listed
    assert set(notice_entries()) == listed
    assert len(listed) == len(SAMPLES)


def test_recordings_are_small() -> None:
    assert sum(path.stat().st_size for path in sample_paths()) < 3_000_000


def test_formats_rates_and_channels_vary() -> None:
    infos = [soundfile.info(path) for path in sample_paths()]
    assert {info.format for info in infos} >= {"WAV", "FLAC", "OGG", "MP3"}
    assert {info.samplerate for info in infos} >= {16_000, 44_100, 48_000}
    assert {info.channels for info in infos} == {1, 2}


def test_names_are_sorted_and_match_paths() -> None:
    assert sample_names() == sorted({sample.name for sample in SAMPLES})
    assert [path.stem for path in sample_paths()] == sample_names()


def test_unknown_name_lists_the_names() -> None:
    with pytest.raises(ConfigError, match=r"'trumpet'.*bell.*water_river"):
        sample_path("trumpet")
