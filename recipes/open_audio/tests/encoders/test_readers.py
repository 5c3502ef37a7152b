"""Reading what TensorFlow, ONNX and TensorFlow Lite write: against files of these formats made here."""

import struct
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from axlstm.errors import CheckpointError
from recipes.open_audio.tests.encoders.made_files import (
    POOL,
    field,
    recipe_module,
    tiny_embedding_onnx,
    tiny_tflite,
    varint,
    write_checkpoint,
)

VARIABLES = {
    "dense/bias": np.arange(3, dtype=np.float32),
    "dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "dense/kernel/Adam": np.full((2, 3), 7.0),
    "step": np.array(40_000, dtype=np.int64),
}


@pytest.mark.parametrize("per_block", [1, 2, 100])
def test_a_checkpoint_gives_back_its_variables(tmp_path: Path, per_block: int) -> None:
    write_checkpoint(tmp_path / "model", VARIABLES, per_block)
    read = recipe_module("tensor_bundle").read_checkpoint(tmp_path / "model")
    assert read.keys() == VARIABLES.keys()
    for name, value in VARIABLES.items():
        assert read[name].dtype == value.dtype
        np.testing.assert_array_equal(read[name], value)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda index, data: (index[:-1], data), "does not end as a table"),
        (lambda _, data: (b"", data), "does not end as a table"),
        (lambda index, data: (index, data[:-8]), "step of shape"),
        (lambda index, data: (b"\xff" * 20 + index[20:], data), "checkpoint"),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path, damage, said: str) -> None:
    write_checkpoint(tmp_path / "model", VARIABLES)
    index, data = tmp_path / "model.index", tmp_path / "model.data-00000-of-00001"
    broken = damage(index.read_bytes(), data.read_bytes())
    index.write_bytes(broken[0])
    data.write_bytes(broken[1])
    with pytest.raises(CheckpointError, match=said) as raised:
        recipe_module("tensor_bundle").read_checkpoint(tmp_path / "model")
    assert str(index) in str(raised.value)


def test_a_compressed_block_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model", VARIABLES, compression=b"\1")
    with pytest.raises(CheckpointError, match="compressed"):
        recipe_module("tensor_bundle").read_checkpoint(tmp_path / "model")


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.index is missing"):
        recipe_module("tensor_bundle").read_checkpoint(tmp_path / "model")


def test_varints_end_where_they_should() -> None:
    wire = recipe_module("protobuf_wire")
    assert wire.read_varint(b"\x00\xac\x02\x07", 1) == (300, 3)
    for broken in (b"\xff", b"\xff" * 11, b""):
        with pytest.raises(ValueError, match="no varint"):
            wire.read_varint(broken, 0)


def test_messages_that_are_cut_short_are_refused() -> None:
    wire = recipe_module("protobuf_wire")
    message = field(1, 5) + field(2, b"abc") + varint(3 << 3 | 5) + struct.pack("<I", 9)
    assert list(wire.fields(message)) == [(1, 5), (2, b"abc"), (3, 9)]
    with pytest.raises(ValueError, match="4 bytes"):
        list(wire.fields(message[:-1]))
    with pytest.raises(ValueError, match="wire type 3"):
        list(wire.fields(varint(1 << 3 | 3)))


def test_only_float_weights_of_an_onnx_model_count() -> None:
    assert recipe_module("openwakeword").count_weights(tiny_embedding_onnx()) == 96


def test_a_model_is_cut_before_the_named_tensor() -> None:
    graph = recipe_module("tflite_graph")
    content = tiny_tflite()
    cut = graph.cut_before(content, POOL, front_end="MEL_SPEC", source="x.tflite")
    assert sum(old != new for old, new in zip(content, cut.content, strict=True)) == 1  # the index of the output
    assert cut.weights == 1024  # those of the kernel; not the filters before it, not the classes behind it
    window = np.zeros((1, 144_000), dtype=np.float32)
    window[0, 18_000:36_000] = -0.5  # the first of the pieces
    assert run(content, window).shape == (1, 9)
    np.testing.assert_allclose(run(cut.content, window)[0, :, 0, 7], [0.5, 0, 0, 0, 0, 0])


def run(content: bytes, window: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], window)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_what_cannot_be_cut_is_refused() -> None:
    graph = recipe_module("tflite_graph")
    content = tiny_tflite()
    with pytest.raises(CheckpointError, match=r"x\.tflite is not a TensorFlow Lite model"):
        graph.cut_before(b"PK\3\4" + content[4:8].lower(), POOL, "MEL_SPEC", "x.tflite")
    for broken, name in ((content, "no_such"), (content, "input"), (content[:60], POOL)):
        with pytest.raises(CheckpointError, match=rf"x\.tflite cannot be cut before {name}"):
            graph.cut_before(broken, name, "MEL_SPEC", "x.tflite")
