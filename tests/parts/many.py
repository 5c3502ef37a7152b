"""Embed a large bucket by processes and by Ray, and compare: ``python -m tests.parts.many``.

5,000 recordings of two seconds and 20 of an hour lie in a bucket on loopback; the outputs go there too. They must be
equal byte by byte, with each recording once. The encoder is a small one, since its time is not the point.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile

import axlstm
from axlstm.parts.accounts import account_name, rows_name
from axlstm.parts.opening import find_planned
from axlstm.parts.status import read_status
from axlstm.store.formats import read_records
from tests.parts.bucket import Bucket, serve_bucket

_RATE_HZ = 16_000
_RUNNERS = ("processes", "ray")


def _fill(bucket: Bucket, short: int, hours: int) -> None:
    """Put recordings of faint noise into the bucket; a long one repeats a minute that no other has."""
    files, rng = bucket.files(), np.random.default_rng(0)
    for number in range(short + hours):
        is_long = number >= short
        samples = rng.normal(0, 30, _RATE_HZ * (60 if is_long else 2)).astype(np.int16)
        content = io.BytesIO()
        with soundfile.SoundFile(content, "w", _RATE_HZ, 1, format="FLAC") as sound:
            for _ in range(60 if is_long else 1):
                sound.write(samples)
        name = f"long/{number - short:02d}" if is_long else f"short/{number // 500:02d}/{number:05d}"
        files.pipe_file(f"sounds/in/{name}.flac", content.getvalue())


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Make the bucket, run both, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--hours", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serve_bucket() as bucket:
        model = Path(folder, "model")
        axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(model)
        began = time.monotonic()
        _fill(bucket, given.files, given.hours)
        _say(f"{given.files} recordings of 2 s and {given.hours} of an hour: made in {time.monotonic() - began:.0f} s")
        for runner in _RUNNERS:
            began = time.monotonic()
            command = [sys.executable, "-m", "axlstm", "embed", f"{bucket.url}/in", "-o", f"{bucket.url}/{runner}"]
            command += ["-m", str(model), "--runner", runner, "--workers", "2", "--part-mb", "64"]
            subprocess.run(command, check=True, cwd=folder, env=os.environ, stderr=subprocess.DEVNULL)
            _say(f"{runner}: {time.monotonic() - began:.0f} s")
        return _compare(bucket, given.files + given.hours, Path(folder))


def _compare(bucket: Bucket, recordings: int, folder: Path) -> int:
    """Compare the outputs, and count the rows of each recording."""
    opened = [find_planned(f"{bucket.url}/{runner}") for runner in _RUNNERS]
    faults: list[str] = []
    for output, plan in opened:
        status = read_status(output, plan)
        if not (status.is_complete and (status.embedded, status.skipped) == (recordings, 0)):
            faults.append(f"{output.name}: {status}")
    (ours, plan), (theirs, _) = opened
    rows: Counter[str] = Counter()
    for part in range(plan.parts):
        for name in (rows_name(part), account_name(part)):
            content = ours.read(name)
            faults += [] if content == theirs.read(name) else [f"{name} differs"]
        copy = folder / "copy.parquet"
        copy.write_bytes(ours.read(rows_name(part)))
        rows.update(record.path for record in read_records(copy))
    faults += [f"{path}: {count} rows" for path, count in rows.items() if count != 1]
    faults += [] if len(rows) == recordings else [f"rows of {len(rows)} recordings of {recordings}"]
    told = "equal byte by byte, each recording once" if not faults else "; ".join(faults[:10])
    _say(f"{plan.parts} parts, {len(rows)} recordings: {told}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
