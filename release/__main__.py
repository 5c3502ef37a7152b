"""Make and check a release: ``python -m release dist|api|clean-install``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tyro.extras import SubcommandApp

from release.api import breakages, write_stubs
from release.clean_install import Dependencies, clean_install

ROOT = Path(__file__).parents[1]
app = SubcommandApp()


@app.command(name="dist")
def dist(out: Path = ROOT / "dist") -> int:
    """Build the source archive, and of it the wheel, and check both, in a folder without other files."""
    if there := sorted(path.name for path in out.glob("*")):
        sys.exit(f"{out}: has {there[0]} already; empty it, or give another --out")
    python = [sys.executable, "-m"]
    subprocess.run([*python, "build", "--no-isolation", "--outdir", str(out), str(ROOT)], check=True)
    files = sorted(map(str, out.glob("axlstm-*.*")))
    subprocess.run([*python, "twine", "check", "--strict", *files], check=True)
    wheels = [file for file in files if file.endswith(".whl")]
    subprocess.run([*python, "check_wheel_contents", *wheels], check=True)
    return 0


@app.command(name="api")
def api(write: bool = False) -> int:
    """Compare the public interface with that of the last release.

    Args:
        write: make today's the one to compare with: for a new version, or where a change breaks something on purpose.
    """
    if write:
        write_stubs()
        return 0
    found = list(breakages())
    print("\n".join(found) or "nothing that the last release had is broken")
    return int(bool(found))


@app.command(name="clean-install")
def install(
    wheel: Path, /, dependencies: Dependencies = "newest", torch: str = "2.13.0", sbom: Path | None = None
) -> int:
    """Install a wheel into an empty environment, and embed and evaluate there, offline.

    Args:
        wheel: the file to install.
        dependencies: the oldest that pyproject.toml allows, or what pip finds.
        torch: the version of torch.
        sbom: also write what the environment consists of, as CycloneDX JSON, to this file.
    """
    return clean_install(wheel, dependencies, torch, sbom)


if __name__ == "__main__":
    sys.exit(app.cli(prog="python -m release", description=__doc__))
