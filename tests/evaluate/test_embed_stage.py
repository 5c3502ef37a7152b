"""The embeddings directory is the kit's, clip by clip and packed; interrupted runs go on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from axlstm.errors import ConfigError
from axlstm.evaluate import logmel_baseline
from axlstm.evaluate.embed_stage import embed_task, frame_labels
from axlstm.evaluate.embeddings import read_embeddings
from axlstm.evaluate.encoders import load_encoder
from axlstm.evaluate.label_pickle import read_label_pickle
from axlstm.evaluate.metadata import TaskError
from axlstm.evaluate.tasks import read_task
from tests.evaluate.reference import DATA, read_json_xz

STAGE = DATA / "embed_stage"
STUB = "module:tests.evaluate.stub_hear_module"
EXPECTED = read_json_xz(STAGE / "packed.json.xz")


@pytest.mark.parametrize("name", ["tinyscene-v1-full", "tinyevent-v1-full"])
def test_equals_the_kit(name: str, tmp_path: Path) -> None:
    folder = embed_task(load_encoder(STUB), read_task(STAGE / "tasks" / name), tmp_path)
    assert folder == tmp_path / "stub_hear_module" / name
    task = read_embeddings(folder)
    with np.load(STAGE / "first_columns.npz") as columns:
        for split, packed in task.splits.items():
            expected = EXPECTED[f"{name}/{split}"]
            assert list(packed.embeddings.shape) == expected["dimensions"]
            np.testing.assert_allclose(packed.embeddings[:, :4], columns[f"{name}/{split}"], rtol=1e-4, atol=1e-4)
            labels = read_label_pickle(folder / f"{split}.target-labels.pkl")
            assert [sorted(row) for row in labels] == [sorted(row) for row in expected["labels"]]
            if packed.frames is not None:
                assert list(packed.frames) == [(path.split("/")[-1], ms) for path, ms in expected["frames"]]


def test_a_frame_on_an_events_end_is_on_beyond_a_second() -> None:
    event = {"label": "dog", "start": 80.0, "end": 3720.0}
    assert frame_labels([event], [40.0, 80.0, 3720.0, 3760.0]) == [[], ["dog"], ["dog"], []]


def test_an_interrupted_run_goes_on_with_the_missing_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = read_task(STAGE / "tasks" / "tinyscene-v1-full")
    encoder = load_encoder(STUB)
    folder = embed_task(encoder, task, tmp_path)
    whole = {path.name: path.read_bytes() for path in folder.glob("*.embeddings.npy")}
    (folder / ".done.embeddings").unlink()
    removed = sorted((folder / "fold01").glob("*.embedding.npy"))[:2]
    for path in removed:
        path.unlink()
    seen = []
    plain = type(encoder).scenes
    monkeypatch.setattr(type(encoder), "scenes", lambda self, audio: seen.append(len(audio)) or plain(self, audio))
    advanced = []
    embed_task(encoder, task, tmp_path, advanced.append)
    assert sum(seen) == 2
    assert sum(advanced) == 18
    for name, content in whole.items():
        found = np.frombuffer((folder / name).read_bytes(), dtype=np.float32)
        np.testing.assert_allclose(found, np.frombuffer(content, dtype=np.float32), rtol=1e-4, atol=1e-4)
    embed_task(encoder, task, tmp_path)
    assert sum(seen) == 2


def test_another_model_under_the_same_name_is_refused(tmp_path: Path) -> None:
    task = read_task(STAGE / "tasks" / "tinyscene-v1-full")
    embed_task(load_encoder(STUB, name="mine"), task, tmp_path)
    with pytest.raises(TaskError, match="holds embeddings of another model"):
        embed_task(load_encoder("logmel", name="mine"), task, tmp_path)


def test_missing_and_wrong_audio(tmp_path: Path) -> None:
    copy = tmp_path / "tinyscene-v1-full"
    shutil.copytree(STAGE / "tasks" / "tinyscene-v1-full", copy)
    path = copy / "16000" / "fold01" / "high-13.wav"
    path.write_bytes(b"no sound")
    with pytest.raises(TaskError, match=r"high-13\.wav cannot be read"):
        embed_task(load_encoder(STUB), read_task(copy), tmp_path / "out")
    path.unlink()
    with pytest.raises(TaskError, match=r"high-13\.wav is missing"):
        embed_task(load_encoder(STUB), read_task(copy), tmp_path / "out")


def test_a_model_that_gives_nan_is_told(tmp_path: Path) -> None:
    encoder = load_encoder(STUB)
    torch.nn.init.constant_(encoder.model.projection, float("nan"))
    with pytest.raises(TaskError, match=r"low-01\.wav.*NaN or infinite|high-00\.wav.*NaN or infinite"):
        embed_task(encoder, read_task(STAGE / "tasks" / "tinyscene-v1-full"), tmp_path)


@pytest.mark.parametrize("samples", [100, 16_000, 32_123])
def test_the_baseline_follows_the_hear_api(samples: int) -> None:
    model = logmel_baseline.load_model()
    audio = torch.randn(2, samples, generator=torch.Generator().manual_seed(0)) / 10
    scenes = logmel_baseline.get_scene_embeddings(audio, model)
    frames, times_ms = logmel_baseline.get_timestamp_embeddings(audio, model)
    assert scenes.shape == (2, model.scene_embedding_size)
    assert frames.shape == (2, times_ms.shape[1], model.timestamp_embedding_size)
    assert torch.isfinite(frames).all()
    assert times_ms[0, 0] == 0
    assert (times_ms.diff(dim=1) == 40).all()


def test_encoders_from_files_and_their_errors(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(Path(__file__).with_name("stub_hear_module.py").read_text())
    encoder = load_encoder(str(path))
    assert encoder.name == "mine"
    assert encoder.parameters == 641 * 192
    assert load_encoder(f"{path}@weights/best.pt").name == "mine-best"
    with pytest.raises(ConfigError, match=r"none\.py does not exist"):
        load_encoder(str(tmp_path / "none.py"))
    with pytest.raises(ConfigError, match="cannot be imported"):
        load_encoder("module:no_such_module_anywhere")
    with pytest.raises(ConfigError, match=r"lacks load_model, get_scene_embeddings"):
        load_encoder("module:json")
    path.write_text(path.read_text().replace("return RandomBands()", "return 3"))
    with pytest.raises(ConfigError, match=r"gave a int, expected a torch\.nn\.Module"):
        load_encoder(str(path))


def test_model_notes_are_json(tmp_path: Path) -> None:
    embed_task(load_encoder("logmel"), read_task(STAGE / "tasks" / "tinyscene-v1-full"), tmp_path)
    note = json.loads((tmp_path / "logmel" / "model.json").read_text())
    assert note == {"source": "logmel", "parameters": 0, "sample_rate": 16000}
