"""What goes along with a release says the same as pyproject.toml: pins, recipe, image, citation, changelog."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import axlstm
from release.clean_install import EXTRA, OLDEST
from tests.adapters.__main__ import HOSTS

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {"torch": "pytorch", "soundfile": "pysoundfile", "soxr": "soxr-python"}


def lowest(requirement: Requirement) -> Version:
    (bound,) = (Version(part.version) for part in requirement.specifier if part.operator == ">=")
    return bound


def test_the_oldest_pins_are_the_bounds() -> None:
    listed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][EXTRA]]
    bounds = {wanted.name: lowest(wanted) for wanted in map(Requirement, listed) if wanted.name != "torch"}
    lines = [line for line in OLDEST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert {name: Version(pin) for name, pin in pins.items()} == bounds


def test_the_conda_recipe_asks_for_what_the_wheel_asks_for() -> None:
    recipe = yaml.safe_load((ROOT / "release/conda/recipe.yaml").read_text(encoding="utf-8"))
    wanted = [Requirement(line) for line in PROJECT["dependencies"]]
    expected = {f"{CONDA_NAMES.get(one.name, one.name)} {one.specifier}": one for one in wanted}
    written = {_in_order(line) for line in recipe["requirements"]["run"][1:]}
    assert written == {_in_order(line) for line in expected}
    assert recipe["context"]["version"] == axlstm.__version__
    assert PROJECT["requires-python"] == f">={recipe['context']['python_min']}"
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert dict([entry.split(" = ")]) == PROJECT["scripts"]
    assert recipe["about"]["license"] == PROJECT["license"]
    assert recipe["about"]["license_file"] == PROJECT["license-files"]


def _in_order(requirement: str) -> str:
    name, _, bounds = requirement.partition(" ")
    return f"{name} {','.join(sorted(bounds.split(',')))}"


def test_the_image_has_all_files_that_the_wheel_is_made_of(tmp_path: Path) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "*"
    for line in lines[1:]:
        source = ROOT / line.removeprefix("!")
        if source.is_dir():
            shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    assert [path.name for path in (tmp_path / "dist").iterdir()] == [f"axlstm-{axlstm.__version__}-py3-none-any.whl"]


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="hadolint is a Linux binary")
def test_the_image_is_written_as_hadolint_wants_it() -> None:
    command = [str(Path(sys.executable).parent / "hadolint"), str(ROOT / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_takes_the_torch_that_is_installed_here() -> None:
    (named,) = re.findall(r"^ARG TORCH=(.+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    (made,) = re.findall(r"^TORCH \?= (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert named == made
    assert Version(named) in Requirement(PROJECT["dependencies"][0]).specifier


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("vendor.github-workflows", "adapters.yml"),
        ("vendor.github-workflows", "release.yml"),
        ("vendor.github-workflows", "site.yml"),
        ("vendor.github-workflows", "test.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_a_file_has_the_form_that_its_readers_expect(schema: str, name: str) -> None:
    path = ROOT / name if schema.endswith("citation-file-format") else ROOT / ".github" / "workflows" / name
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_runs_commands_that_exist() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    targets = {word for line in commands if line.startswith("make ") for word in line.split()[1:]}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets >= {"api", "clean-install"}
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_every_file_names_the_same_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == axlstm.__version__
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    numbers = [section.split()[0] for section in sections if section != "Unreleased"]
    assert numbers[0] == axlstm.__version__
    assert numbers == sorted(numbers, key=Version, reverse=True)


def test_every_host_of_an_adapter_is_tried_each_week() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/adapters.yml").read_text(encoding="utf-8"))
    assert set(workflow["jobs"]["host"]["strategy"]["matrix"]["host"]) == HOSTS.keys()
