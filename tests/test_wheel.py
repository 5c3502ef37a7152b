"""What users install: the wheel holds the package alone, whole, with the licences of all that it brings, and typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

import pytest

import axlstm
from axlstm.samples import samples, strokes

ROOT = Path(__file__).parents[1]
WRITTEN_HERE = {".css", ".csv", ".html", ".js", ".json", ".md", ".py", ".svg", ".typed"}
WEIGHTS = "axlstm/weights/"  # the card beside them says whose they are


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ``make dist``: both files, each checked."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "release", "dist", "--out", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    (path,) = dist.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_package_alone(wheel: zipfile.ZipFile) -> None:
    tops = {PurePosixPath(name).parts[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"axlstm"}


def test_the_wheel_has_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    files = (path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    sources = {path.relative_to(ROOT / "src").as_posix() for path in files}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == sources
    assert "axlstm/py.typed" in sources


def test_its_metadata_are_of_this_version(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    assert metadata["Version"] == axlstm.__version__
    code, *recordings, weights = metadata["License-Expression"].split(" AND ")
    assert code == "MIT"
    assert set(recordings) == {one.licence for one in (*samples(), *strokes())}
    assert weights == "(CC-BY-SA-4.0 OR GPL-2.0-only OR GPL-3.0-only)"
    assert metadata.get_all("License-File") == ["LICENSE", "NOTICE"]
    assert {f"{PurePosixPath(name).parent}/licenses/{file}" for file in ("LICENSE", "NOTICE")} <= set(wheel.namelist())


def test_what_others_made_is_in_the_notice(wheel: zipfile.ZipFile) -> None:
    """Each file that is no text of ours has an entry, and no text has another's mark of copyright."""
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    entries = set(re.findall(r"^(\S+)\n  Title:.+\n(?:  .+\n)*?  Licence: ", notice, re.MULTILINE))
    files = [name for name in wheel.namelist() if ".dist-info/" not in name]
    foreign = {PurePosixPath(name).name for name in files
               if PurePosixPath(name).suffix not in WRITTEN_HERE and not name.startswith(WEIGHTS)}  # fmt: skip
    assert len(foreign) > 50
    assert foreign == entries
    marks = re.compile(rb"@licen[cs]e|copyright \(c\)|SPDX-License", re.IGNORECASE)
    texts = [name for name in files if PurePosixPath(name).suffix in WRITTEN_HERE]
    assert [name for name in texts if marks.search(wheel.read(name))] == []


def test_weights_have_a_card_with_their_licence(wheel: zipfile.ZipFile) -> None:
    folders = {PurePosixPath(name).parent for name in wheel.namelist() if name.endswith(".safetensors")}
    assert folders
    for folder in folders:
        card = wheel.read(f"{folder}/README.md").decode()
        assert "offered under CC BY-SA 4.0, GPL-2.0 or GPL-3.0, whichever you choose" in card


def test_the_source_archive_builds_and_tests_itself(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"pyproject.toml", "Makefile", "NOTICE", "LICENSE", "CONTRIBUTING.md", "tests/test_wheel.py"}
    assert needed | {"release/oldest.txt", "release/api/axlstm.pyi", "src/axlstm/py.typed", "mkdocs.yml"} <= names


def test_a_folder_with_other_files_is_not_built_into(tmp_path: Path) -> None:
    (tmp_path / "axlstm-0.1.0.tar.gz").touch()
    command = [sys.executable, "-m", "release", "dist", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "axlstm-0.1.0.tar.gz" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["axlstm-0.1.0.tar.gz"]


def test_a_type_checker_reads_the_types_of_the_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """The example passes the strictest check, and a user's mistakes do not. Without py.typed both fail."""
    venv.create(tmp_path / "environment", with_pip=False, symlinks=os.name != "nt")
    python = tmp_path / "environment" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    told = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    installed = Path(told.strip())
    wheel.extractall(installed)
    (installed / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")  # torch, numpy, ...
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import axlstm\n"
        'embedder = axlstm.load_model("axlstm-tiny", pooling="middle")\n'
        'print(embedder.embed("owl.wav").sound)\n'
        'axlstm.finetune("axlstm-tiny", 3, "out")\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", str(python)]
    files = [str(ROOT / "examples" / "typed_user.py"), wrong.name]
    done = subprocess.run(
        [*command, "--cache-dir", str(ROOT / ".mypy_cache/user"), *files],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line.partition(": ")[0] for line in done.stdout.splitlines() if ": error:" in line]
    assert errors == [f"wrong.py:{line}" for line in (2, 3, 4)], done.stdout + done.stderr
