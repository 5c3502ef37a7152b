"""Check that the fetched encoders work, and measure their speed, on the recordings that come with axlstm.

    AXLSTM_ENCODERS=FOLDER python recipes/open_audio/encoders/check.py

Prints how alike the halves of three recordings of two voices are to Resemblyzer, which species BirdNET hears in a
bird's song, and clips a second of every encoder on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr
import torch
from ai_edge_litert.interpreter import Interpreter
from encoder_files import ENCODERS, default_folder, require_files
from torch import Tensor

from axlstm.audio.read import load_audio
from axlstm.evaluate.embedding.encoders import Encoder, load_encoder
from axlstm.samples import sample_path

_VOICES = ("speech_it_queue", "speech_ru_queue", "speech_ru_unavailable")
_BIRD = "bird_song"
_CLIPS = 8
_SECONDS = (1, 2, 4, 10)


def compare_voices(encoder: Encoder) -> None:
    """Print the cosines between half recordings."""
    halves: list[Tensor] = []
    for name in _VOICES:
        clip = torch.from_numpy(load_audio(sample_path(name)))
        halves += [encoder.scenes(half[None])[0] for half in clip.tensor_split(2)]
    print(f"resemblyzer, cosines between the halves of {', '.join(_VOICES)}:")
    for row in torch.stack(halves) @ torch.stack(halves).T:
        print("  " + " ".join(f"{cosine:.2f}" for cosine in row.tolist()))


def name_bird(folder: Path) -> None:
    """Print the likeliest species of the first 9 s of a song by BirdNET's own output."""
    model, labels = require_files(folder, "model.tflite", "labels.txt")
    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    sound = soxr.resample(load_audio(sample_path(_BIRD)), 16_000, 48_000, quality="HQ")
    best = np.full(len(labels.read_text(encoding="utf-8").splitlines()), -np.inf)
    for start in (0, 144_000, 288_000):
        interpreter.set_tensor(source, sound[None, start : start + 144_000])
        interpreter.invoke()
        best = np.maximum(best, interpreter.get_tensor(target)[0])
    names = labels.read_text(encoding="utf-8").splitlines()
    top = [f"{names[i].split('_')[1]} {1 / (1 + np.exp(-best[i])):.2f}" for i in np.argsort(-best)[:3]]
    print(f"birdnet on {_BIRD}: {', '.join(top)}")


def measure(encoders: list[Encoder]) -> None:
    """Print a table of clips a second: scenes, and frames in brackets."""
    print("| clip | " + " | ".join(encoder.name for encoder in encoders) + " |")
    for seconds in _SECONDS:
        audio = 0.1 * torch.randn(_CLIPS, 16_000 * seconds)
        cells = [f"{_rate(e.scenes, audio):.0f} ({_rate(e.frames, audio):.0f})" for e in encoders]
        print(f"| {seconds} s | " + " | ".join(cells) + " |")


def _rate(embed: Callable[[Tensor], object], audio: Tensor) -> float:
    embed(audio[:1])  # the first call sets things up
    times = []
    for _ in range(2):
        began = time.process_time()
        embed(audio)
        times.append(time.process_time() - began)
    return len(audio) / min(times)


def main() -> None:
    """Run all checks."""
    torch.set_num_threads(1)
    here = Path(__file__).parent
    encoders = {encoder.name: load_encoder(str(here / f"{encoder.name}.py")) for encoder in ENCODERS}
    compare_voices(encoders["resemblyzer"])
    name_bird(default_folder() / "birdnet")
    measure(list(encoders.values()))


if __name__ == "__main__":
    main()
