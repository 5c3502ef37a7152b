"""Adapters say what they need where it is missing, and load nothing of a host before they are imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from axlstm.adapters.hosts import import_host
from axlstm.errors import ConfigError

HOSTS = {
    "mteb": ("mteb", 'pip install "axlstm[mteb]"'),
}


@pytest.mark.parametrize("adapter", HOSTS)
def test_a_missing_host_is_named_with_what_installs_it(adapter: str) -> None:
    host, install = HOSTS[adapter]
    code = f"import sys; sys.modules[{host!r}] = None\nimport axlstm.adapters.{adapter}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("axlstm.errors.ConfigError: axlstm.adapters needs ")
    assert install in last


def test_the_room_itself_loads_no_host() -> None:
    code = "import sys, axlstm.adapters\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & ({host for host, _ in HOSTS.values()} | {"torch"})


def test_a_host_that_fails_says_so(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_host.py").write_text("raise OSError('libnothing.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"needs broken_host: pip install broken \(OSError: libnothing.so"):
        import_host("broken_host", "broken")
