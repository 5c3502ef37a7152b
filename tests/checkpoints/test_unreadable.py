"""Files that are given for a checkpoint and are something else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

import axlstm
from axlstm.errors import CheckpointError
from tests.seeded import audio

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.mark.parametrize(
    "name", ["a.pth", "a.ckpt", "a.safetensors", "run/checkpoint-9.pth", "run/checkpoints/checkpoint-9.pth"]
)
@pytest.mark.parametrize(
    ("content", "expected"),
    [(POINTER, "a Git LFS pointer.*`git lfs pull`"), (b"\n<!DOCTYPE html>\n<html>", "a web page, not a checkpoint")],
)
def test_pointers_and_pages_are_named(name: str, content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    for source in {path, tmp_path / "run" if "/" in name else path}:
        with pytest.raises(CheckpointError, match=rf"{path.name}: {expected}"):
            axlstm.load_model(source)


@pytest.mark.parametrize("pointer", ["config.json", "model.safetensors"])
def test_a_model_folder_whose_files_were_not_pulled(pointer: str, tmp_path: Path) -> None:
    axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(tmp_path)
    (tmp_path / pointer).write_bytes(POINTER)
    with pytest.raises(CheckpointError, match=rf"{pointer}: a Git LFS pointer"):
        axlstm.load_model(tmp_path)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff"])
def test_sounds_are_named(name: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / name, audio(1, 1), 16_000)
    shutil.copy(tmp_path / name, tmp_path / "model.pth")
    for path in (tmp_path / name, tmp_path / "model.pth"):
        with pytest.raises(CheckpointError, match=rf"{path.name}: a sound, where a model is expected"):
            axlstm.load_model(path)


def test_other_bytes_are_no_sound(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(bytes(1000) + b"PK\3\4 and more")
    with pytest.raises(CheckpointError, match="damaged, or not a checkpoint in torch's zip format"):
        axlstm.load_model(tmp_path / "a.pth")
