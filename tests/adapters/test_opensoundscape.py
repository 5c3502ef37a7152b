"""OpenSoundscape's own classifier embeds, trains and predicts with our model, offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import axlstm
from axlstm.audio.read import load_audio
from axlstm.samples import sample_path, strokes

pytestmark = pytest.mark.filterwarnings("default")  # those of OpenSoundscape and of what it brings are not ours
try:
    import torchvision  # noqa: F401
except RuntimeError:  # a build for CUDA beside one of torch for the CPU: it misses operators that nothing here calls
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
except ImportError:
    pass
pytest.importorskip("opensoundscape.ml.cnn", reason="needs OpenSoundscape: see docs/adapters.md", exc_type=ImportError)

import pandas as pd  # noqa: E402

from axlstm.adapters.opensoundscape import opensoundscape_classifier  # noqa: E402


def test_it_embeds_clips_of_a_recording(tmp_path: Path) -> None:
    samples = load_audio(sample_path("bird_song"))[:96_000]
    path = tmp_path / "bird.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    classifier = opensoundscape_classifier(["wren"], 2.0, engine=None, pooling="mean+deviation")
    found = classifier.embed([str(path)], progress_bar=False)
    assert list(found.index.get_level_values("start_time")) == [0.0, 2.0, 4.0]
    embedder = axlstm.load_model("axlstm-tiny", engine=None, pooling="mean+deviation")
    alone = [embedder.embed(samples[begin : begin + 32_000], 16_000).scene for begin in (0, 32_000, 64_000)]
    np.testing.assert_allclose(found.to_numpy(), np.stack(alone), atol=5e-4)


def test_its_training_fits_the_layer_and_leaves_the_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    own = [stroke for stroke in strokes() if stroke.label in ("kick", "snare")][:16]
    rows = {str(stroke.path): [stroke.label == "kick", stroke.label == "snare"] for stroke in own}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["kick", "snare"]).astype(float)
    table.index.name = "file"
    classifier = opensoundscape_classifier(["kick", "snare"], 1.0, engine=None)
    before = classifier.network.embedder.fingerprint
    invalid = str(tmp_path / "invalid.log")
    settings = {"batch_size": 8, "validation_interval": 16, "save_path": str(tmp_path), "invalid_samples_log": invalid}
    classifier.train(table, table, steps=16, progress_bar=False, **settings)
    assert classifier.network.embedder.fingerprint == before
    predicted = classifier.predict(table, progress_bar=False).to_numpy().argmax(1)
    assert (predicted == table.to_numpy().argmax(1)).mean() > 0.7
