"""Small files that ask for everything: each has to end soon, with one line that names it."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file

from axlstm.audio.frontend import FrontendConfig
from axlstm.audio.read import load_audio
from axlstm.checkpoints.own import Checkpoint, load_checkpoint
from axlstm.checkpoints.published import load_published
from axlstm.collection.about import describe_collection
from axlstm.collection.changes import add_part
from axlstm.collection.collection import create
from axlstm.collection.collection import open as open_collection
from axlstm.collection.parts import Rows
from axlstm.collection.recordings import note_places, sort_files
from axlstm.collection.upkeep import compact
from axlstm.collection.verify import verify
from axlstm.data.config import PrepareConfig
from axlstm.data.manifest import find_items
from axlstm.data.prepare import prepare
from axlstm.data.shards import open_shards
from axlstm.evaluate.embedding.label_pickle import read_label_pickle
from axlstm.evaluate.embedding.packed import read_embeddings
from axlstm.evaluate.pipeline import EvaluationConfig, probe_folders
from axlstm.evaluate.reporting.results import read_results
from axlstm.evaluate.tasks.archive import extract_archive
from axlstm.evaluate.tasks.read import read_task
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.store.formats import read_keys, read_pieces
from axlstm.store.origin import ORIGIN_COLUMNS
from axlstm.store.records import StoreSettings
from axlstm.training.config import LogConfig
from axlstm.training.metrics import open_sinks
from tests.evaluate.made_task import make_event_task, make_scene_task
from tests.shards.made import write_sound

TINY = ModelConfig(depth=1, width=16, heads=1, patch_frames=40, patch_bands=40)
DEEP = "[" * 100_000
LONG = "9" * 5000


class Case(NamedTuple):
    """A file written by ``write`` and read by ``read``; ``file`` is what a line has to name."""

    name: str
    file: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]


def _model(folder: Path) -> Path:
    return Checkpoint(MaskedPatchModel.initialised(TINY, seed=1), name="m").save(folder)


def _config(change: dict[str, Any], folder: Path) -> None:
    _model(folder)
    values = {"model_type": "axlstm", "model": TINY.to_dict(), "frontend": FrontendConfig().to_dict()}
    for part, changed in change.items():
        values[part] = {**values[part], **changed}
    (folder / "config.json").write_text(json.dumps(values))


def _beside_model(name: str, content: bytes | str, folder: Path) -> None:
    _model(folder)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def checkpoints() -> Iterator[Case]:
    """config.json and model.safetensors."""
    wrong: list[dict[str, Any]] = [
        *({"depth": value} for value in (1e7, 10**7, -1, 0, True, "12", None, [1], 10**400)),
        *({"width": value} for value in (64.0, 10**9, 2**70, float("nan"))),
        *({"expansion": value} for value in (1e300, 1e18, float("inf"), float("nan"), 10**400)),
        *({key: 10**9} for key in ("heads", "conv_kernel", "projection_block", "patch_frames", "patch_bands")),
        *({key: 10**8} for key in ("window_frames", "mel_bands")),
        *({"family": value} for value in ("x", [], 10**300)),
        {"x" * 1000: 1},
    ]
    for change in wrong:
        yield Case(f"model {change!r:.40}", "config.json", partial(_config, {"model": change}), load_checkpoint)
    front: list[dict[str, Any]] = [
        *({key: 10**8} for key in ("window_samples", "hop_samples", "mel_bands", "sample_rate_hz")),
        *({"log_offset": value} for value in (float("inf"), float("nan"), -1, "x")),
        {"high_hz": 1e300},
        {"low_hz": float("nan")},
    ]
    for change in front:
        yield Case(f"frontend {change!r:.40}", "config.json", partial(_config, {"frontend": change}), load_checkpoint)
    texts: dict[str, bytes | str] = {
        "nested lists": DEEP,
        "nested objects": '{"model":' * 100_000,
        "5000 digits": f'{{"model_type": "axlstm", "format_version": {LONG}}}',
        "500 digits": f'{{"model_type": "axlstm", "format_version": {"9" * 500}}}',
        "5 MB": '{"model_type": "axlstm", "name": "' + "x" * 5_000_000 + '"}',
        "lists in thousands": "[" + "[]," * 330_000 + "[]]",
        "not UTF-8": b'{"model_type": "\xff"}',
        "nothing": b"",
        "zeros": bytes(1000),
        "a list": "[]",
    }
    for name, text in texts.items():
        yield Case(f"config.json {name}", "config.json", partial(_beside_model, "config.json", text), load_checkpoint)
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    weights = {
        "length 2^60": struct.pack("<Q", 2**60) + b"{}",
        "length 2^27": struct.pack("<Q", 2**27) + b"{}",
        "nested": struct.pack("<Q", len(DEEP)) + DEEP.encode(),
        "offsets 2^60": struct.pack("<Q", 66) + header.replace(b"8]", b"1152921504606846976]").ljust(66) + bytes(8),
        "shape 2^60": struct.pack("<Q", 72) + header.replace(b"[2]", b"[1152921504606846976]").ljust(72) + bytes(8),
        "too short": struct.pack("<Q", len(header)) + header,
        "nothing": b"",
    }
    for name, content in weights.items():
        write = partial(_beside_model, "model.safetensors", content)
        yield Case(f"safetensors {name}", "model.safetensors", write, load_checkpoint)
    for value in (1e38, -1e7, float("nan"), float("inf")):
        yield Case(f"weight {value}", "model.safetensors", partial(_weight, value), load_checkpoint)


def _weight(value: float, folder: Path) -> None:
    _model(folder)
    tensors = {name: tensor.clone() for name, tensor in MaskedPatchModel.initialised(TINY, 1).state_dict().items()}
    tensors["head.0.bias"][0] = value
    save_file(tensors, folder / "model.safetensors")


class _Reduced:
    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


def _pth(content: Any, folder: Path) -> None:
    """A file of torch.save."""
    torch.save(content, folder / "a.pth")


def _raw_pth(pickled: bytes, folder: Path, compress: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(folder / "a.pth", "w", compress) as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/data/0", bytes(64))


def _tensor_pickle(offset: str, shape: str, stride: str) -> bytes:
    """A pickle of {"cls_token": tensor} in protocol 0, whose numbers are written as given."""
    storage = "(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI16\ntQ"
    rebuilt = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}{offset}({shape}t({stride}tI00\n(dtR"
    return f"(dS'cls_token'\n{rebuilt}s.".encode()


def _nested_tuples(depth: int) -> bytes:
    return b"}(" + b"(" * 1 + b"K\x01" + b"\x86".join(b"2" for _ in range(depth)) + b"\x86K\x01u."


def published() -> Iterator[Case]:
    """Files of torch.save."""
    one = torch.zeros(100_000)
    contents: dict[str, Any] = {
        "blocks.100000000.x": {"model": {"blocks.100000000.x": torch.zeros(2), "pos_embed": torch.zeros(1, 251, 192)}},
        "200 tensors on one storage": {f"blocks.{number}.x": one for number in range(200)},
        "tensors of a Hub name": {"x" * 100_000: torch.zeros(1)},
        "no tensors": {},
        "a list": [1, 2],
        "a tensor": torch.zeros(3),
        "many keys": {f"a{number}": torch.zeros(1) for number in range(500)},
    }
    for name, content in contents.items():
        yield Case(f"pth {name}", "a.pth", partial(_pth, content), lambda f: load_published(f / "a.pth"))
    doubled: Any = []
    for _ in range(30):
        doubled = [doubled, doubled]
    text = "x" * 50
    pickles: dict[str, bytes] = {
        "lists in millions": pickle.dumps({"args": doubled, "cls_token": 1}),
        "one string 900,000 times": pickle.dumps({"args": [text] * 900_000}),
        "lists as a key": pickle.dumps({"model": {}, "args": _Reduced(dict, (doubled,))}),
        "lists as a tensor": pickle.dumps({"cls_token": doubled}),
        "lists as arguments": pickle.dumps({"cls_token": _Reduced(torch._utils._rebuild_tensor_v2, (doubled,) * 6)}),
        "nested tuples as keys": _nested_tuples(40),
        "bytearray(2**33)": pickle.dumps({"a": _Reduced(bytearray, (2**33,))}),
        "a number of 4 MB": pickle.dumps({"epoch": 1 << 8_000_000}),
        "100,000 deep": b"(" + b"]" * 100_000 + b"a" * 99_999 + b"t.",
        "a memo at 2^31": b"\x80\x02}r\xff\xff\xff\x7f.",
        "a text of 2^31 bytes": b"\x80\x02X\xff\xff\xff\x7fabc.",
        "a text of 2^60 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"abc.",
        "a frame of 2^60 bytes": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
        "nothing": b"",
    }
    for name, pickled in pickles.items():
        yield Case(f"pth {name}", "a.pth", partial(_raw_pth, pickled), lambda f: load_published(f / "a.pth"))
    places = {"1e30": "F1e30\n", "a float": "F0.5\n", "a text": "S'x'\n", "2^70": f"I{2**70}\n", "-1": "I-1\n"}
    for name, number in places.items():
        for where, numbers in {
            "offset": (number, "I2\n", "I1\n"),
            "shape": ("I0\n", number, "I1\n"),
            "stride": ("I0\n", "I2\n", number),
        }.items():
            write = partial(_raw_pth, _tensor_pickle(*numbers))
            yield Case(f"pth {where} {name}", "a.pth", write, lambda f: load_published(f / "a.pth"))
    for name, change in {"deflate": _damage_deflate, "names": _damage_names, "entries": _many_entries}.items():
        yield Case(f"pth zip {name}", "a.pth", change, lambda f: load_published(f / "a.pth"))
    yield Case("pth zip bomb", "a.pth", _zip_bomb, lambda f: load_published(f / "a.pth"))


def _damage_deflate(folder: Path) -> None:
    _raw_pth(pickle.dumps({"a": list(range(1000))}), folder, zipfile.ZIP_DEFLATED)
    content = bytearray((folder / "a.pth").read_bytes())
    content[60:90] = b"\xff" * 30
    (folder / "a.pth").write_bytes(content)


def _damage_names(folder: Path) -> None:
    _raw_pth(pickle.dumps({}), folder)
    content = (folder / "a.pth").read_bytes().replace(b"a/data.pkl", b"\xff\x00/data.pk", 1)
    (folder / "a.pth").write_bytes(content)


def _many_entries(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.pth", "w") as archive:
        for number in range(3000):
            archive.writestr(f"{number}/data.pkl", b"N.")


def _zip_bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        with archive.open("a/data/0", "w") as entry:
            for _ in range(300):
                entry.write(bytes(1 << 20))


def labels() -> Iterator[Case]:
    """Label pickles of packed embeddings."""
    row = ["a"] * 3000
    nested: Any = ["a"]
    for _ in range(40):
        nested = [nested, nested]
    values: dict[str, bytes] = {
        "rows that are one": pickle.dumps([row] * 30_000),
        "nested lists": pickle.dumps([nested]),
        "nested lists as a label": pickle.dumps([[nested]]),
        "a number of 80,000 digits": pickle.dumps([[10**80_000]]),
        "a class": pickle.dumps([[Path("x")]]),
        "no list": pickle.dumps({"a": 1}),
        "a text of 2^31 bytes": b"\x80\x02X\xff\xff\xff\x7fabc.",
        "cut short": pickle.dumps([["a"]])[:-3],
        "100,000 deep": b"]" * 100_000 + b"a" * 99_999 + b".",
        "deep tuples": _nested_tuples(40),
    }
    for name, content in values.items():
        write = partial(_write, "a.target-labels.pkl", content)
        read = lambda f: read_label_pickle(f / "a.target-labels.pkl")  # noqa: E731
        yield Case(f"labels {name}", "a.target-labels.pkl", write, read)


def _write(name: str, content: bytes | str, folder: Path) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _npy(shape: str, descr: str = "'<f4'", content: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def _saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


SETTINGS = StoreSettings("m", "f", 2, True, True)


def _npz(changes: dict[str, bytes | None], folder: Path) -> None:
    arrays: dict[str, bytes | None] = {
        "settings": _saved(np.array(json.dumps(asdict(SETTINGS)))),
        "path": _saved(np.array(["a"])),
        "duration_s": _saved(np.array([1.0])),
        **{name: _saved(np.array([0 if kind is int else "x"])) for name, kind in ORIGIN_COLUMNS.items()},
        "scene": _saved(np.zeros((1, 2), np.float32)),
        "frame_offsets": _saved(np.array([0, 1])),
        "timestamps_ms": _saved(np.zeros(1, np.float32)),
        "frames": _saved(np.zeros((1, 2), np.float32)),
    }
    with zipfile.ZipFile(folder / "e.npz", "w") as archive:
        for name, content in {**arrays, **changes}.items():
            if content is not None:
                archive.writestr(f"{name}.npy", content)


OF_WINDOWS = StoreSettings("m", "f", 2, window_s=2.0, hop_s=0.5)


def _npz_of_windows(changes: dict[str, bytes | None], folder: Path) -> None:
    """Two windows of one clip."""
    arrays = {
        "settings": _saved(np.array(OF_WINDOWS.to_json())),
        "path": _saved(np.array(["a", "a"])),
        "duration_s": _saved(np.array([2.2, 2.2])),
        **{name: _saved(np.array([0, 0] if kind is int else ["x", "x"])) for name, kind in ORIGIN_COLUMNS.items()},
        "start_s": _saved(np.array([0.0, 0.5])),
        "end_s": _saved(np.array([2.0, 2.2])),
        "scene": _saved(np.zeros((2, 2), np.float32)),
        "frame_offsets": None,
        "timestamps_ms": None,
        "frames": None,
    }
    _npz({**arrays, **changes}, folder)


def _deflated_npz(folder: Path) -> None:
    with zipfile.ZipFile(folder / "e.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("path.npy", "w") as file:
        file.write(_npy("(100000000,)"))
        for _ in range(400):
            file.write(bytes(1_000_000))


def _settings(**changes: Any) -> bytes:
    return _saved(np.array(json.dumps({**asdict(SETTINGS), **changes})))


def outputs() -> Iterator[Case]:
    """Files of embeddings."""
    changes: dict[str, dict[str, bytes | None]] = {
        "a shape of 10^12": {"scene": _npy("(1000000000000,)")},
        "a shape of 10^30": {"scene": _npy("(10**30,)")},
        "a shape of 5000 digits": {"scene": _npy(f"({LONG},)")},
        "a negative shape": {"scene": _npy("(-1, 2)")},
        "texts of 10^9": {"path": _npy("(1,)", "'<U1000000000'")},
        "objects": {"path": _npy("(1,)", "'|O'", b"x")},
        "a nested type": {"path": _npy("(1,)", "[" * 200 + "]" * 200)},
        "no bytes": {"path": b""},
        "no paths": {"path": None},
        "half of the origin": {"place": None},
        "settings nested": {"settings": _saved(np.array(DEEP))},
        "settings of 5000 digits": {"settings": _saved(np.array(f'{{"size": {LONG}}}'))},
        "settings of size 10^9": {"settings": _settings(size=10**9)},
        "settings of size 2.0": {"settings": _settings(size=2.0)},
        "settings of no size": {"settings": _settings(size=None)},
        "other settings": {"settings": _settings(x=1)},
        "offsets that go back": {"frame_offsets": _saved(np.array([1, 0]))},
        "offsets of 2^60": {"frame_offsets": _saved(np.array([0, 2**60]))},
        "frames of doubles": {"frames": _saved(np.zeros((1, 2)))},
        "frames of 10^12": {"frames": _npy("(1000000000000, 2)")},
    }
    for name, change in changes.items():
        yield Case(f"npz {name}", "e.npz", partial(_npz, change), lambda f: list(read_pieces(f / "e.npz")))
    of_windows: dict[str, dict[str, bytes | None]] = {
        "a start that is no number": {"start_s": _saved(np.array([0.0, np.nan]))},
        "an end before its start": {"end_s": _saved(np.array([2.0, 0.4]))},
        "an end behind the recording": {"end_s": _saved(np.array([2.0, 2.3]))},
        "a negative start": {"start_s": _saved(np.array([-1.0, 0.5]))},
        "starts of text": {"start_s": _saved(np.array(["0", "1"]))},
        "starts of float32": {"start_s": _saved(np.array([0, 0.5], np.float32))},
        "no ends": {"end_s": None},
        "one end": {"end_s": _saved(np.array([2.0]))},
        "starts of 10^12": {"start_s": _npy("(1000000000000,)", "'<f8'")},
        "10^12 rows of nothing": {name: _npy("(1000000000000, 0)") for name in ("path", "start_s", "end_s")},
        "paths in rows of nothing": {"path": _npy("(2, 0)")},
        "rows by columns": {"scene": _saved(np.zeros((2, 2), np.float32, order="F"))},
        "scenes of another size": {"scene": _saved(np.zeros((2, 3), np.float32))},
        "windows of 0.1 s": {"settings": _saved(np.array(OF_WINDOWS.to_json().replace("2.0", "0.1")))},
        "no hop": {"settings": _settings(frames=False, window_s=2.0)},
        "windows and frames": {"settings": _settings(window_s=2.0, hop_s=0.5)},
    }
    for name, change in of_windows.items():
        write = partial(_npz_of_windows, change)
        yield Case(f"npz of windows {name}", "e.npz", write, lambda f: list(read_pieces(f / "e.npz")))
    yield Case("npz that inflates", "e.npz", _deflated_npz, lambda f: read_keys(f / "e.npz"))
    yield Case("parquet of 20 million rows", "e.parquet", _long_parquet, lambda f: read_keys(f / "e.parquet"))
    contents = {
        "parquet.nothing": b"PAR1" + bytes(4) + b"PAR1",
        "parquet.footer": b"PAR1" + struct.pack("<I", 2**31) + b"PAR1",
        "csv.wide": "path,duration_s,model,fingerprint," + "e0," * 300_000,
        "csv.long": "path,duration_s,model,fingerprint,e0\n" + "x" * 300_000 + ",1,m,f,1\n",
        "csv.digits": f"path,duration_s,model,fingerprint,e0\na,{LONG},m,f,x\n",
        "csv.short": "path,duration_s,model,fingerprint,e0,e1\na,1,m,f,1\n",
        "csv.empty": "",
    }
    for name, content in contents.items():
        suffix, _, what = name.partition(".")
        read = lambda f, file=f"e.{suffix}": list(read_pieces(f / file))  # noqa: E731
        yield Case(f"{suffix} {what}", f"e.{suffix}", partial(_write, f"e.{suffix}", content), read)


def _long_parquet(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 20_000_000
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["a"]))
    schema = pa.schema([("path", names.type)], metadata={b"axlstm": json.dumps(asdict(SETTINGS)).encode()})
    pq.write_table(pa.table([names], schema=schema), folder / "e.parquet", compression="zstd")


def _tar(headers: list[bytes], folder: Path) -> None:
    (folder / "a.tar").write_bytes(b"".join(headers) + bytes(1024))


def _header(name: str = "a.data.pyd", size: bytes | None = None, kind: bytes = b"0", content: bytes = b"") -> bytes:
    """A tar header with any size field, and a checksum that fits."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    if size is not None:
        block[124:136] = size
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + content + bytes(-len(content) % 512)


