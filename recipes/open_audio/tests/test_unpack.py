"""Archives are unpacked in part, or refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from recipes.open_audio.failures import CorruptArchiveError
from recipes.open_audio.tests.made import encoded, tgz, tune, zipped
from recipes.open_audio.unpack import Limits, unpack

SOUND = encoded(tune(0, 0.5))


def _unpack(tmp_path: Path, files: dict[str, bytes], limits: Limits | None = None) -> Path:
    archive = tmp_path / "archive.tgz"
    archive.write_bytes(tgz(files))
    unpack(archive, tmp_path / "out", limits)
    return tmp_path / "out"


def test_sound_and_licences_are_kept_zips_opened_and_the_rest_left_out(tmp_path: Path) -> None:
    game = zipped({"sound/hit.WAV": SOUND, "maps/a.bsp": b"map", "README.txt": b"by"})
    out = _unpack(tmp_path, {"package/data.pk3": game, "package/LICENSE": b"MIT", "package/index.js": b"code"})
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {"package/data.pk3.d/sound/hit.WAV", "package/data.pk3.d/README.txt", "package/LICENSE"}


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs Debian's dpkg")
def test_a_debian_package_loses_its_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\n", encoding="utf-8"
    )
    (root / "usr").mkdir()
    (root / "usr/a.wav").write_bytes(SOUND)
    (root / "usr/b.wav").symlink_to("/etc/passwd")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", root, tmp_path / "a.deb"], check=True, capture_output=True)
    unpack(tmp_path / "a.deb", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*") if not path.is_dir()] == ["a.wav"]


@pytest.mark.parametrize("name", ["../out.wav", "a/../../out.wav", "/out.wav", "..\\out.wav"])
def test_a_name_that_leads_out_of_the_folder_is_left_out(tmp_path: Path, name: str) -> None:
    out = _unpack(tmp_path, {"package/a.zip": zipped({name: SOUND, "in.wav": SOUND}), name: SOUND})
    assert [path.name for path in tmp_path.rglob("*.wav")] == ["in.wav"]
    assert (out / "package/a.zip.d/in.wav").is_file()


def test_a_bomb_is_refused_by_what_comes_out(tmp_path: Path) -> None:
    bomb = zipped({"a.wav": bytes(3 << 20)})
    with pytest.raises(CorruptArchiveError, match="more than 1 MiB"):
        _unpack(tmp_path, {"a.zip": bomb}, Limits(file_bytes=1 << 20))
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(CorruptArchiveError, match="holds 2 files"):
        _unpack(tmp_path, {"a.zip": zipped({"a.wav": SOUND, "b.wav": SOUND})}, Limits(files=1))


@pytest.mark.parametrize("keep", [20, 200])
def test_a_damaged_zip_names_itself(tmp_path: Path, keep: int) -> None:
    with pytest.raises(CorruptArchiveError, match=r"data\.zip"):
        _unpack(tmp_path, {"data.zip": zipped({"a.wav": SOUND})[:keep]})


def test_bytes_that_changed_inside_a_zip_are_noticed(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.wav": SOUND}))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(CorruptArchiveError, match=r"data\.zip"):
        _unpack(tmp_path, {"data.zip": bytes(content)})
