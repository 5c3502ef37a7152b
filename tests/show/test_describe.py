"""``axlstm info``: what a source is, how much of it can be read, and which command to use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import soundfile

import axlstm
from axlstm.audio.read import load_audio
from axlstm.cli import main
from axlstm.embed.embedder import Embedder
from axlstm.errors import AudioError, CheckpointError
from axlstm.export.exported import SUFFIXES
from axlstm.show.describe import as_lines, describe
from axlstm.store.batch import embed_files
from tests.seeded import audio

RATE = 16_000


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)


def cut(path: Path, share: float = 0.5, **form: str) -> Path:
    soundfile.write(path, audio(4.0, 1), RATE, **form)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_of_a_sound_cut_short_it_says_how_much_can_be_read(suffix: str, tmp_path: Path) -> None:
    facts = describe(str(cut(tmp_path / f"cut.{suffix}")))
    seconds = float(facts["damage"].split()[1])
    assert 1.0 < seconds < 3.0
    assert facts["damage"].startswith(f"only {seconds:.2f} s of {facts['duration_s']:.2f} s can be read: ")
    assert facts["frame embeddings"] == "none: axlstm skips damaged sounds"
    with pytest.raises(AudioError, match=r"cut short|damaged"):
        load_audio(tmp_path / f"cut.{suffix}")


def test_both_lengths_of_a_wav_are_told(tmp_path: Path) -> None:
    facts = describe(str(cut(tmp_path / "cut.wav")))
    assert facts["damage"] == "only 2.00 s of 4.00 s can be read: its header announces more than there is"


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_a_whole_sound_has_no_damage(suffix: str, tmp_path: Path) -> None:
    facts = describe(str(cut(tmp_path / f"whole.{suffix}", 1.0)))
    assert "damage" not in facts
    assert facts["frame embeddings"] == 100


@pytest.mark.parametrize(("format", "subtype"), [("AIFF", "DWVW_16"), ("PAF", "PCM_24")])
def test_formats_that_cannot_go_to_their_end_have_no_damage(format: str, subtype: str, tmp_path: Path) -> None:
    facts = describe(str(cut(tmp_path / f"whole.{format.lower()}", 1.0, format=format, subtype=subtype)))
    assert "damage" not in facts


def test_a_damaged_model_beside_sounds_is_a_damaged_model(embedder: Embedder, tmp_path: Path) -> None:
    folder = embedder.save_pretrained(tmp_path / "model")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    cut(folder / "example.wav", 1.0)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        describe(str(folder))


def test_a_folder_of_sounds_and_a_table_name_the_commands(tmp_path: Path) -> None:
    folder = tmp_path / "my sounds"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        cut(folder / name, 1.0)
    (folder / "notes.txt").write_text("words")
    facts = describe(str(folder))
    assert (facts["kind"], facts["sounds"], facts["others"]) == ("folder of sounds", 2, "1 not sound (1 .txt)")
    assert facts["to embed them"] == f"axlstm embed '{folder}' -o embeddings.parquet"
    assert facts["to train on them"] == f"axlstm prepare '{folder}' shards"
    (folder / "gone.wav").symlink_to("nowhere.wav")
    assert describe(str(folder))["skipped"].startswith(f"1, such as {folder}/gone.wav: a link to nowhere.wav")
    (tmp_path / "table.csv").write_text("path,label\na.wav,x\nb.wav,y\n")
    facts = describe(str(tmp_path / "table.csv"))
    assert (facts["columns"], facts["rows"]) == ("path, label", 2)
    assert facts["to make a task"] == f"axlstm hear make {tmp_path / 'table.csv'} tasks"


def test_a_folder_without_sounds_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no model"):
        describe(str(tmp_path))


def test_a_text_file_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "notes.txt").write_text("Mixed on Tuesday.\n")
    assert main(["info", str(tmp_path / "notes.txt")]) == 1
    assert "notes.txt: a text file, not a checkpoint; expected a model" in capsys.readouterr().err


@pytest.mark.parametrize("format", SUFFIXES)
def test_an_exported_model_tells_its_metadata(format: str, embedder: Embedder, tmp_path: Path) -> None:
    path = tmp_path / f"model{SUFFIXES[format]}"
    embedder.export(path, format)
    facts = describe(str(path))
    assert facts["kind"] == f"exported model ({format})"
    assert facts["fingerprint"] == embedder.fingerprint
    assert facts["use"].startswith("axlstm.ExportedModel in Python")
    path.write_bytes(b"PK nothing of the kind")
    with pytest.raises(CheckpointError):
        describe(str(path))


@pytest.mark.parametrize("suffix", ["parquet", "npz", "csv"])
def test_embeddings_tell_which_recordings_have_changed(
    suffix: str, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [Path(f"{name}.wav") for name in "abcd"]
    for file in files:
        cut(file, 1.0)
    embed_files(embedder, files, Path(f"e.{suffix}"))
    assert describe(f"e.{suffix}")["recordings"] == "4 unchanged"
    files[0].unlink()
    soundfile.write(files[1], audio(3.0, 2), RATE)
    os.utime(files[2], (1, 1))
    told = "2 changed since (another size or time), 1 gone since, 1 unchanged"
    assert describe(f"e.{suffix}")["recordings"] == told
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert describe(f"../e.{suffix}")["recordings"].startswith("4 not found from this folder: run axlstm info where")


def test_nested_facts_are_indented() -> None:
    facts = {"kind": "model", "training": {"step": 3, "config": {"a_name_of_some_length": 0.5}}, "empty": {}}
    assert list(as_lines(facts)) == [
        "kind               model",
        "training",
        "  step             3",
        "  config",
        "    a_name_of_some_length 0.5",
        "empty              {}",
    ]
