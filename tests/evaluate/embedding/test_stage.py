"""The embeddings directory is the kit's, clip by clip and packed; interrupted runs go on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from axlstm.errors import ConfigError, WriteError
from axlstm.evaluate.embedding import logmel_baseline
from axlstm.evaluate.embedding.encoders import Encoder, load_encoder
from axlstm.evaluate.embedding.label_pickle import read_label_pickle
from axlstm.evaluate.embedding.packed import read_embeddings
from axlstm.evaluate.embedding.stage import embed_variants, frame_labels
from axlstm.evaluate.pipeline import find_embeddings
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.evaluate.tasks.read import read_task, write_clip
from tests.evaluate.reference import DATA, read_json_xz

STAGE = DATA / "embed_stage"
STUB = "module:tests.evaluate.stub_hear_module"
EXPECTED = read_json_xz(STAGE / "packed.json.xz")


def embed_task(encoder: Any, task: Any, out: Path, advance: Any = None) -> Path:
    """Embed with one encoder."""
    return embed_variants([encoder], task, out, advance)[0]


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


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks" / "tinyscene-v1-full"
    shutil.copytree(STAGE / "tasks" / "tinyscene-v1-full", folder)
    return folder


def read_rows(folder: Path, split: str) -> list[tuple[str, bytes]]:
    """The label and the embedding of every packed clip, in an order of their own."""
    packed = read_embeddings(folder).splits[split]
    labels = read_label_pickle(folder / f"{split}.target-labels.pkl")
    return sorted((label, row.tobytes()) for (label,), row in zip(labels, packed.embeddings, strict=True))


def count_clips(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of clips of every batch that is embedded from now on."""
    seen: list[int] = []
    for name in ("scenes", "frames"):
        plain = getattr(type(encoder), name)
        monkeypatch.setattr(
            type(encoder), name, lambda self, audio, plain=plain: seen.append(len(audio)) or plain(self, audio)
        )
    return seen


@pytest.mark.parametrize("is_finished", [True, False])
def test_changed_labels_reach_the_embeddings(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_finished: bool
) -> None:
    encoder = load_encoder(STUB)
    folder = embed_task(encoder, read_task(scene), tmp_path / "out")
    if not is_finished:
        (folder / ".done.embeddings").unlink()
    seen = count_clips(encoder, monkeypatch)
    content = json.loads((scene / "fold01.json").read_text())
    file = next(iter(content))
    (new,) = {"low", "high"} - set(content[file])
    (scene / "fold01.json").write_text(json.dumps({**content, file: [new]}))
    embed_task(encoder, read_task(scene), tmp_path / "out")
    assert seen == []
    embedding = np.load(folder / "fold01" / f"{file}.embedding.npy").tobytes()
    assert [label for label, row in read_rows(folder, "fold01") if row == embedding] == [new]
    assert json.loads((folder / "fold01" / f"{file}.target-labels.json").read_text()) == [new]
    assert json.loads((folder / "fold01.json").read_text())[file] == [new]


def test_changed_events_reach_the_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tasks" / "tinyevent-v1-full"
    shutil.copytree(STAGE / "tasks" / "tinyevent-v1-full", path)
    encoder = load_encoder(STUB)
    embed_task(encoder, read_task(path), tmp_path / "out")
    seen = count_clips(encoder, monkeypatch)
    content = json.loads((path / "test.json").read_text())
    (path / "test.json").write_text(json.dumps({file: [{"label": "low", "start": 0, "end": 1e6}] for file in content}))
    task = read_embeddings(embed_task(encoder, read_task(path), tmp_path / "out"))
    assert seen == []
    assert task.splits["test"].target.tolist() == [[int(label == "low") for label in task.labels]] * len(
        task.splits["test"].target
    )


