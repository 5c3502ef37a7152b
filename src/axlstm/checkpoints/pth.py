"""Read the ``.pth`` files of the release: nothing in them is executed, and memory is bounded by their size."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import axlstm.vector_math
from axlstm.bounds import check_zip
from axlstm.checkpoints.inert_pickle import Record, read_inert
from axlstm.checkpoints.unreadable import unreadable
from axlstm.errors import CheckpointError, first_line

_MOST_PICKLE_BYTES = 4 * 2**20  # the release's take 0.1; in memory, an object may take a hundred times its bytes
_LONGEST_NAME = 200
_WRAPPERS = ("model", "state_dict", "model_state_dict")  # keys of the dictionary of tensors; Lightning's is the second
_DEEPEST = 3  # wrappers around one another
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}


def read_pth(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the top-level dictionary, with inert records in it, and the tensors of its model by name.

    The tensors are that dictionary itself, or lie under the key ``model``, ``state_dict`` or ``model_state_dict``.

    Raises:
        CheckpointError: the file is no checkpoint in torch's zip format, it is damaged, or its tensors are larger
            than its bytes.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            check_zip(archive, file.stat().st_size)
            return _Checkpoint(archive, file).read()
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{file}: no such file") from error
    except Exception as error:  # zipfile and torch raise nearly anything at a damaged file
        raise unreadable(
            file,
            f"damaged, or not a checkpoint in torch's zip format ({first_line(error)}). One saved by torch before 1.6 "
            "has to be saved anew with a current torch by somebody who trusts it.",
        ) from error


class _Checkpoint:
    def __init__(self, archive: zipfile.ZipFile, file: Path) -> None:
        self.archive, self.file = archive, file
        pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(f"{file}: expected one data.pkl inside, found {len(pickles)}")
        self.pickle = pickles[0]
        self.folder = self.pickle.removesuffix("data.pkl")
        self.bytes_left = file.stat().st_size  # to be read: tensors that share a storage could fill any memory

    def read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        order = f"{self.folder}byteorder"
        if order in self.archive.namelist() and (
            self.archive.getinfo(order).file_size > len(b"little") or self.archive.read(order) != b"little"
        ):
            raise CheckpointError(f"{self.file}: written on a big-endian machine, which is not supported")
        if self.archive.getinfo(self.pickle).file_size > _MOST_PICKLE_BYTES:
            raise CheckpointError(f"{self.file}: its data.pkl is larger than {_MOST_PICKLE_BYTES >> 20} MiB")
        found = read_inert(self.archive.read(self.pickle), str(self.file))
        content = _as_dict(found)
        if content is None:
            raise CheckpointError(
                f"{self.file}: expected a dictionary of tensors, or one under the key {' or '.join(_WRAPPERS)}; "
                f"found {_kind(found)}. Save model.state_dict(), not the model"
            )
        tensors = {}
        for name, value in _unwrap(content).items():
            if not isinstance(name, str) or not name.isprintable() or len(name) > _LONGEST_NAME:
                raise CheckpointError(f"{self.file}: expected the names of tensors, found {_kind(name)}")
            tensors[name] = self._tensor(value, f"{self.file}: {name}")
        return content, tensors

    def _tensor(self, value: Any, source: str) -> Tensor:
        """Read the tensor that a record of ``_rebuild_tensor_v2``, or of a parameter around one, describes."""
        if isinstance(value, Record) and value.kind == "torch._utils._rebuild_parameter" and value.args:
            value = value.args[0]
        if not isinstance(value, Record) or value.kind != "torch._utils._rebuild_tensor_v2":
            raise CheckpointError(f"{source}: expected a tensor, found {_kind(value)}")
        try:
            reference, offset, shape, stride = value.args[:4]
            ((_, storage, key, _, count),) = reference.args
            dtype = _DTYPES[storage.kind.removeprefix("torch.")]
            if not isinstance(key, str):
                raise TypeError("its storage has no name")
            entry = self.archive.getinfo(f"{self.folder}data/{key}")
            extents, steps = list(shape), list(stride)
            sizes = [offset, count, *extents, *steps]
            if len(extents) != len(steps) or not all(type(size) is int and 0 <= size < 2**63 for size in sizes):
                raise ValueError("its shape, strides and offset are not whole numbers from zero on")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{source}: a tensor that cannot be read ({first_line(error)})") from error
        bytes_expected = count * dtype.itemsize
        last = offset + sum((size - 1) * step for size, step in zip(extents, steps, strict=True))
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != bytes_expected:
            raise CheckpointError(f"{source}: expected {bytes_expected} plain bytes, found {entry.file_size}")
        if 0 in extents:
            raise CheckpointError(f"{source}: its shape {tuple(extents)} holds no values")
        if last >= count:
            raise CheckpointError(f"{source}: its shape {tuple(extents)} reaches beyond its {count} stored values")
        if math.prod(extents) > count:
            raise CheckpointError(f"{source}: its shape {tuple(extents)} repeats its {count} stored values")
        self.bytes_left -= bytes_expected
        if self.bytes_left < 0:
            raise CheckpointError(f"{source}: it shares its values with other tensors, more than a model does")
        flat = torch.frombuffer(bytearray(self.archive.read(entry)), dtype=dtype)
        return flat.as_strided(extents, steps, offset).contiguous()


def _unwrap(content: dict[Any, Any]) -> dict[Any, Any]:
    """Find the dictionary of tensors inside of those that training code puts around it."""
    for _ in range(_DEEPEST):
        inner = [_as_dict(content[key]) for key in _WRAPPERS if key in content]
        content = next((found for found in inner if found is not None), content)
    return content


def _as_dict(value: Any) -> dict[Any, Any] | None:
    """Return a dictionary, or the record of an OrderedDict, as a dictionary; None for anything else."""
    if isinstance(value, Record) and value.kind == "collections.OrderedDict":
        return value.items
    return value if isinstance(value, dict) else None


def _kind(value: Any) -> str:
    """Name the value's class; the value itself may be of any length."""
    return f"{value.kind!r:.80}" if isinstance(value, Record) else type(value).__name__
