"""MTEB's own evaluation runs with our encoder, offline, on tasks made of the bundled drum strokes."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import axlstm
from axlstm.audio.read import load_audio
from axlstm.embed.embedder import Embedder
from axlstm.errors import AudioError, ConfigError
from axlstm.samples import sample_path, strokes

pytestmark = pytest.mark.filterwarnings("default")  # those of MTEB and of what it brings are not ours
mteb = pytest.importorskip("mteb", reason='needs MTEB: pip install "axlstm[mteb]"')

import datasets  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from axlstm.adapters.mteb import MtebEncoder, model_meta  # noqa: E402
from tests.adapters.mteb_tasks import DrumGroups, DrumPairs, DrumRetrieval, Drums, metadata, split  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "examples"
TASK = SimpleNamespace(name="Drums")


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return axlstm.load_model("axlstm-tiny", engine=None)


def loader(*sounds: Any, encoded: bool = False) -> Any:
    dataset = datasets.Dataset.from_dict({"audio": list(sounds)})
    if encoded:
        dataset = dataset.cast_column("audio", datasets.Audio())
    return DataLoader(dataset, batch_size=2, collate_fn=lambda rows: {"audio": [row["audio"] for row in rows]})


def encode(encoder: MtebEncoder, inputs: Any) -> Any:
    return encoder.encode(inputs, task_metadata=TASK, hf_split="test", hf_subset="default")


def test_mteb_takes_it_for_an_encoder(embedder: Embedder) -> None:
    from mteb.models.models_protocols import EncoderProtocol

    assert isinstance(MtebEncoder(embedder), EncoderProtocol)


@pytest.mark.parametrize(("task", "score", "chance"), [(Drums, "accuracy", 0.5), (DrumGroups, "v_measure", 0.2)])
def test_mteb_evaluates_it(embedder: Embedder, task: Any, score: str, chance: float) -> None:
    results = mteb.evaluate(MtebEncoder(embedder), [task()], cache=None, show_progress_bar=False)
    (result,) = results.task_results
    assert result.scores["test"][0][score] > chance
    assert (results.model_name, results.model_revision) == ("axlstm/axlstm-tiny", embedder.fingerprint)


def test_mteb_compares_pairs(embedder: Embedder) -> None:
    (result,) = mteb.evaluate(MtebEncoder(embedder), [DrumPairs()], cache=None, show_progress_bar=False).task_results
    assert result.scores["test"][0]["max_ap"] > 0.6


def test_mteb_searches_with_it(embedder: Embedder) -> None:
    encoder = MtebEncoder(embedder)
    (result,) = mteb.evaluate(encoder, [DrumRetrieval()], cache=None, show_progress_bar=False).task_results
    (queries, corpus) = split()
    chance = np.mean([one.label == other.label for one in queries for other in corpus])
    assert result.scores["test"][0]["precision_at_1"] > chance


def test_mteb_loads_what_is_described_without_torchaudio() -> None:
    description = model_meta("axlstm-tiny", pooling="mean+deviation", engine=None)
    assert (description.name, description.embed_dim) == ("axlstm/axlstm-tiny", 1920)
    results = mteb.evaluate(description, [Drums()], cache=None, show_progress_bar=False)
    assert results.model_revision == description.revision
    assert description.revision != model_meta("axlstm-tiny", engine=None).revision
    with pytest.raises(ConfigError, match="embed_dim=7: this model has 1920"):
        description.load_model(embed_dim=7)


@pytest.mark.parametrize("encoded", [True, False])
def test_embeddings_are_those_of_embed(embedder: Embedder, encoded: bool) -> None:
    paths = [sample_path("engine_rev"), sample_path("water_lock"), strokes()[0].path]
    if encoded:
        sounds: list[Any] = [{"bytes": None, "path": str(path)} for path in paths]
        sounds[1] = {"bytes": paths[1].read_bytes(), "path": None}
        alone = [embedder.embed(path).scene for path in paths]
    else:
        rates = [44_100, 8_000, 16_000]
        arrays = [load_audio(path, to_hz=rate) for path, rate in zip(paths, rates, strict=True)]
        sounds = [{"array": array, "sampling_rate": rate} for array, rate in zip(arrays, rates, strict=True)]
        alone = [embedder.embed(array, rate).scene for array, rate in zip(arrays, rates, strict=True)]
    found = encode(MtebEncoder(embedder), loader(*sounds, encoded=encoded))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack(alone), atol=1e-5)


def test_text_is_refused(embedder: Embedder) -> None:
    dataset = datasets.Dataset.from_dict({"text": ["a wren"]})
    with pytest.raises(ConfigError, match="Drums: expected inputs with audio, got text"):
        encode(MtebEncoder(embedder), DataLoader(dataset))


def test_a_clip_that_is_no_sound_is_named(embedder: Embedder) -> None:
    sounds = [{"array": np.zeros(16_000, np.float32), "sampling_rate": 16_000}] * 2
    short = {"array": np.zeros(300, np.float32), "sampling_rate": 16_000}
    with pytest.raises(AudioError, match=r"Drums: clip 2: 300 samples"):
        encode(MtebEncoder(embedder), loader(*sounds, short))
    stored = [{"bytes": sample_path("bell").read_bytes(), "path": None}, {"bytes": b"no sound", "path": "a.wav"}]
    with pytest.raises(AudioError, match=r"^Drums: clip 1: "):
        encode(MtebEncoder(embedder), loader(*stored, encoded=True))


def test_an_embedder_has_its_options(embedder: Embedder) -> None:
    with pytest.raises(ConfigError, match="revision, device, layers: an embedder has its options already"):
        MtebEncoder(embedder, "main", device="cpu", layers=3)


def test_the_script_tells_scores_and_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Drums):
        metadata = metadata("Broken", "AudioClassification", "accuracy")

        def load_data(self, **_: Any) -> None:
            raise OSError("no network")

    monkeypatch.setattr(mteb, "get_tasks", lambda tasks: [{"Drums": Drums, "Broken": Broken}[name]() for name in tasks])
    command = ["maeb.py", "axlstm-tiny", "--tasks", "Broken", "Drums", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLES / "maeb.py"), run_name="__main__")
    failed, scored = capsys.readouterr().out.strip().splitlines()
    assert ended.value.code == 1
    assert failed == "Broken: failed: no network"
    assert re.fullmatch(r"Drums: accuracy 0\.\d{4}|Drums: accuracy 1\.0000", scored)


def test_neither_torchaudio_nor_torchcodec_is_needed() -> None:
    code = "import sys; sys.modules['torchaudio'] = sys.modules['torchcodec'] = None\n"
    code += "import mteb\nfrom axlstm.adapters.mteb import MtebEncoder\nfrom tests.adapters.mteb_tasks import Drums\n"
    code += "result = mteb.evaluate(MtebEncoder(engine=None), [Drums()], cache=None)\n"
    code += "assert result.task_results[0].scores['test'][0]['accuracy'] > 0.5"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