def _base256(value: int) -> bytes:
    return (b"\x80" if value >= 0 else b"\xff") + (value % 256**11).to_bytes(11, "big")


def _pax(**values: str) -> bytes:
    lines = b""
    for key, value in values.items():
        body = f" {key.replace('_', '.')}={value}\n".encode()
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        lines += str(length).encode() + body
    return _header("x", kind=b"x", content=lines)


def shards() -> Iterator[Case]:
    """Shards, their tables, their index, and archives of tasks."""
    tars: dict[str, list[bytes]] = {
        "pax size 2^60": [_pax(size=str(2**60)), _header(content=bytes(512))],
        "pax size 5000 digits": [_pax(size=LONG), _header(content=bytes(512))],
        "pax size negative": [_pax(size="-1024"), _header(content=bytes(512))],
        "pax size no number": [_pax(size="x"), _header(size=_base256(2**50))],
        "size negative": [_header(), _header(size=_base256(-1024))],
        "size 2^60": [_header(), _header(size=_base256(2**60))],
        "size 2^86": [_header(), _header(size=_base256(2**86))],
        "pax header of 2^60": [_header(), _header("x", _base256(2**60), b"x")],
        "pax header of 2^34": [_header(), _header("x", _base256(2**34), b"x")],
        "long name of 2^34": [_header(), _header("x", _base256(2**34), b"L")],
        "long name negative": [_header(), _header("x", _base256(-512), b"L")],
        "10,000 pax headers": [_pax(comment="x")] * 10_000,
        "sparse": [_header(), _pax(GNU_sparse_map="1,2,3,x"), _header(content=bytes(512))],
        "sparse size": [_header(), _pax(GNU_sparse_size=str(2**60)), _header(content=bytes(512))],
        "damaged": [_header(content=bytes(512)), b"\xff" * 512],
    }
    for name, headers in tars.items():
        yield Case(f"tar {name}", "a.tar", partial(_tar, headers), open_shards)
        unpack = lambda f: extract_archive(f / "a.tar", f / "out")  # noqa: E731
        yield Case(f"archive {name}", "a.tar", partial(_tar, headers), unpack)
    tables = {
        "a zip": _zip_bytes(),
        "nothing": b"",
        "objects": _npy("(1,)", "'|O'"),
        "10^12 records": _npy("(1000000000000,)", "[('offset','<i8')]"),
        "other values": _saved(np.zeros(3)),
        "text": b"x" * 1000,
        "a pickle": pickle.dumps([1]),
    }
    for name, content in tables.items():
        yield Case(f"table {name}", "a.records.npy", partial(_table, content), open_shards)
    shard = {"name": "a.tar", "sha256": "0" * 64}
    good = {"format_version": 1, "content": "logmel", "splits": {"train": {"shards": [shard]}}}
    indexes: dict[str, Any] = {
        "no keys": {},
        "a list": [],
        "a version alone": {"format_version": 1},
        "no version": {key: value for key, value in good.items() if key != "format_version"},
        "version 99": good | {"format_version": 99},
        "version x": good | {"format_version": "x"},
        "content x": good | {"content": "x"},
        "splits null": good | {"splits": None},
        "a split null": good | {"splits": {"train": None}},
        "no shards": good | {"splits": {"train": {}}},
        "shards of a number": good | {"splits": {"train": {"shards": 5}}},
        "a shard null": good | {"splits": {"train": {"shards": [None]}}},
        "a shard without a name": good | {"splits": {"train": {"shards": [{}]}}},
        "a shard elsewhere": good | {"splits": {"train": {"shards": [{"name": "../../etc/passwd"}]}}},
        "a name of a number": good | {"splits": {"train": {"shards": [{"name": 5}]}}},
        "another checksum": good | {"crc32": "00000000"},
    }
    for name, index in indexes.items():
        yield Case(f"index {name}", "index.json", partial(_write, "index.json", json.dumps(index)), open_shards)
    for name, text in {"nested": DEEP, "5000 digits": f'{{"format_version": {LONG}}}', "zeros": "\0" * 99}.items():
        yield Case(f"index {name}", "index.json", partial(_write, "index.json", text), open_shards)


