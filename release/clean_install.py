"""Install a wheel into an empty environment, and use it there without the repository and without a network."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Literal

OLDEST = Path(__file__).parent / "oldest.txt"
EXTRA = "evaluate"
MOST_SECONDS = 180.0
"""From the wheel to the last result."""

Dependencies = Literal["oldest", "newest"]

_NO_NETWORK = """
import sys

def refuse(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and not isinstance(arguments[1], (str, bytes))):
        raise OSError(f"no network here: {event} {arguments[1:] or arguments}")

sys.addaudithook(refuse)
"""
"""A module that Python loads at each start, by a ``.pth`` file: connections, but those to a file, are errors."""

_ABOUT = """
import importlib.metadata as metadata, json, socket, axlstm, axlstm.samples as samples
try:
    network = str(socket.getaddrinfo("localhost", 80))
except OSError as error:
    network = str(error)
names = ("torch", "numpy", "openvino", "pyarrow", "scipy", "scikit-learn", "tyro")
print(json.dumps({
    "axlstm": axlstm.__version__,
    "file": axlstm.__file__,
    "samples": str(samples.sample_paths()[0].parent),
    "strokes": str(samples.strokes_table()),
    "network": network,
    "versions": {name: metadata.version(name) for name in names},
}))
"""


def clean_install(wheel: Path, dependencies: Dependencies, torch: str, sbom: Path | None = None) -> int:
    """Install a wheel with the oldest or the newest dependencies, embed and evaluate offline, and time it.

    Args:
        wheel: the file to install.
        dependencies: ``"oldest"`` has those of ``release/oldest.txt``, ``"newest"`` what pip finds.
        torch: the version of torch in both cases. A CPU build of the oldest one is not in every index.
        sbom: a file to write what the environment consists of to, as CycloneDX JSON; not part of the time.

    Returns:
        The exit status: 1 if the use took longer than `MOST_SECONDS`. How long the installation takes is the network's.

    Raises:
        subprocess.CalledProcessError: a step failed; what it said is on the terminal.
        RuntimeError: a step gave another result than it should have.
    """
    with tempfile.TemporaryDirectory(prefix="axlstm-clean-") as folder:
        begin = time.perf_counter()
        python = _install(wheel.resolve(), dependencies, torch, Path(folder))
        _tell("install", begin)
        installed = time.perf_counter()
        _use(python, Path(folder, "away"))
        seconds = time.perf_counter() - installed
        _tell(f"from the wheel to the last result, {dependencies} dependencies", begin)
        if sbom is not None:
            write_sbom(python, sbom)
    return int(seconds > MOST_SECONDS)


def write_sbom(python: Path, out: Path) -> None:
    """Write what an environment consists of as CycloneDX JSON, checked against the schema.

    Args:
        python: the environment's interpreter.
        out: the file.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    command = ["environment", "--pyproject", str(pyproject), "--mc-type", "library", "--output-format", "JSON"]
    _run([sys.executable, "-m", "cyclonedx_py", *command, "--output-reproducible", "-o", str(out), str(python)])
    content = json.loads(out.read_text(encoding="utf-8"))
    version = _told(python, "import axlstm; print(axlstm.__version__)", out.parent)  # pyproject.toml has none
    content["metadata"]["component"]["version"] = version.strip()
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _install(wheel: Path, dependencies: Dependencies, torch: str, folder: Path) -> Path:
    """Make the environment, without pip in it, and return its interpreter."""
    venv.create(folder / "environment", with_pip=False, symlinks=os.name != "nt")
    bin_folder = folder / "environment" / ("Scripts" if os.name == "nt" else "bin")
    python = bin_folder / ("python.exe" if os.name == "nt" else "python")
    bounds = ["--constraint", str(OLDEST)] if dependencies == "oldest" else []
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    _run([*pip, *bounds, f"torch=={torch}", f"{wheel}[{EXTRA}]"])
    place = _told(python, "import sysconfig; print(sysconfig.get_path('purelib'))", folder).strip()
    Path(place, "no_network.py").write_text(_NO_NETWORK, encoding="utf-8")
    Path(place, "no_network.pth").write_text("import no_network\n", encoding="utf-8")
    return python


def _use(python: Path, folder: Path) -> None:
    """Embed the bundled recordings and evaluate on the bundled drum strokes, in a folder far from the repository."""
    folder.mkdir()
    about = json.loads(_told(python, _ABOUT, folder))
    print(json.dumps(about["versions"]))
    if not Path(about["file"]).is_relative_to(python.parents[1]):
        raise RuntimeError(f"axlstm was imported from {about['file']}, expected inside of {python.parents[1]}")
    if not about["network"].startswith("no network here"):
        raise RuntimeError(f"a look-up of localhost gave {about['network']}, expected that there is no network")
    steps = {
        "embed": ["embed", about["samples"], "-o", "embeddings.csv"],
        "make a task": ["hear", "make", about["strokes"], "tasks"],
        "evaluate": [
            *["evaluate", "axlstm-tiny", "logmel", "--tasks", "tasks", "-o", "out"],
            *["--protocol", "linear", "--seeds", "1"],
        ],
    }
    for name, words in steps.items():
        begin = time.perf_counter()
        _run([str(python), "-m", "axlstm", *words], folder, _environment(folder))
        _tell(name, begin)
    _check(folder, len(list(Path(about["samples"]).iterdir())))


def _check(folder: Path, recordings: int) -> None:
    with Path(folder, "embeddings.csv").open(newline="", encoding="utf-8") as file:
        rows = sum(1 for _ in csv.DictReader(file))
    if rows != recordings:
        raise RuntimeError(f"embeddings.csv has {rows} rows, expected {recordings}: one of each recording")
    with Path(folder, "out/report/report.csv").open(newline="", encoding="utf-8") as file:
        models = {row["model"] for row in csv.DictReader(file)}
    if models != {"axlstm-tiny", "logmel"}:
        raise RuntimeError(f"report.csv is of {sorted(models)}, expected axlstm-tiny and logmel")


def _environment(folder: Path) -> dict[str, str]:
    """Environment of a user: nothing of Python or of this package's settings, and a home without caches."""
    foreign = ("PYTHON", "AXLSTM", "VIRTUAL_ENV", "XDG_", "HF_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {
        "HOME": str(folder),
        "LOCALAPPDATA": str(folder),
        "PYTHONWARNINGS": "error::DeprecationWarning:axlstm",
    }


def _told(python: Path, source: str, folder: Path) -> str:
    done = subprocess.run(
        [python, "-c", source], cwd=folder, env=_environment(folder), check=True, text=True, stdout=subprocess.PIPE
    )
    return done.stdout


def _run(command: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=True)


def _tell(what: str, begin: float) -> None:
    """Print how long something took, and how long processors were busy so far: they may have other work."""
    busy = os.times().children_user + os.times().children_system
    print(f"{time.perf_counter() - begin:6.1f} s  {what} (processors so far: {busy:.1f} s)", flush=True)
