"""``axlstm stream``: sound through pipes, lines out while it comes in."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm.cli import main
from tests.seeded import audio

RATE = 16_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(folder))


def lines(text: str) -> tuple[list[float], np.ndarray]:
    rows = [json.loads(line) for line in text.splitlines()]
    return [row["time_ms"] for row in rows], np.array([row["embedding"] for row in rows], dtype=np.float32)


def test_a_wav_file(model: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    wave = audio(3.5, 1, 44_100)
    soundfile.write(tmp_path / "a.wav", np.stack([wave, wave], axis=1), 44_100, "FLOAT")
    options = ["--hop-ms", "400", "--time-constant-s", "None"]
    assert main(["stream", str(tmp_path / "a.wav"), "-m", model, *options]) == 0
    printed = capsys.readouterr()
    times, embeddings = lines(printed.out)
    stream = axlstm.load_model(model).stream(44_100, hop_ms=400, time_constant_s=None)
    expected = list(stream.over([wave]))
    assert times == [one.time_ms for one in expected]
    np.testing.assert_array_equal(embeddings, [one.embedding for one in expected])
    assert f"each at most {stream.latency.algorithmic_ms:g} ms" in printed.err
    (told,) = re.findall(r"(\d+) ms of computing a window; (kept up|did not keep up)", printed.err)
    assert (told[1] == "kept up") == (int(told[0]) <= 400)  # a busy machine may be too slow for a window every 400 ms


def test_raw_samples_come_out_while_more_go_in(model: str) -> None:
    pcm = (audio(3, 2) * 2**15).astype("<i2")
    command = [sys.executable, "-m", "axlstm", "stream", "-m", model, "--raw", "s16le", "--each", "window"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(pcm[: 2 * RATE + 40].tobytes())
        program.stdin.flush()
        first = program.stdout.readline()  # stdin is still open
        program.stdin.write(pcm[2 * RATE + 40 :].tobytes())
        program.stdin.close()
        rest = program.stdout.read()
        assert program.wait() == 0
    times, embeddings = lines((first + rest).decode())
    assert times == [995, 1995]
    expected = list(axlstm.load_model(model).stream(RATE, each="window").over([pcm]))
    np.testing.assert_allclose(embeddings, [one.embedding for one in expected], atol=1e-5)


def test_options_reach_the_encoder(model: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    soundfile.write(tmp_path / "a.wav", audio(4.5, 1), RATE, "FLOAT")
    options = ["--each", "window", "--pooling", "mean+deviation", "--layers", "0", "1"]
    assert main(["stream", str(tmp_path / "a.wav"), "-m", model, *options]) == 0
    _, embeddings = lines(capsys.readouterr().out)
    assert embeddings.shape[1] == axlstm.load_model(model, pooling="mean+deviation", layers=[0, 1]).scene_embedding_size


def test_errors_are_one_line(model: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "a.ogg").write_bytes(b"OggS, no WAV at all")
    for arguments, message in (
        ([str(tmp_path / "a.ogg")], "expected a WAV header; for samples without one, say how they are stored"),
        ([str(tmp_path / "absent")], "no such pipe or file"),
        ([str(tmp_path / "a.ogg"), "--raw", "s16le", "--hop-ms", "50"], "hop_ms=50: expected a multiple of 40"),
        ([str(tmp_path / "a.ogg"), "--raw", "s16le", "--hop-ms", "0"], "hop_ms=0: expected a multiple of 40"),
        ([str(tmp_path / "a.ogg"), "--raw", "s16le", "--rate", "44"], "44 kHz are 44000"),
        ([str(tmp_path / "a.ogg"), "--raw", "s16le", "--channels", "99"], "99 channels: expected 1 to 64"),
    ):
        assert main(["stream", *arguments, "-m", model]) == 1
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("axlstm: error: ")
        assert message in last


@pytest.mark.parametrize(("encoding", "dtype", "value"), [("f32le", "<f4", 1e20), ("f64le", "<f8", 1e300)])
@pytest.mark.parametrize("kind", ["raw", "wav"])
def test_values_that_are_no_sound_end_it_after_lines_of_numbers(
    kind: str, encoding: str, dtype: str, value: float, model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    wave = audio(6, 1).astype(dtype)
    wave[5 * RATE] = value
    path = tmp_path / "a.wav"
    if kind == "raw":
        path.write_bytes(wave.tobytes())
    else:
        soundfile.write(path, wave, RATE, "FLOAT" if dtype == "<f4" else "DOUBLE")
    assert main(["stream", str(path), "-m", model, *(["--raw", encoding] if kind == "raw" else [])]) == 1
    printed = capsys.readouterr()
    times, embeddings = lines(printed.out)
    assert len(times) >= 50
    assert np.isfinite(embeddings).all()
    assert "NaN" not in printed.out
    last = printed.err.strip().splitlines()[-1]
    assert last == f"axlstm: error: the block: holds {value:g} at 5.000 s; " + (
        "expected samples in [-1, 1], at most up to 2147483648 (PCM that was not scaled)"
    )


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="needs /dev/stdin")
def test_the_path_of_a_pipe(model: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, audio(3, 1), RATE, format="WAV")
    command = [sys.executable, "-m", "axlstm", "stream", "/dev/stdin", "-m", model]
    done = subprocess.run(command, input=file.getvalue(), capture_output=True, check=True)
    assert len(lines(done.stdout.decode())[0]) == 75


def test_a_file_that_is_cut_short_is_embedded_and_says_so(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, audio(5, 1), RATE, "PCM_16")
    path.write_bytes(path.read_bytes()[: 44 + 2 * 3 * RATE])
    assert main(["stream", str(path), "-m", model]) == 1
    printed = capsys.readouterr()
    assert len(lines(printed.out)[0]) == 75  # all three seconds
    assert printed.err.endswith(f"error: {path}: cut short: 3.00 s of the 5.00 s that its header announces\n")


def test_a_sound_too_short_for_an_embedding_says_so(model: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    soundfile.write(tmp_path / "a.wav", audio(0.02, 1), RATE, "PCM_16")
    assert main(["stream", str(tmp_path / "a.wav"), "-m", model]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "a.wav: ended before it had an embedding, which takes 25 ms" in printed.err


@pytest.mark.parametrize(
    ("name", "told"),
    [("folder", "a folder; expected a pipe or a file"), ("missing.wav", "no such pipe or file; - stands for stdin")],
)
def test_what_cannot_be_opened_is_explained(
    name: str, told: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "folder").mkdir()
    assert main(["stream", str(tmp_path / name), "-m", model]) == 1
    printed = capsys.readouterr()
    assert f"axlstm: error: {tmp_path / name}: {told}" in printed.err
    assert "Errno" not in printed.err
    assert printed.out == ""