def _zip_bytes() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.npy", _saved(np.zeros(3)))
    return stream.getvalue()


def _table(content: bytes, folder: Path) -> None:
    _tar([_header(content=bytes(512))], folder)
    (folder / "a.records.npy").write_bytes(content)


def _journal(line: str, number: int, folder: Path) -> None:
    """A preparation that was interrupted, with another line at a place in its journal."""
    for count in range(4):
        write_sound(folder / "sounds" / f"{count}.wav", 0.6, count)
    _prepare(folder)
    (folder / "shards" / "index.json").unlink()
    path = folder / "shards" / "journal.jsonl"
    lines = path.read_text().splitlines()
    lines[number] = line
    path.write_text("\n".join(lines) + "\n")


def _prepare(folder: Path) -> None:
    prepare([folder / "sounds"], folder / "shards", PrepareConfig(held_out=0.3, shard_records=2), processes=1)


def _metrics(line: bytes, folder: Path) -> None:
    (folder / "metrics.jsonl").write_bytes(b'{"step": 1, "loss": 2.0}\n' + line + b"\n")


def _open_metrics(folder: Path) -> None:
    for sink in open_sinks(folder, LogConfig(), {}, 3, None):
        sink.close()


def journals() -> Iterator[Case]:
    """What preparations and runs go on from."""
    entry = {"split": "valid", "shard": None, "next": [0, 0], "finished": True, "digests": [], "skipped": {}}
    entry["skipped_bytes"] = 0
    shard = {"name": "../x.tar", "records": 1, "seconds": 1.0, "sha256": "", "bytes": 1}
    lines: dict[str, Any] = {
        "no keys": {},
        "a list": [],
        "another split": entry | {"split": "x"},
        "next of texts": entry | {"next": ["a", "b"]},
        "next alone": entry | {"next": [1]},
        "digests of numbers": entry | {"digests": [5]},
        "digests that are none": entry | {"digests": ["x"]},
        "skipped of texts": entry | {"skipped": {"a": "b"}},
        "negative bytes": entry | {"skipped_bytes": -1},
        "a shard elsewhere": entry | {"shard": shard},
        "another checksum": entry | {"crc32": "00000000"},
    }
    texts = {name: json.dumps(line) for name, line in lines.items()} | {"nested": DEEP, "digits": LONG, "zeros": "\0"}
    for name, text in texts.items():
        yield Case(f"journal {name}", "journal.jsonl", partial(_journal, text, 1), _prepare)
    yield Case("journal header", "journal.jsonl", partial(_journal, "{}", 0), _prepare)
    for name, line in {
        "a list": b"[]",
        "step x": b'{"step": "x"}',
        "step 1e300": b'{"step": 1e300}',
        "nested": DEEP.encode(),
        "5000 digits": f'{{"step": {LONG}}}'.encode(),
        "not UTF-8": b"\xff\xfe",
        "another checksum": b'{"step": 1, "crc32": "0"}',
        "a text": b'{"step": 1, "loss": "x"}',
        "step back": b'{"step": 0}',
    }.items():
        yield Case(f"metrics {name}", "metrics.jsonl", partial(_metrics, line), _open_metrics)


