"""Pictures are drawn, and their colours and similarities are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import axlstm
from axlstm.errors import AudioError, ConfigError
from axlstm.samples import sample_path
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
