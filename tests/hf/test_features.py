"""The feature extractor gives each clip the log-mel that axlstm gives it, whatever else is in the batch."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, DataCollatorWithPadding

import axlstm
from axlstm.errors import AudioError, ConfigError
from axlstm.hf import AxLSTMFeatureExtractor
from tests.finetuning.made import save_small_model
from tests.seeded import audio

RATE = 16_000


def test_the_auto_class_finds_it(folder: Path) -> None:
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    assert type(extractor) is AxLSTMFeatureExtractor
    assert (extractor.sampling_rate, extractor.feature_size) == (RATE, 80)


def test_an_earlier_folder_says_it_in_its_configuration_alone(tmp_path: Path) -> None:
    folder = save_small_model(tmp_path)
    (folder / "preprocessor_config.json").unlink()
    description = json.loads((folder / "config.json").read_text())
    description["frontend"]["low_hz"] = 20.0
    (folder / "config.json").write_text(json.dumps(description))
    assert AxLSTMFeatureExtractor.from_pretrained(folder).front_end.low_hz == 20.0


def test_features_are_the_log_mel_that_axlstm_computes(folder: Path, clips: list) -> None:
    extractor = AxLSTMFeatureExtractor.from_pretrained(folder)
    embedder = axlstm.load_model(folder, engine=None)
    batch = extractor(clips, sampling_rate=RATE, return_tensors="pt")
    for number, clip in enumerate(clips):
        prepared = embedder.prepare(clip, RATE)
        frames = len(clip) // 160
        whole = torch.cat(list(prepared.windows))[:frames]
        assert int(batch["attention_mask"][number].sum()) == frames
        assert torch.equal(batch["input_values"][number, : len(whole)], whole)
        assert not batch["input_values"][number, frames:].any()


def test_one_clip_and_a_batch_may_come_in_any_form() -> None:
    extractor, clip = AxLSTMFeatureExtractor(), audio(0.5, 0)
    expected = extractor(clip, sampling_rate=RATE)["input_values"]
    forms: list[Any] = [clip.tolist(), torch.from_numpy(clip), [clip], [clip.tolist()], clip[None]]
    for form in forms:
        assert np.array_equal(extractor(form, sampling_rate=RATE)["input_values"], expected)


def test_integers_are_scaled() -> None:
    extractor, clip = AxLSTMFeatureExtractor(), (audio(0.5, 0) * 2**15).astype(np.int16)
    scaled = clip.astype(np.float32) / 2**15
    found, expected = (extractor(form, sampling_rate=RATE)["input_values"] for form in (clip, scaled))
    assert np.array_equal(found, expected)


def test_it_pads_features_that_it_made(clips: list) -> None:
    extractor = AxLSTMFeatureExtractor()
    rows = [{"input_values": extractor(clip, sampling_rate=RATE)["input_values"][0], "label": 1} for clip in clips]
    batch = DataCollatorWithPadding(extractor)(rows)
    together = extractor(clips, sampling_rate=RATE, return_tensors="pt")
    assert torch.equal(batch["input_values"], together["input_values"])
    assert torch.equal(batch["attention_mask"], together["attention_mask"])
    assert batch["labels"].tolist() == [1] * len(clips)


def test_padding_and_truncation_are_asked_for_as_everywhere(clips: list) -> None:
    extractor = AxLSTMFeatureExtractor()
    cut = extractor(clips, sampling_rate=RATE, padding="max_length", max_length=50, truncation=True)
    assert np.stack(cut["input_values"]).shape == (len(clips), 50, 80)
    longer = extractor(clips, sampling_rate=RATE, pad_to_multiple_of=64, return_tensors="np")
    assert longer["input_values"].shape[1] == 256
    alone = extractor(clips, sampling_rate=RATE, padding=False)
    assert [len(one) for one in alone["input_values"]] == [len(clip) // 160 for clip in clips]


def test_it_is_saved_and_read_again(tmp_path: Path) -> None:
    AxLSTMFeatureExtractor(frontend={"low_hz": 20.0}).save_pretrained(tmp_path)
    again = AxLSTMFeatureExtractor.from_pretrained(tmp_path)
    assert again.front_end.low_hz == 20.0
    assert json.loads(again.to_json_string())["feature_extractor_type"] == "AxLSTMFeatureExtractor"


def test_a_sampling_rate_that_is_not_given_is_told(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("transformers").addHandler(caplog.handler)
    try:
        AxLSTMFeatureExtractor()(audio(0.1, 0))
    finally:
        logging.getLogger("transformers").removeHandler(caplog.handler)
    assert "taken to be 16000 Hz" in caplog.text


def test_another_sampling_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sampling_rate=44100: the model takes 16000 Hz; convert"):
        AxLSTMFeatureExtractor()(audio(0.1, 0), sampling_rate=44_100)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([np.zeros(800, np.float32), np.zeros(0, np.float32)], "clip 1: an array of shape .* holds no samples"),
        ([], "no clip and no samples"),
        (np.zeros(399, np.float32), "clip 0: 399 samples .* below 400"),
        (np.full(800, np.nan, np.float32), "clip 0: the array: holds nan at 0.000 s"),
        (np.zeros((2, 2, 800), np.float32), r"shape \(2, 2, 800\): expected"),
        ([np.zeros((2, 800), np.float32)], r"clip 0: shape \(2, 800\), expected \(n,\): average"),
        ("owl.wav", "str: expected a path"),
    ],
)
def test_what_is_no_sound_is_refused(given: Any, told: str) -> None:
    with pytest.raises(AudioError, match=told):
        AxLSTMFeatureExtractor()(given, sampling_rate=RATE)


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match="do_normalize: not an option"):
        AxLSTMFeatureExtractor()(audio(0.1, 0), sampling_rate=RATE, do_normalize=True)
    with pytest.raises(ConfigError, match="padding_side"):
        AxLSTMFeatureExtractor(padding_side="left")
