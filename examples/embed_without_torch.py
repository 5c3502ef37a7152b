"""Embed sound files with an exported model: no torch, no axlstm, only NumPy, soundfile and the model's runtime.

axlstm export axlstm-tiny model.onnx                        # once, where axlstm is installed
pip install onnxruntime numpy soundfile                     # or openvino for model.xml
python embed_without_torch.py model.onnx bird.wav ...       # writes bird.npz, ... here; with -o FOLDER, there
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

Model = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def load_onnx(path: Path) -> tuple[Model, dict[str, str]]:
    """Load a model into ONNX Runtime; return it and the metadata in its file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda waveforms: session.run(None, {"waveforms": waveforms}), session.get_modelmeta().custom_metadata_map


def load_openvino(path: Path) -> tuple[Model, dict[str, str]]:
    """Load a model into OpenVINO; return it and the metadata in its file."""
    import openvino

    graph = openvino.Core().read_model(path)
    # On processors with a bfloat16 unit OpenVINO would use it for the log-mel too, where it has too few digits.
    model = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    metadata = graph.get_rt_info(["axlstm"]).value
    return lambda waveforms: tuple(np.array(result) for result in model(waveforms).values()), metadata


def read_sound(path: Path, rate_hz: int, least_samples: int) -> np.ndarray:
    """Read a sound file as mono float32 ``(1, n)``; its rate must be the model's."""
    samples, file_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    if file_rate_hz != rate_hz:
        raise SystemExit(f"{path}: {file_rate_hz} Hz, expected {rate_hz} Hz; convert it, for example with sox")
    if len(samples) < least_samples:
        raise SystemExit(f"{path}: {len(samples)} samples, expected at least {least_samples}")
    return samples.mean(axis=1)[None]


def main() -> None:
    """Embed each sound into an .npz file: scene (F,), frames (T, F), timestamps_ms (T,)."""
    parser = argparse.ArgumentParser(description="Embed sound files with an exported model, without torch.")
    parser.add_argument("model", type=Path, help=".onnx or .xml, as axlstm export writes it")
    parser.add_argument("sounds", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path(), help="folder for the .npz files; the current one")
    options = parser.parse_args()
    targets = [options.out / f"{sound.stem}.npz" for sound in options.sounds]
    if len(set(targets)) < len(targets):
        parser.error("two sounds have one name, and so would their .npz files: embed them one by one with other -o")
    options.out.mkdir(parents=True, exist_ok=True)
    load = load_openvino if options.model.suffix == ".xml" else load_onnx
    model, metadata = load(options.model)
    for sound, target in zip(options.sounds, targets, strict=True):
        waveforms = read_sound(sound, int(metadata["sample_rate_hz"]), int(metadata["least_samples"]))
        scenes, frames, timestamps_ms = model(waveforms)
        np.savez(target, scene=scenes[0], frames=frames[0], timestamps_ms=timestamps_ms)
        sys.stdout.write(f"{target}: scene {scenes[0].shape}, frames {frames[0].shape}\n")


if __name__ == "__main__":
    main()