def test_changed_clips_are_embedded_again(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(STUB)
    folder = embed_task(encoder, read_task(scene), tmp_path / "out")
    before = read_rows(folder, "fold00"), read_rows(folder, "fold01")
    seen = count_clips(encoder, monkeypatch)
    soundfile.write(scene / "16000" / "fold01" / "high-13.wav", np.sin(np.arange(16000) / 9) / 3, 16000)
    embed_task(encoder, read_task(scene), tmp_path / "out")
    assert sum(seen) == 1
    assert read_rows(folder, "fold00") == before[0]
    assert len(set(read_rows(folder, "fold01")) - set(before[1])) == 1


def test_clips_that_join_and_leave_a_task(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(STUB)
    folder = embed_task(encoder, read_task(scene), tmp_path / "out")
    seen = count_clips(encoder, monkeypatch)
    content = json.loads((scene / "fold01.json").read_text())
    (scene / "16000" / "fold01" / "new.wav").write_bytes((scene / "16000" / "fold00" / "low-01.wav").read_bytes())
    (scene / "fold01.json").write_text(json.dumps({"new.wav": ["mid"], **dict(list(content.items())[1:])}))
    embed_task(encoder, read_task(scene), tmp_path / "out")
    assert sum(seen) == 1
    assert len(read_rows(folder, "fold01")) == len(content)


def test_a_changed_task_that_fails_leaves_nothing_to_probe(scene: Path, tmp_path: Path) -> None:
    encoder = load_encoder(STUB)
    folder = embed_task(encoder, read_task(scene), tmp_path / "out")
    (scene / "16000" / "fold01" / "high-13.wav").write_bytes(b"no sound")
    with pytest.raises(TaskError, match="cannot be read"):
        embed_task(encoder, read_task(scene), tmp_path / "out")
    with pytest.raises(ConfigError, match="no embeddings at"):
        find_embeddings(folder)


def test_a_scene_task_that_becomes_one_of_events(scene: Path, tmp_path: Path) -> None:
    encoder = load_encoder(STUB)
    folder = embed_task(encoder, read_task(scene), tmp_path / "out")
    metadata = json.loads((scene / "task_metadata.json").read_text())
    metadata |= {"embedding_type": "event", "prediction_type": "multilabel", "evaluation": ["segment_1s_er"]}
    (scene / "task_metadata.json").write_text(json.dumps(metadata))
    for split in metadata["splits"]:
        content = json.loads((scene / f"{split}.json").read_text())
        (scene / f"{split}.json").write_text(json.dumps({file: [] for file in content}))
    embed_task(encoder, read_task(scene), tmp_path / "out")
    assert all(len(split.embeddings) > 6 for split in read_embeddings(folder).splits.values())


def test_embeddings_stay_when_the_audio_is_deleted(scene: Path, tmp_path: Path) -> None:
    encoder = load_encoder(STUB)
    folder = embed_task(encoder, read_task(scene), tmp_path / "out")
    shutil.rmtree(scene / "16000")
    assert embed_task(encoder, read_task(scene), tmp_path / "out") == folder


def test_a_clip_that_the_model_fails_on_is_named(scene: Path, tmp_path: Path) -> None:
    encoder = load_encoder(STUB)
    soundfile.write(scene / "16000" / "fold01" / "high-13.wav", np.zeros(300), 16000)
    with pytest.raises(TaskError, match=r"tinyscene-v1-full.*fold01/high-13\.wav: the model failed: RuntimeError: "):
        embed_task(encoder, read_task(scene), tmp_path / "out")


def test_a_full_disk_leaves_no_half_files(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError("No space left on device")

    encoder, task = load_encoder(STUB), read_task(scene)
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(WriteError, match="No space left"):
        embed_task(encoder, task, tmp_path / "out")
    with pytest.raises(WriteError, match="No space left"):
        write_clip(tmp_path / "clips" / "a.wav", np.zeros(100))
    assert [path for path in (tmp_path / "out", tmp_path / "clips") for path in path.rglob("*") if path.is_file()] == []


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
    path.write_text((Path(__file__).parents[1] / "stub_hear_module.py").read_text())
    encoder = load_encoder(str(path))
    assert encoder.name == "mine"
    assert encoder.parameters == 641 * 192
    assert load_encoder(f"{path}@weights/best.pt").name == "mine-best"
    assert load_encoder(str(path), "auto").device.type in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigError, match=r"device='gpu': expected auto, cpu"):
        load_encoder(str(path), "gpu")
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