def _wav(rate: int, channels: int = 1, bits: int = 16, size: int = 3200, tag: int = 1) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels & 0xFFFF, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    data = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + bytes(3200)
    return b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WAVE" + data


def sounds() -> Iterator[Case]:
    """Sound files."""
    flac = b"fLaC\x80\x00\x00\x22" + struct.pack(">HH", 4096, 4096) + bytes(6)
    flac += ((16_000 << 44) | (15 << 36) | (2**36 - 1)).to_bytes(8, "big") + bytes(16)
    for name, content in {
        "1 Hz": _wav(1),
        "50 Hz": _wav(50),
        "999 Hz": _wav(999),
        "2^31 Hz": _wav(2**31 - 1),
        "0 Hz": _wav(0),
        "no channels": _wav(16_000, 0),
        "65535 channels": _wav(16_000, 65_535),
        "0 bits": _wav(16_000, bits=0),
        "tag 0": _wav(16_000, tag=0x55),
        "chunks without end": b"RIFF\xff\xff\xff\xffWAVE" + b"junk\x00\x00\x00\x00" * 300_000,
    }.items():
        yield Case(f"wav {name}", "a.wav", partial(_write, "a.wav", content), lambda f: load_audio(f / "a.wav"))
    yield Case("flac of 2^36 samples", "a.flac", partial(_write, "a.flac", flac), lambda f: load_audio(f / "a.flac"))


