"""Names of any script under locales and terminals that cannot write them: everything is computed and kept."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from pyarrow import parquet

import axlstm
from tests.seeded import audio

LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Latin-1 output": {"PYTHONIOENCODING": "latin-1"},
}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="locales of POSIX")


def run(locale: str, *arguments: str | Path) -> str:
    """Run a command; return what it prints on stdout."""
    environment = {**os.environ, **LOCALES[locale], "PYTHONWARNINGS": ""}
    done = subprocess.run(
        [sys.executable, "-m", "axlstm", *map(str, arguments)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("latin-1")


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "\u97f3"
    folder.mkdir()
    for seed, name in enumerate(("\u9ce5\u306e\u58f0.wav", "b\u00e9.wav")):
        soundfile.write(folder / name, audio(1, seed), 16_000)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(folder))


@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
@pytest.mark.parametrize("locale", LOCALES)
def test_embed(locale: str, suffix: str, sounds: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / f"\u51fa\u529b.{suffix}"
    assert "\\u51fa\\u529b" in run(locale, "embed", sounds, "-o", out, "-m", model)
    assert "2 there already" in run(locale, "embed", sounds, "-o", out, "-m", model)
    names = sorted(str(file) for file in sounds.iterdir())
    if suffix == "csv":
        with out.open(newline="", encoding="utf-8") as file:
            assert sorted(row["path"] for row in csv.DictReader(file)) == names
    if suffix == "parquet":
        assert sorted(parquet.read_table(out)["path"].to_pylist()) == names
    run(locale, "info", out)


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("locale", LOCALES)
def test_prepare(locale: str, bom: str, sounds: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "\u8868.csv"
    rows = "".join(f"{file},\u65e5\u672c\n" for file in sorted(sounds.iterdir()))
    manifest.write_text(f"{bom}path,label\n{rows}", encoding="utf-8")
    shards = tmp_path / "\u7247"
    run(locale, "prepare", manifest, shards, "--processes", "1", "--held-out", "0")
    index = json.loads((shards / "index.json").read_text(encoding="utf-8"))
    assert index["splits"]["train"]["records"] == 2


def test_a_table_that_was_saved_with_a_bom_is_read(sounds: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    run("C", "embed", sounds, "-o", out, "-m", model)
    out.write_text("\ufeff" + out.read_text(encoding="utf-8"), encoding="utf-8")
    assert "2 there already" in run("C", "embed", sounds, "-o", out, "-m", model)
