"""Importing the package, and asking the command line for help, loads nothing heavy."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from axlstm.samples import sample_path

HEAVY = ("torch", "transformers", "numpy", "matplotlib", "pyarrow", "huggingface_hub")


def loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_loads_no_heavy_library() -> None:
    assert not loaded_by("import axlstm; axlstm.__version__; dir(axlstm)") & set(HEAVY)


def test_options_are_known_without_a_heavy_library() -> None:
    assert not loaded_by("import axlstm.options") & set(HEAVY)


def test_help_loads_no_heavy_library() -> None:
    code = "from axlstm.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert not loaded_by(code) & set(HEAVY)


def test_public_names_exist() -> None:
    import axlstm

    for name in axlstm.__all__:
        assert getattr(axlstm, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    import axlstm

    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = axlstm.no_such_thing


# Fails for what is in no requirement of the package itself; what these bring is theirs to import.
WITHOUT_EXTRAS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {extras!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from axlstm.cli import main
for words in {commands!r}:
    assert main(words) == 0, words
"""


def modules_of_extras() -> set[str]:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    lines = [line for extra in project["optional-dependencies"].values() for line in extra]
    extras = {"pandas", *(canonicalize_name(Requirement(line).name) for line in lines)}
    return {
        module
        for module, distributions in packages_distributions().items()
        if (names := {canonicalize_name(name) for name in distributions}) & extras
        and not names & own
        and module not in ("axlstm", "fsspec")  # torch brings fsspec
    }


def test_commands_of_every_day_need_no_extra(tmp_path: Path) -> None:
    extras = modules_of_extras()
    assert {"scipy", "sklearn", "matplotlib", "onnxruntime", "transformers"} <= extras
    sound, table, collection = str(sample_path("bell")), str(tmp_path / "e.parquet"), str(tmp_path / "c")
    sounds, shards = str(sample_path("bell").parent), str(tmp_path / "shards")
    commands = [
        ["embed", sound, "-o", table],
        ["embed", sound, "-o", str(tmp_path / "f.npz"), "--engine", "None", "--frames"],
        ["info", "axlstm-tiny"],
        ["info", table],
        ["info", sound],
        ["models"],
        ["index", sounds, "-o", collection],
        ["info", collection],
        ["search", collection, sound],
        ["collection", "info", collection],
        ["prepare", sounds, shards],
        ["info", shards],
    ]
    script = WITHOUT_EXTRAS.format(extras=sorted(extras), commands=commands)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