def _task(change: dict[str, Any], folder: Path) -> None:
    make_scene_task(folder / "m" / "t", {"train": 9, "valid": 6, "test": 6}, **change)


def _in_task(name: str, content: bytes | str, folder: Path) -> None:
    _task({}, folder)
    _write(f"m/t/{name}", content, folder)


def _in_clips(content: str, folder: Path) -> None:
    for split in ("train", "valid", "test"):
        _in_task(f"{split}.json", content if split == "train" else '{"a.wav": ["c0"]}', folder)


def _in_events(name: str, content: str, folder: Path) -> None:
    make_event_task(folder / "m" / "t", {"train": 2, "valid": 1, "test": 1})
    _write(f"m/t/{name}", content, folder)


def _probe(folder: Path) -> dict[str, str]:
    """Probe with a grid that the task brings along; what failed is told."""
    return probe_folders([folder / "m" / "t"], folder / "out", EvaluationConfig("published", 1))


def tasks() -> Iterator[Case]:
    """Folders of tasks, of embeddings and of results."""
    metadata: dict[str, dict[str, Any]] = {
        "splits elsewhere": {"splits": ["../../train", "valid", "test"]},
        "splits of numbers": {"splits": [1, 2, 3]},
        "100,000 splits": {"splits": ["train", "valid", "test", *map(str, range(100_000))]},
        "1e300 s": {"sample_duration": 1e300},
        "-1 s": {"sample_duration": -1},
        "another mode": {"split_mode": "x" * 1000},
        "a mode of lists": {"split_mode": [[]]},
        "no scores": {"evaluation": []},
        "unknown scores": {"evaluation": ["x" * 1000]},
        "parameters of a list": {"evaluation_params": [1]},
    }
    for name, change in metadata.items():
        read = lambda f: read_embeddings(f / "m" / "t")  # noqa: E731
        yield Case(f"metadata {name}", "task_metadata.json", partial(_task, change), read)
    grids: dict[str, Any] = {
        "10^8 points": {"lr": [0.1] * 10_000, "dropout": [0.1] * 10_000},
        "a number": {"lr": 5},
        "texts": {"lr": ["x"]},
        "another name": {"x": [1]},
        "a list": [1],
        "widths of 10^9": {"hidden_dim": [10**9]},
        "10^6 layers": {"hidden_layers": [10**6]},
        "a batch of -1": {"batch_size": [-1]},
        "1e300 epochs": {"max_epochs": [1e300]},
    }
    for name, grid in grids.items():
        change = {"evaluation_params": {"task_specific_param_grid": grid}}
        yield Case(f"grid {name}", "task_metadata.json", partial(_task, change), _probe)
    files: dict[str, tuple[str, bytes | str]] = {
        "10^12 rows": ("train.embedding-dimensions.json", "[1000000000000, 8]"),
        "rows of 5000 digits": ("train.embedding-dimensions.json", f"[{LONG}, 8]"),
        "rows that are true": ("train.embedding-dimensions.json", "[true, 8]"),
        "rows in half": ("train.embedding-dimensions.json", "[1.5, 8]"),
        "rows nested": ("train.embedding-dimensions.json", DEEP),
        "a label of 10^18": ("labelvocabulary.csv", f"idx,label\n{10**18},a\n"),
        "a label of 5000 digits": ("labelvocabulary.csv", f"idx,label\n{LONG},a\n"),
        "a label of 300,000 letters": ("labelvocabulary.csv", "idx,label\n0," + "x" * 300_000),
        "labels of zeros": ("labelvocabulary.csv", "\0" * 100),
        "embeddings of nothing": ("train.embeddings.npy", b""),
        "a profile of a list": ("profile.embeddings.json", "[]"),
        "a profile nested": ("profile.embeddings.json", DEEP),
        "checksums of a list": ("profile.embeddings.json", '{"checksums": [1]}'),
        "checksums elsewhere": ("profile.embeddings.json", '{"checksums": {"../../../etc/passwd": "0"}}'),
    }
    for name, (file, content) in files.items():
        read = lambda f: read_embeddings(f / "m" / "t")  # noqa: E731
        yield Case(f"embeddings {name}", file, partial(_in_task, file, content), read)
    events = {
        "times of texts": ("train.filename-timestamps.json", '[["a", "x"]]'),
        "times of a number": ("train.filename-timestamps.json", "5"),
        "events of a list": ("train.json", "[]"),
        "events without a start": ("train.json", '{"a": [{"label": "b"}]}'),
        "events of numbers": ("train.json", '{"a": [5]}'),
    }
    for name, (file, content) in events.items():
        read = lambda f: read_embeddings(f / "m" / "t")  # noqa: E731
        yield Case(f"embeddings {name}", file, partial(_in_events, file, content), read)
    clips = {"a path": '{"../a.wav": ["c0"]}', "nested": DEEP, "a list": "[]", "labels of lists": '{"a.wav": [[[]]]}'}
    for name, content in clips.items():
        read = lambda f: read_task(f / "m" / "t")  # noqa: E731
        yield Case(f"clips {name}", "train.json", partial(_in_clips, content), read)
    results = {
        "nested": DEEP,
        "a list": "[]",
        "no scores": "{}",
        "a score of text": '{"test": {"test_score": "x", "test_a": 1}}',
        "a score of null": '{"test": {"test_score": null, "test_a": 1}}',
        "a score of 5000 digits": f'{{"test": {{"test_score": {LONG}, "test_a": 1}}}}',
    }
    for name, content in results.items():
        write = partial(_write, "m_r1_00/t/test.predicted-scores.json", content)
        yield Case(f"result {name}", "test.predicted-scores.json", write, lambda f: read_results([f]))


