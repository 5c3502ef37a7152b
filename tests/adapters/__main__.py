"""Make an environment for each host of an adapter, and run its test there: ``python -m tests.adapters xares s3prl``.

Without names it does so for all. docs/adapters.md says why some hosts are installed without what they pin.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TORCH = "torch==2.13.0"
TORCHAUDIO, OLD_TORCHAUDIO = "torchaudio==2.11.1", "torchaudio==2.8.0"
TOOLS = ("pytest>=8,<10", "pytest-timeout>=2.3,<3")


@dataclass(frozen=True)
class Host:
    """Requirements that pip resolves, and some that it installs as they are."""

    resolved: tuple[str, ...] = ()
    as_they_are: tuple[str, ...] = ()


HOSTS = {
    "mteb": Host(("mteb==2.26.24",)),
    "hoplite": Host(("perch-hoplite==1.0.2",)),
    "xares": Host(("xares==0.1.3",), (TORCHAUDIO,)),
    "s3prl": Host(("s3prl==0.4.18",), (OLD_TORCHAUDIO,)),  # it calls what 2.9 removed
    "avex": Host(("avex==1.4.0",), (TORCHAUDIO,)),
    "opensoundscape": Host(("opensoundscape==0.13.2",), (TORCHAUDIO,)),
    "bacpipe": Host(
        ("librosa", "audioread", "panel", "plotly", "seaborn", "umap-learn", "scikit-learn", "huggingface_hub"),
        ("bacpipe==1.3.5",),
    ),
}


def install(host: Host, folder: Path) -> Path:
    """Make an environment, and return its Python."""
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    constraints = folder / "constraints.txt"
    constraints.write_text(f"{TORCH}\n")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(constraints)]
    subprocess.run([*pip, TORCH, *TOOLS], check=True)
    subprocess.run([*pip, str(ROOT), *host.resolved], check=True)
    if host.as_they_are:  # last, so that they stay
        subprocess.run([*pip, "--no-deps", *host.as_they_are], check=True)
    if any(requirement.startswith("torchaudio") for requirement in host.as_they_are):
        leave_out_cuda(python)
    return python


def leave_out_cuda(python: Path) -> None:
    """Remove torchaudio's compiled part if it is for CUDA and torch is not: hosts use the rest."""
    if subprocess.run([str(python), "-c", "import torchaudio"], capture_output=True, check=False).returncode == 0:
        return
    code = "import importlib.util; print(importlib.util.find_spec('torchaudio').submodule_search_locations[0])"
    place = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    for library in Path(place, "lib").glob("*.so"):
        library.unlink()


def main() -> int:
    """Return the number of hosts whose test failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hosts", nargs="*", metavar="HOST", help=f"some of {', '.join(HOSTS)}; all if none is named")
    parser.add_argument("--folder", type=Path, default=ROOT / ".adapters", help="for the environments")
    options = parser.parse_args()
    if unknown := set(options.hosts) - HOSTS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(HOSTS)}")
    failed = 0
    for name in options.hosts or HOSTS:
        python = install(HOSTS[name], options.folder / name)
        done = subprocess.run([str(python), "-m", "pytest", f"tests/adapters/test_{name}.py"], cwd=ROOT, check=False)
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
