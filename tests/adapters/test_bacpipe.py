"""bacpipe's own embedder loads, windows and embeds a recording with our model, offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm.audio.read import load_audio
from axlstm.samples import sample_path

pytestmark = pytest.mark.filterwarnings("default")  # those of bacpipe and of what it brings are not ours
bacpipe = pytest.importorskip("bacpipe", reason="needs bacpipe: see docs/adapters.md")

from axlstm.adapters.bacpipe import BacpipeModel  # noqa: E402


class Deviations(BacpipeModel):
    segment_s = 2.0
    embedder_options = {"engine": None, "pooling": "mean+deviation"}  # noqa: RUF012


def test_bacpipe_embeds_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "bird.wav"  # of 16 bits: audioread has no other backend without FFmpeg
    soundfile.write(path, load_audio(sample_path("bird_song"))[:100_000], 16_000, subtype="PCM_16")
    samples = load_audio(path)
    runner = bacpipe.Embedder("axlstm", CustomModel=Deviations, audio_dir=str(tmp_path), device="cpu")
    found = runner.get_embeddings_from_model(path)
    assert found.shape == (4, 1920)  # the last segment is filled up as bacpipe is set to do
    embedder = axlstm.load_model("axlstm-tiny", engine=None, pooling="mean+deviation")
    alone = [embedder.embed(samples[begin : begin + 32_000], 16_000).scene for begin in (0, 32_000, 64_000)]
    np.testing.assert_allclose(found[:3], np.stack(alone), atol=2e-4)