def manifests() -> Iterator[Case]:
    """Lists of sounds."""
    for name, content in {
        "zeros": "path\n\0\n",
        "300,000 letters": "path\n" + "x" * 300_000,
        "an endless start": "path,start\na.wav,1e999\n",
        "a start that is no number": "path,start\na.wav,nan\n",
        "not UTF-8": b"path\n\xff\n",
        "nothing": "",
    }.items():
        read = lambda f: find_items([f / "a.csv"], "file")  # noqa: E731
        yield Case(f"manifest {name}", "a.csv", partial(_write, "a.csv", content), read)
    for name, content in {
        "text": b"x" * 100,
        "a footer of 2^31": b"PAR1" + struct.pack("<I", 2**31) + b"PAR1",
        "nothing": b"",
    }.items():
        read = lambda f: find_items([f / "a.parquet"], "file")  # noqa: E731
        yield Case(f"manifest parquet {name}", "a.parquet", partial(_write, "a.parquet", content), read)
    yield Case(
        "manifest of 20 million rows", "a.parquet", _long_manifest, lambda f: find_items([f / "a.parquet"], "file")
    )


def _long_manifest(folder: Path) -> None:
    _long_parquet(folder)
    (folder / "e.parquet").rename(folder / "a.parquet")


def _collection(statement: str, folder: Path) -> None:
    """A collection with one recording and one part, and tables that are changed by a statement."""
    with create(folder / "c", folder) as collection:
        tables = collection.tables
        with collection.transaction():
            facts = "path, size_bytes, modified, quick_digest, digest, duration_s, sample_rate_hz, channels, added_at"
            tables.execute(f"INSERT INTO recordings ({facts}) VALUES ('a.wav', 1, 1, '', '', 4, 16000, 1, '')")
            tables.execute(
                "INSERT INTO encoders (name, source, fingerprint, size, window_s, hop_s, options, added_at) "
                "VALUES ('logmel', 'logmel', '', 3, 1, 1, '{}', '')"
            )
        start = np.arange(4.0)
        rows = Rows(np.ones(4, dtype=np.int64), start, start + 1, np.ones((4, 3), dtype=np.float16))
        enter = "INSERT INTO spans VALUES (1, 1, ?, 0, 4)"
        add_part(collection, 1, rows, lambda part: tables.execute(enter, (part,)) and None)
        tables.execute("PRAGMA foreign_keys = OFF")
        tables.execute(statement)


