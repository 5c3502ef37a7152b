"""Limits of what a file may ask for, applied before anything is made of it. Real files stay far below all of them.

Every function raises ``ValueError`` with the limit that is passed; its caller adds the name of the file.
"""

from __future__ import annotations

import json
import math
import re
import tarfile
import zipfile
from collections.abc import Mapping
from tokenize import TokenError
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_JSON_BYTES = 1 << 20  # of a description; in memory, a value may take twenty times its bytes
MOST_LIST_BYTES = 1 << 28  # of JSON that lists clips, frames or shards
MOST_JSON_DEPTH = 100
MOST_DIGITS = 400  # the largest float64 has 309 before its point
MOST_FRONT_END = 65_536  # of each setting of a log-mel spectrogram
MOST_WEIGHT = 1e6  # of a model, on either side of zero; trained ones are below 1e3
MOST_ZIP_RATIO = 4  # inflated bytes for each byte of a zip file; floats hardly shrink
MOST_ROWS_PER_BYTE = 1  # of a parquet file, whose rows differ
MOST_ZIP_ENTRIES = 200_000
MOST_NPY_HEADER_BYTES = 10_000
MOST_TAR_HEADER_BYTES = 1 << 20  # of the names and records that a tar file puts before a member
MOST_PARQUET = {"thrift_string_size_limit": 1 << 24, "thrift_container_size_limit": 1_000_000}
"""Options of ``pyarrow.parquet.ParquetFile``."""

