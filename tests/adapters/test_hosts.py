"""Adapters say what they need where it is missing, and load nothing of a host before they are imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from axlstm.adapters.hosts import import_host
from axlstm.errors import ConfigError
from tests.adapters.__main__ import HOSTS

ADAPTERS = {
    "mteb": ("mteb", 'pip install "axlstm[mteb]"'),
    "hoplite": ("perch_hoplite", 'pip install "axlstm[hoplite]"'),
    "s3prl": ("s3prl", "pip install s3prl"),
    "avex": ("avex", "pip install avex"),
    "bacpipe": ("bacpipe", "pip install --no-deps bacpipe"),
    "opensoundscape": ("opensoundscape", "pip install opensoundscape"),
}
"""The adapters that import a host, with its package and what installs it."""

IMPORTS = """
import importlib, json, sys
told = {}
for adapter, (host, _) in json.loads(sys.argv[1]).items():
    sys.modules[host] = None
    try:
        importlib.import_module(f"axlstm.adapters.{adapter}")
    except Exception as error:
        told[adapter] = [type(error).__name__, str(error)]
print(json.dumps(told))
"""


def test_a_missing_host_is_named_with_what_installs_it() -> None:
    command = [sys.executable, "-c", IMPORTS, json.dumps(ADAPTERS)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert told.keys() == ADAPTERS.keys()
    for adapter, (host, install) in ADAPTERS.items():
        kind, message = told[adapter]
        assert kind == "ConfigError"
        assert message.startswith(f"axlstm.adapters needs {host}: {install} (ModuleNotFoundError: ")


def test_the_room_itself_loads_no_host() -> None:
    code = "import sys, axlstm.adapters\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & {"torch", "xares", *(host for host, _ in ADAPTERS.values())}


def test_a_host_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_host.py").write_text("raise OSError('libnothing.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"needs broken_host: pip install broken \(OSError: libnothing.so"):
        import_host("broken_host", "broken")


def test_every_host_has_an_environment_and_a_test() -> None:
    assert HOSTS.keys() == ADAPTERS.keys() | {"xares"}
    for name in HOSTS:
        assert (Path(__file__).parent / f"test_{name}.py").is_file()
