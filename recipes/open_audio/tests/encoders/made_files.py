"""What the tests of the encoders share: files as the encoders' packages have them, made here."""

import importlib
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import flatbuffers
import numpy as np
import onnx.parser
from ai_edge_litert import schema_py_generated as schema

ENCODERS = Path(__file__).parents[2] / "encoders"
POOL = "model/GLOBAL_AVG_POOL/Mean"  # where BirdNET is cut


def recipe_module(name: str) -> ModuleType:
    """A module of the folder of encoders, which is no package: its files find each other as a script's do."""
    sys.path.insert(0, str(ENCODERS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ENCODERS))


def varint(value: int) -> bytes:
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def write_checkpoint(
    prefix: Path, variables: dict[str, np.ndarray], per_block: int = 16, compression: bytes = b"\0"
) -> None:
    """A checkpoint as TensorFlow writes it: keys sorted, sharing prefixes, in blocks."""
    types = {"float32": 1, "float64": 2, "int32": 3, "int64": 9}
    data = b""
    entries = [(b"", field(1, 1))]
    for name, value in sorted(variables.items()):
        shape = b"".join(field(2, field(1, size)) for size in value.shape)
        extent = field(4, len(data)) + field(5, value.nbytes)
        entries.append((name.encode(), field(1, types[value.dtype.name]) + field(2, shape) + extent))
        data += value.tobytes()
    table = b""
    handles = []
    for first in range(0, len(entries), per_block):
        part = entries[first : first + per_block]
        handles.append((part[-1][0], varint(len(table)) + varint(len(_block(part)))))
        table += _block(part) + compression + b"crc!"
    meta = varint(len(table)) + varint(len(_block([])))
    table += _block([]) + b"\0crc!"
    index = varint(len(table)) + varint(len(_block(handles)))
    table += _block(handles) + b"\0crc!"
    footer = (meta + index).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table + footer)
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)


def _block(entries: list[tuple[bytes, bytes]]) -> bytes:
    content, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return content + struct.pack("<II", 0, 1)  # one restart, at 0


def tiny_tflite() -> bytes:
    """A model that takes and gives what BirdNET does: the mean level of each piece, 1024 times, then 9 classes."""
    builder = flatbuffers.Builder()
    builder.Finish(_tflite_model().Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tflite_model() -> schema.ModelT:
    kinds = {np.dtype(np.float32): schema.TensorType.FLOAT32, np.dtype(np.int32): schema.TensorType.INT32}
    buffers = [_filled(schema.BufferT)]  # the first one is empty: that of tensors that are computed
    tensors, operators, codes = [], [], []

    def add(name: str, shape: tuple[int, ...], content: np.ndarray | None = None) -> int:
        if content is not None:
            buffers.append(_filled(schema.BufferT, data=content.tobytes()))
        kind = schema.TensorType.FLOAT32 if content is None else kinds[content.dtype]
        buffer = 0 if content is None else len(buffers) - 1
        tensors.append(_filled(schema.TensorT, name=name, shape=shape, type=kind, buffer=buffer))
        return len(tensors) - 1

    def constant(name: str, values: Any, dtype: type = np.int32) -> int:
        content = np.asarray(values, dtype=dtype)
        return add(name, content.shape, content)

    def apply(kind: str, inputs: list[int], name: str, shape: tuple[int, ...], **options: Any) -> int:
        code = getattr(schema.BuiltinOperator, kind)
        codes.append(_filled(schema.OperatorCodeT, deprecatedBuiltinCode=code, builtinCode=code))
        output = add(name, shape)
        fields = {"opcodeIndex": len(codes) - 1, "inputs": inputs, "outputs": [output], **options}
        operators.append(_filled(schema.OperatorT, **fields))
        return output

    keep_axes = {
        "builtinOptionsType": schema.BuiltinOptions.ReducerOptions,
        "builtinOptions": _filled(schema.ReducerOptionsT, keepDims=True),
    }
    keep_shape = {
        "builtinOptionsType": schema.BuiltinOptions.FullyConnectedOptions,
        "builtinOptions": _filled(schema.FullyConnectedOptionsT, keepNumDims=True),
    }
    window = add("input", (1, 144_000))
    bounds = [constant("begin", [0, 18_000]), constant("size", [1, 108_000])]
    middle = apply("SLICE", [window, *bounds], "middle", (1, 108_000))
    scaled = apply("MUL", [middle, constant("model/MEL_SPEC", [1.0], np.float32)], "scaled", (1, 108_000))
    level = apply("ABS", [scaled], "level", (1, 108_000))
    split = apply("RESHAPE", [level, constant("split", [1, 6, 18_000, 1])], "pieces", (1, 6, 18_000, 1))
    mean = apply("MEAN", [split, constant("axis", [2])], "mean", (1, 6, 1, 1), **keep_axes)
    kernel = constant("kernel", np.ones((1024, 1)), np.float32)
    # -1: the bias is left out
    pieces = apply("FULLY_CONNECTED", [mean, kernel, -1], "conv", (1, 6, 1, 1024), **keep_shape)
    pooled = apply("MEAN", [pieces, constant("axes", [1, 2])], POOL, (1, 1024))
    classes = constant("classes", np.ones((9, 1024)), np.float32)
    output = apply("FULLY_CONNECTED", [pooled, classes, -1], "output", (1, 9))
    graph = _filled(schema.SubGraphT, tensors=tensors, inputs=[window], outputs=[output], operators=operators)
    return _filled(schema.ModelT, version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers)


def _filled(kind: type, **fields: Any) -> Any:
    made = kind()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def tiny_mel_onnx() -> bytes:
    """A model that takes and gives what openWakeWord's first one does: the mean level every 10 ms, in 32 bands."""
    return onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        mel (float[1, n] input) => (float[1, 1, frames, 32] output)
        <int64[1] first = {1}, int64[1] last = {3}, int64[4] repeats = {1, 1, 1, 32}> {
            level = Abs(input)
            row = Unsqueeze(level, first)
            mean = AveragePool<kernel_shape = [512], strides = [160]>(row)
            column = Unsqueeze(mean, last)
            output = Tile(column, repeats)
        }
    """).SerializeToString()


def tiny_embedding_onnx() -> bytes:
    """A model that takes and gives what openWakeWord's second one does: the mean of 76 frames, scaled by 1 to 96."""
    kernel = ", ".join(map(str, range(1, 97)))
    return onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        embedding (float[n, 76, 32, 1] input_1) => (float[n, 1, 1, 96] output)
        <float[1, 96] kernel = {{{kernel}}}, int64[1] unused = {{0}}> {{
            mean = ReduceMean<axes = [1, 2, 3], keepdims = 1>(input_1)
            output = Mul(mean, kernel)
        }}
    """).SerializeToString()