def _read_collection(folder: Path) -> dict[str, str]:
    with open_collection(folder / "c") as collection:
        if collection.tables.execute("SELECT mean FROM encoders").fetchone()[0] is not None:
            collection.statistics(collection.encoder())
        describe_collection(collection)
        compact(collection)
        list(collection.rows(collection.encoder()))
        note_places(collection, {}, sort_files(collection, {}))
        return dict(enumerate(verify(collection)))  # type: ignore[arg-type]


def _describe(text: str, folder: Path) -> None:
    create(folder / "c", folder).close()
    (folder / "c" / "collection.json").write_text(text)


def collections() -> Iterator[Case]:
    """The tables and the description of a collection."""
    big = 2**62
    statements = [
        "UPDATE parts SET file = '../../../precious.wav', state = 'unused'",
        "UPDATE parts SET file = 'parts/../../precious.wav', state = 'writing'",
        "UPDATE parts SET file = '/etc/passwd'",
        *(f"UPDATE spans SET {column} = {value}" for column in ("first_row", "rows") for value in (big, -1, -big)),
        "UPDATE spans SET part = 77",
        "UPDATE recordings SET path = 'a' || char(0) || 'b'",
        "UPDATE recordings SET metadata = '[1]'",
        "UPDATE encoders SET options = '" + "[" * 100_000 + "'",
        "UPDATE encoders SET options = 'x'",
        f"UPDATE encoders SET mean = zeroblob(25), deviation = zeroblob(24), statistics_rows = {big}",
        "DELETE FROM settings",
        "UPDATE settings SET value = 'a' || char(0)",
        "DROP TABLE spans",
        "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "CREATE TRIGGER hostile AFTER UPDATE ON encoders BEGIN DELETE FROM labels; END",
        "PRAGMA user_version = 2000000000",
    ]
    for statement in statements:
        yield Case(
            f"collection {statement:.60}", "collection.sqlite", partial(_collection, statement), _read_collection
        )
    texts = {
        "nested": DEEP,
        "5000 digits": f'{{"format": "axlstm collection", "version": {LONG}}}',
        "5 MB": '{"format": "' + "x" * 5_000_000 + '"}',
        "a list": "[]",
        "a version of other type": '{"format": "axlstm collection", "version": "1"}',
    }
    for name, text in texts.items():
        yield Case(f"collection.json {name}", "collection.json", partial(_describe, text), _read_collection)


GROUPS = (checkpoints, published, labels, outputs, shards, journals, sounds, tasks, manifests, collections)
CASES = [case for group in GROUPS for case in group()]
