"""Pictures are drawn, and their colours and similarities are right."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import axlstm
from axlstm.errors import AudioError, ConfigError
from axlstm.samples import sample_path
from axlstm.show.figures import new_figure, plain_text, png_bytes, svg_text
from axlstm.show.plots import cosine_similarity, plot_clip, principal_colours


def test_similarity_of_equal_and_opposite_frames() -> None:
    frames = np.array([[1, 0], [1, 0], [-1, 0], [-1, 0]], np.float32) + 5
    expected = np.array([[1, 1, -1, -1], [1, 1, -1, -1], [-1, -1, 1, 1], [-1, -1, 1, 1]])
    np.testing.assert_allclose(cosine_similarity(frames), expected, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 50])
def test_colours_are_colours(frames: int) -> None:
    colours = principal_colours(np.random.default_rng(0).standard_normal((frames, 8)).astype(np.float32))
    assert colours.shape == (frames, 3)
    assert (colours >= 0).all()
    assert (colours <= 1).all()


@pytest.mark.parametrize("name", ["snare_hit", "bird_song"])
def test_a_picture_of_a_clip(name: str, tmp_path: Path) -> None:
    embedder = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)
    plot_clip(embedder, sample_path(name), tmp_path / "clip.png")
    content = (tmp_path / "clip.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 20_000
    with pytest.raises(ConfigError, match=r"ends with \.png"):
        plot_clip(embedder, sample_path(name), tmp_path / "clip.jpg")
    (tmp_path / "text.wav").write_text("text")
    with pytest.raises(AudioError):
        plot_clip(embedder, tmp_path / "text.wav", tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()


def shown(title: str, caplog: pytest.LogCaptureFixture) -> tuple[list[str], str]:
    """The font families of a title once it has been drawn as PNG and SVG, and what was logged."""
    figure = new_figure(2, 2)
    text = figure.subplots().set_title(plain_text(title))
    caplog.clear()
    assert png_bytes(figure).startswith(b"\x89PNG")
    assert "<svg" in svg_text(figure)
    return list(text.get_fontfamily()), caplog.text


def test_characters_are_drawn_in_a_font_that_has_them(caplog: pytest.LogCaptureFixture) -> None:
    families, told = shown("plain", caplog)
    assert told == ""
    more, told = shown("\U0001d49c", caplog)  # a script capital, which DejaVu Sans lacks and STIX has
    assert len(more) > len(families)
    assert told == ""


def test_characters_of_no_font_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    _, told = shown("\U0010fffc\U0010fffd a", caplog)  # of private use, the last ones of all
    assert told.count("no installed font has the characters \U0010fffc, \U0010fffd: boxes are drawn") == 2  # PNG, SVG


@pytest.mark.parametrize("name", ["a$b_{$c^.wav", "$5$.wav", os.fsdecode(b"caf\xe9.wav")])
def test_names_are_not_read_as_formulas(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(sample_path("snare_hit"), tmp_path / name)
    embedder = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)
    plot_clip(embedder, tmp_path / name, tmp_path / "clip.png")
    assert (tmp_path / "clip.png").is_file()
    figure = new_figure(2, 2)
    figure.subplots().set_title(plain_text(name))
    assert name.replace("\udce9", "\\xe9") in svg_text(figure)
    assert caplog.text == ""
