"""The same recordings as a tar, a zip and parquet files."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


def write_tar(path: Path, contents: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_zip(path: Path, contents: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, content) in enumerate(contents.items()):
            kind = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            archive.writestr(name, content, compress_type=kind)
    return path


def write_hub(path: Path, contents: Mapping[str, bytes], rows: int = 3) -> Path:
    """A table as data sets of the Hub have it, with row groups of some rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    audio = [{"bytes": content, "path": name} for name, content in contents.items()]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"label": list(range(len(audio))), "audio": pa.array(audio, kind)})
    pq.write_table(table, path, row_group_size=rows)
    return path


def write_bytes_column(path: Path, contents: Mapping[str, bytes]) -> Path:
    """A table with the bytes of sounds alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"wav": pa.array(list(contents.values()), pa.large_binary())}), path, row_group_size=2)
    return path
