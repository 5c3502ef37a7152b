"""Sound from pipes, and from file objects of every kind."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm.audio.read import load_audio
from axlstm.errors import AudioError
from tests.seeded import audio

SOUND = audio(1.0, 1)


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, SOUND, 16_000, "FLOAT" if kind == "WAV" else None, format=kind)
    return stream.getvalue()


class Unseekable:
    """A source as sockets and HTTP responses are: bytes come in pieces of any size, once."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(min(1000, size) if size >= 0 else -1)


class Unbuffered(Unseekable):
    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("make", [Unseekable, Unbuffered])
def test_a_source_that_is_read_only_once(kind: str, make: Callable[[bytes], Any]) -> None:
    content = encoded(kind)
    np.testing.assert_array_equal(load_audio(make(content)), load_audio(content))


def test_large_ones_go_to_the_disk_and_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axlstm.audio.source._MOST_IN_MEMORY", 1000)
    np.testing.assert_array_equal(load_audio(Unseekable(encoded("WAV"))), SOUND)
    with pytest.raises(AudioError, match="not a sound file"):
        load_audio(Unseekable(b"no sound" * 1000))


def test_file_objects_stay_open_and_are_read_from_their_beginning() -> None:
    content = encoded("WAV")
    with tempfile.SpooledTemporaryFile() as spooled, gzip.open(io.BytesIO(gzip.compress(content))) as unzipped:
        spooled.write(content)
        for file in (spooled, unzipped, io.BytesIO(content)):
            for _ in range(2):
                np.testing.assert_array_equal(load_audio(file), SOUND)  # type: ignore[arg-type]


def test_what_gives_no_bytes_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded("WAV"))
    with path.open("rb") as closed:
        pass
    with pytest.raises(AudioError, match=r"a\.wav: a closed file object; open it again"):
        load_audio(closed)
    with path.open(encoding="latin-1") as text, codecs.open(str(path), "r", "latin-1") as reader:
        for file in (text, reader, io.StringIO("sound")):
            with pytest.raises(AudioError, match="a file object opened as text; open it with mode 'rb'"):
                load_audio(file)  # type: ignore[arg-type]
    with (tmp_path / "w.wav").open("wb") as file, pytest.raises(AudioError, match=r"gives no bytes.*mode 'rb'"):
        load_audio(file)  # type: ignore[arg-type]
    reading, writing = os.pipe()
    os.close(reading)
    with (
        os.fdopen(writing, "wb") as file,
        pytest.raises(AudioError, match="the file object given: a file object that gives no"),
    ):
        load_audio(file)  # type: ignore[arg-type]


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="needs /dev/fd")
@pytest.mark.parametrize("kind", ["WAV", "OGG"])
def test_paths_of_pipes(kind: str) -> None:
    code = "import sys, axlstm.audio.read as r; print(sum(map(len, r.stream_audio(sys.argv[1]))))"
    for name in ("/dev/stdin", "/dev/fd/0"):
        done = subprocess.run([sys.executable, "-c", code, name], input=encoded(kind), capture_output=True, check=False)
        assert int(done.stdout) == 16_000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_embedded_once_and_not_twice(tmp_path: Path) -> None:
    model = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2)
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())", tmp_path / "pipe"],
        stdin=subprocess.PIPE,
    ) as writer:
        assert writer.stdin is not None
        writer.stdin.write(encoded("WAV"))
        writer.stdin.close()
        frames = model.embed(tmp_path / "pipe").frames
    np.testing.assert_array_equal(frames, model.embed(SOUND, 16_000).frames)
    with pytest.raises(AudioError, match="a pipe, which can be read only once, and this reads twice: use embed"):
        list(model.embed_stream(tmp_path / "pipe"))