_MOST_TAR_BYTES = 1 << 42  # of a member; file systems do not seek much further
_TAR_RECORDS = (b"x", b"g", b"X", b"L", b"K")  # types of what describes the member behind it
_SPARE_ROWS = 10_000  # that a small parquet file may have
_SPARE_BYTES = 1 << 20  # that a small zip file may inflate to beyond its ratio
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def parse_json(content: bytes | str, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Parse JSON in UTF-8; a byte order mark is skipped.

    Raises:
        ValueError: it is no JSON, too long, nested too deeply, or has a number of too many digits.
    """
    if len(content) > most_bytes:
        raise ValueError(f"{len(content)} bytes of JSON, more than {most_bytes}")
    text = content if isinstance(content, str) else content.decode("utf-8-sig")
    if text.count("[") + text.count("{") > MOST_JSON_DEPTH:
        _check_depth(text)
    return json.loads(text, parse_int=_parse_int)


def _check_depth(text: str) -> None:
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > MOST_JSON_DEPTH:
            raise ValueError(f"JSON nested more than {MOST_JSON_DEPTH} deep")


def _parse_int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits, more than {MOST_DIGITS}")
    return int(digits)


def parse_object(content: bytes | str, most_bytes: int = MOST_JSON_BYTES) -> dict[str, Any]:
    """Parse a JSON object as `parse_json` does; anything else is a ``ValueError`` too."""
    value = parse_json(content, most_bytes)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, not {type(value).__name__}")
    return value


def check_types(values: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]]) -> None:
    """Refuse values that are missing or of another type; a boolean is no number, and a number must be finite."""
    for name, expected in types.items():
        kinds = expected if isinstance(expected, tuple) else (expected,)
        if name not in values:
            raise ValueError(f"{name} is missing")
        value = values[name]
        if type(value) not in kinds or (isinstance(value, float) and not math.isfinite(value)):
            expected_kinds = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{name} is {_short(value)}, expected {expected_kinds}")


def _short(value: Any) -> str:
    """Show a value of a file that may be of any size."""
    return repr(value)[:60] if isinstance(value, (int, float, str, bool, type(None))) else type(value).__name__


def check_zip(archive: zipfile.ZipFile, file_bytes: int) -> None:
    """Refuse an archive whose members are many, encrypted, or would inflate beyond `MOST_ZIP_RATIO` times its bytes."""
    entries = archive.infolist()
    if len(entries) > MOST_ZIP_ENTRIES:
        raise ValueError(f"{len(entries)} members, more than {MOST_ZIP_ENTRIES}")
    inflated = sum(entry.file_size for entry in entries)
    if inflated > MOST_ZIP_RATIO * file_bytes + _SPARE_BYTES:
        raise ValueError(f"{file_bytes} bytes that inflate to {inflated}, more than {MOST_ZIP_RATIO} times as many")


def check_parquet(metadata: Any, file_bytes: int) -> None:
    """Refuse a parquet file of more rows than its bytes can tell apart: runs of one value take no room.

    Args:
        metadata: of ``pyarrow.parquet.ParquetFile``.
    """
    most = MOST_ROWS_PER_BYTE * file_bytes + _SPARE_ROWS
    if metadata.num_rows > most:
        raise ValueError(f"{metadata.num_rows} rows in {file_bytes} bytes, more than {most}")


def read_npy(stream: IO[bytes], size: int) -> NDArray[np.generic]:
    """Read an array without objects from the ``size`` bytes of a .npy file, which are all of its header and values.

    Raises:
        ValueError: another file, one with objects, or whose header asks for other bytes than there are.
    """
    import numpy as np

    shape, fortran, dtype, values = read_npy_header(stream, size)
    if values != size:
        raise ValueError(f"a .npy file whose header asks for {values} bytes, but it has {size}")
    count = math.prod(shape)
    content = stream.read()
    flat = np.frombuffer(content, dtype, count) if count else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def read_npy_header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Read the head of a .npy file: shape, whether in Fortran's order, type, and the bytes of the whole file.

    Raises:
        ValueError: another file, one with objects, or with less than its header asks for in ``size`` bytes.
    """
    import numpy as np

    formats = np.lib.format
    try:
        version = formats.read_magic(stream)
        read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
        shape, fortran, dtype = read(stream, max_header_size=MOST_NPY_HEADER_BYTES)
        begin = stream.tell()
    except (ValueError, SyntaxError, TypeError, TokenError, RecursionError, MemoryError) as error:
        raise ValueError(f"a .npy file with a damaged header ({str(error).splitlines()[0][:100]})") from error
    if dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"a .npy file of {dtype}, expected numbers or texts")
    if any(extent < 0 for extent in shape):
        raise ValueError("a .npy file with a negative extent")
    whole = begin + math.prod(shape) * dtype.itemsize
    if whole > size:
        raise ValueError(f"a .npy file whose header asks for {whole} bytes, but it has {size}")
    return shape, fortran, dtype, whole


class TarHeader(tarfile.TarInfo):
    """A header of a tar file whose sizes can be true.

    tarfile believes any size: a negative one leads back to earlier headers without end, and the records before a
    member are read into memory whole.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        most = MOST_TAR_HEADER_BYTES if info.type in _TAR_RECORDS else _MOST_TAR_BYTES
        if not 0 <= info.size <= most:
            raise tarfile.ReadError(f"a size of {info.size} bytes, expected 0 to {most}")
        return info

    def _apply_pax_info(self, pax_headers: Mapping[str, str], encoding: str, errors: str) -> None:
        if not re.fullmatch("[0-9]{1,20}", pax_headers.get("size", "0")):
            raise tarfile.ReadError(f"a size of {pax_headers['size'][:60]!r} bytes")
        super()._apply_pax_info(pax_headers, encoding, errors)  # type: ignore[misc]
        if not 0 <= self.size <= _MOST_TAR_BYTES:
            raise tarfile.ReadError(f"a size of {self.size} bytes, expected 0 to {_MOST_TAR_BYTES}")


class StrictTarHeader(TarHeader):
    """A header that ends the archive only if it is a zero block; tarfile takes a damaged one for the end, too."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf.count(0) == tarfile.BLOCKSIZE:
                raise
            raise tarfile.ReadError(str(error)) from error
