"""``engine="auto"``: what it chooses, when it gives way to torch, and what it keeps on the disk."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import axlstm
from axlstm.cli import main
from axlstm.embed import light
from axlstm.embed.light import LightEmbedder, open_embedder
from axlstm.engines import choice, compiled, kept
from axlstm.engines.kept import FOLDER_VARIABLE
from axlstm.errors import AxlstmError
from axlstm.samples import sample_path, sample_paths
from axlstm.store.batch import embed_files
from axlstm.store.formats import read_records, read_settings
from tests.seeded import audio

pytestmark = pytest.mark.skipif(
    platform.machine() not in choice.MEASURED or find_spec("openvino") is None,
    reason="where OpenVINO does not come with the package, torch computes",
)

RATE = 16_000
SMALL = {"depth": 2, "width": 32, "heads": 2}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    caplog.set_level(logging.INFO)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return axlstm.create_model("axlstm-tiny", **SMALL).save_pretrained(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def exact(model: Path) -> axlstm.Embedder:
    return axlstm.load_model(model, engine=None)


@pytest.mark.parametrize(
    ("device", "precision", "padding", "reason"),
    [
        ("cuda", "float32", "window", "device=cuda"),
        ("cpu", "float16", "window", "only torch computes in float16"),
        ("cpu", "float32", "none", "padding='none'"),
    ],
)
def test_torch_computes_where_openvino_cannot_or_is_slower(
    device: str, precision: str, padding: str, reason: str
) -> None:
    chosen = choice.choose_engine(device, precision, padding)  # type: ignore[arg-type]
    assert chosen.engine is None
    assert chosen.reason.startswith(reason)


def test_the_default_is_checked_once_and_kept(
    model: Path, exact: axlstm.Embedder, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = audio(5.0, 1)
    for _ in range(2):
        embedder = axlstm.load_model(model)
        np.testing.assert_allclose(embedder.embed(clip, RATE).frames, exact.embed(clip, RATE).frames, atol=1e-4)
    assert embedder.engine == "openvino"
    assert embedder.fingerprint != exact.fingerprint
    assert exact.fingerprint_as("openvino") == embedder.fingerprint
    assert len(list(cache.iterdir())) == 1
    assert "the fastest for float32 on this processor" in caplog.text
    assert "checked against torch on a second of speech: frames differ by" in caplog.text


def test_nothing_is_compiled_before_it_is_needed(model: Path, cache: Path) -> None:
    axlstm.load_model(model).save_pretrained(cache.parent / "again")
    axlstm.load_model(model).prepare(audio(1.0, 0), RATE)
    assert not cache.exists()


def test_weights_that_are_handed_out_are_computed_with_in_torch(model: Path, exact: axlstm.Embedder) -> None:
    clip = audio(2.0, 0)
    for reach in (
        lambda embedder: embedder.model.encoder.patches.projection.weight,
        lambda embedder: next(embedder.parameters()),
        lambda embedder: next(iter(embedder.state_dict().values())),
    ):
        embedder = axlstm.load_model(model)
        embedder.embed(clip, RATE)
        assert embedder.engine == "openvino"
        weight = reach(embedder)
        np.testing.assert_array_equal(embedder.embed(clip, RATE).frames, exact.embed(clip, RATE).frames)
        with torch.no_grad():
            weight *= 1.5
        assert embedder.engine is None
        assert not np.array_equal(embedder.embed(clip, RATE).frames, exact.embed(clip, RATE).frames)
        assert embedder.fingerprint != exact.fingerprint


def test_an_engine_that_is_broken_gives_way(
    model: Path, exact: axlstm.Embedder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = SimpleNamespace(__spec__=None, __version__="0")  # installed, without anything in it
    for name in ("openvino", "openvino.opset13"):
        monkeypatch.setitem(sys.modules, name, broken)
    monkeypatch.setattr(choice, "find_spec", lambda _: True)
    embedder = axlstm.load_model(model)
    np.testing.assert_array_equal(embedder.embed(audio(1.0, 0), RATE).frames, exact.embed(audio(1.0, 0), RATE).frames)
    embedder.embed(audio(1.0, 0), RATE)
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert "OpenVINO does not work here" in told[0]
    assert told[0].endswith("torch computes")


def test_an_engine_with_other_numbers_gives_way(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiled, "MOST_DIFFERENCE", 0.0)
    embedder = axlstm.load_model(model)
    embedder.embed(audio(1.0, 0), RATE)
    assert embedder.engine is None
    assert "OpenVINO's embeddings differ from torch's by" in caplog.text
    assert "differ from torch's by" in str(embedder.engine_choice)
    assert not cache.exists()


def test_without_openvino_it_says_how_to_become_faster(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda _: None)
    assert 'pip install "axlstm[openvino]"' in str(axlstm.load_model(model).engine_choice)


def test_a_damaged_graph_is_compiled_again(model: Path, exact: axlstm.Embedder, cache: Path) -> None:
    axlstm.load_model(model).embed(audio(1.0, 0), RATE)
    (file,) = cache.iterdir()
    content = bytearray(file.read_bytes())
    for damaged in (b"", content[:1000], content[:5000] + b"x" + content[5001:], b"not ours" * 20):
        file.write_bytes(damaged)
        embedder = axlstm.load_model(model)
        np.testing.assert_allclose(
            embedder.embed(audio(1.0, 0), RATE).frames, exact.embed(audio(1.0, 0), RATE).frames, atol=1e-4
        )
        assert kept.load_graph(file.stem) is not None


def test_a_folder_that_cannot_be_written_is_done_without(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("a file", encoding="utf-8")
    assert axlstm.load_model(model).engine == "openvino"
    assert "the compiled model cannot be kept there" in caplog.text
    assert FOLDER_VARIABLE in caplog.text
    caplog.clear()
    cache.unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(kept, "write_atomically", full)
    assert axlstm.load_model(model).engine == "openvino"
    assert "No space left on device" in caplog.text


def test_nothing_is_kept_where_the_variable_is_empty(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, "")
    assert axlstm.load_model(model).engine == "openvino"
    assert "cannot be kept" not in caplog.text


def test_graphs_of_other_processors_and_versions_are_not_taken(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_processor", "version"):
        assert axlstm.load_model(model).engine == "openvino"
        monkeypatch.setattr(kept, name, lambda *_, name=name: f"another {name}")
    assert axlstm.load_model(model).engine == "openvino"
    assert len(list(cache.iterdir())) == 3


def test_the_oldest_graphs_are_removed(model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_MOST_FILES", 2)
    for number, layers in enumerate(([0], [1], [2])):
        assert axlstm.load_model(model, layers=layers).engine == "openvino"
        for file in cache.iterdir():
            if file.stat().st_mtime > number:
                os.utime(file, (number, number))
    assert len(list(cache.iterdir())) == 2


def test_two_processes_may_compile_at_once(model: Path, cache: Path, tmp_path: Path) -> None:
    outs = [tmp_path / f"{number}.npz" for number in range(2)]
    command = [sys.executable, "-m", "axlstm", "embed", str(sample_path("bell")), "-m", str(model), "-o"]
    running = [subprocess.Popen([*command, str(out)], stderr=subprocess.PIPE, text=True) for out in outs]
    told = [process.communicate(timeout=600)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    assert len(list(cache.iterdir())) == 1
    assert read_settings(outs[0]).options["engine"] == "openvino"


def test_bfloat16_that_is_imitated_is_said_to_be_slow(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "has_bfloat16", lambda: False)
    axlstm.load_model(model)
    assert "slower than float32" not in caplog.text
    axlstm.load_model(model, dtype="bfloat16")
    assert "no instructions for it and imitates them, so that it is slower than float32" in caplog.text


def test_an_output_goes_on_in_its_engine(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = map(str, sample_paths()[:2])
    in_torch, fast = tmp_path / "torch.npz", tmp_path / "fast.npz"
    options = ["-m", str(model)]
    assert main(["embed", first, "-o", str(in_torch), "--engine", "None", *options]) == 0
    assert main(["embed", first, second, "-o", str(in_torch), *options]) == 0
    assert "computes in torch: what is there was embedded in it" in caplog.text
    assert read_settings(in_torch).options["engine"] == "torch"
    assert len(list(read_records(in_torch))) == 2
    assert main(["embed", first, "-o", str(fast), *options]) == 0
    assert read_settings(fast).options["engine"] == "openvino"
    with pytest.raises(AxlstmError, match="engine: 'openvino' there, 'torch' here"):
        embed_files(axlstm.load_model(model, engine=None), [Path(second)], fast)
    from axlstm.engines import runtimes

    monkeypatch.setattr(runtimes, "find_spec", lambda _: None)
    monkeypatch.setattr(choice, "find_spec", lambda _: None)
    assert main(["embed", first, second, "-o", str(fast), *options]) == 1  # not silently in torch


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_needs_no_torch_gives_the_same(model: Path, dtype: str) -> None:
    options = {"dtype": dtype, "layers": (1, 2), "pooling": "mean+deviation"}
    whole = open_embedder(model, **options)
    assert isinstance(whole, axlstm.Embedder)  # nothing was compiled before
    clips = [audio(seconds, seed) for seed, seconds in enumerate((0.025, 0.5, 2.0, 23.3))]
    expected = [whole.embed(clip, RATE) for clip in clips]
    light = open_embedder(model, **options)
    assert isinstance(light, LightEmbedder)
    assert light.fingerprint == whole.fingerprint
    for clip, theirs in zip(clips, expected, strict=True):  # to the last bit: one does not know which of them it has
        ours = light.embed(clip, RATE)
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        np.testing.assert_array_equal(ours.scene, theirs.scene)
        np.testing.assert_array_equal(ours.timestamps_ms, theirs.timestamps_ms)
    for ours, theirs in zip(light.embed_stream(clips[3], RATE), whole.embed_stream(clips[3], RATE), strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
    close = 1e-4 if dtype == "float32" else 0.3
    together = light.embed_prepared([light.prepare(clip, RATE) for clip in clips])
    for ours, theirs in zip(together, expected, strict=True):
        np.testing.assert_allclose(ours.frames, theirs.frames, atol=close)


def test_a_short_recording_is_embedded_without_torch(model: Path, tmp_path: Path) -> None:
    axlstm.load_model(model).embed(audio(1.0, 0), RATE)
    code = (
        "import sys; from axlstm.cli import main; status = main(sys.argv[1:]); "
        "slow = {'torch', 'pandas', 'openvino_telemetry', 'openvino.tools.ovc'}; "
        "sys.exit(status or 10 * bool(slow & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "embed", str(sample_path("bell")), "-m", str(model), "-o"]
    done = subprocess.run([*command, str(tmp_path / "e.parquet")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "computes in openvino: the fastest for float32 on this processor" in done.stderr


def test_layers_that_do_not_exist_are_refused_without_torch_too(model: Path) -> None:
    axlstm.load_model(model, layers=[0]).embed(audio(1.0, 0), RATE)
    assert isinstance(open_embedder(model, layers=[-3]), LightEmbedder)  # the same layer
    for layers in ([3], [-4], []):
        with pytest.raises(AxlstmError, match="layers="):
            open_embedder(model, layers=layers)


def test_a_copy_by_pickle_computes_the_same(model: Path) -> None:
    embedder = axlstm.load_model(model)
    whole = embedder.embed(audio(1.0, 0), RATE).frames
    copy = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(copy.embed(audio(1.0, 0), RATE).frames, whole)
    assert copy.engine == embedder.engine == "openvino"


def _scale(module: torch.nn.Module) -> None:
    if isinstance(module, torch.nn.Linear):
        module.weight.mul_(1.5)


def _load_as_a_part(embedder: axlstm.Embedder) -> None:
    outer = torch.nn.Sequential(embedder)
    outer.load_state_dict({name: 1.5 * value for name, value in outer.state_dict().items()})


@pytest.mark.parametrize(
    "edit",
    [
        lambda embedder: embedder.apply(_scale),
        lambda embedder: embedder.get_submodule("_model").apply(_scale),
        lambda embedder: [child.apply(_scale) for child in embedder.children()],
        lambda embedder: _load_as_a_part(embedder),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_that_are_changed_without_being_asked_for_are_seen(
    model: Path, edit: Callable[[axlstm.Embedder], object], dtype: str
) -> None:
    embedder = axlstm.load_model(model, dtype=dtype)
    before = embedder.embed(audio(1.0, 0), RATE).frames
    with torch.no_grad():
        edit(embedder)
    assert embedder.engine is None
    assert np.abs(embedder.embed(audio(1.0, 0), RATE).frames - before).max() > 0.01


def test_weights_that_are_handed_out_while_a_graph_is_made_of_them_are_seen(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder, check, asked = axlstm.load_model(model), compiled._check, threading.Event()

    def slow(*arguments: Any) -> float:
        asked.set()
        time.sleep(0.5)
        return check(*arguments)

    monkeypatch.setattr(compiled, "_check", slow)
    first = threading.Thread(target=embedder.embed, args=(audio(1.0, 0), RATE))
    first.start()
    assert asked.wait(60)
    with torch.no_grad():
        embedder.model.apply(_scale)
    first.join()
    assert embedder.engine is None
    edited = axlstm.Embedder(embedder.checkpoint).embed(audio(1.0, 0), RATE).frames
    np.testing.assert_allclose(embedder.embed(audio(1.0, 0), RATE).frames, edited, atol=1e-5)


TIED = """
import os, sys
import axlstm
for _ in range(2):  # compiled, and as it was kept
    model = axlstm.load_model(sys.argv[1])
    model.embed_batch([sys.argv[2]] * 20)
    assert model.engine == "openvino"
    tied = [thread for thread in os.listdir("/proc/self/task") if len(os.sched_getaffinity(int(thread))) < 2]
    assert not tied, tied
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores on Linux"
)
def test_threads_are_tied_to_no_core(model: Path) -> None:
    """Two processes would have their threads on the same one."""
    command = [sys.executable, "-c", TIED, str(model), str(sample_path("bell"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_kept_graph_that_does_not_load_is_made_again(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = axlstm.load_model(model).embed(audio(1.0, 0), RATE).frames
    (first,) = cache.iterdir()
    number = first.stat().st_ino

    def refuse(*_: object) -> None:
        raise RuntimeError("made by another build")

    with monkeypatch.context() as patched:
        patched.setattr(compiled, "from_content", refuse)
        patched.setattr(light, "from_content", refuse)
        again = open_embedder(model)
        assert isinstance(again, axlstm.Embedder)
        assert again.engine == "openvino"
        np.testing.assert_allclose(again.embed(audio(1.0, 0), RATE).frames, whole, atol=1e-5)
    (second,) = cache.iterdir()
    assert second.stat().st_ino != number


SIGNAL_STACK = """
import ctypes, gc, sys
from pathlib import Path
import axlstm

class Stack(ctypes.Structure):
    _fields_ = [("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

def check():
    stack = Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    spans = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
    inside = any(int(begin, 16) <= (stack.place or 0) < int(end, 16) for begin, end in spans)
    assert inside or stack.flags == 2, f"{stack.place:#x}"  # 2: there is none

for turn in range(3):
    one, other = axlstm.load_model(sys.argv[1]), axlstm.load_model(sys.argv[1], layers=[1])
    one.embed(sys.argv[2]), other.embed(sys.argv[2])
    assert (one.engine, other.engine) == ("openvino", "openvino")
    for name in ("one", "other"):  # the first to begin is the first to end
        del globals()[name]
        gc.collect()
        check()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_signals_are_survived_whatever_order_embedders_end_in(model: Path) -> None:
    """A signal that is handled on an alternate stack whose memory is gone ends the process without a word."""
    command = [sys.executable, "-c", SIGNAL_STACK, str(model), str(sample_path("bell"))]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
