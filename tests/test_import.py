"""Importing the package, and asking the command line for help, loads nothing heavy."""

import subprocess
import sys

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
    import pytest

    import axlstm

    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = axlstm.no_such_thing
