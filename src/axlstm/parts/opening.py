"""Open the folder of an output by its name, and find the one whose parts are for something else."""

from __future__ import annotations

from pathlib import Path

from axlstm.errors import ConfigError
from axlstm.parts.folders import Folder, LocalFolder
from axlstm.parts.plan import Plan, read_plan
from axlstm.parts.store_folder import StoreFolder
from axlstm.remote import is_url


def open_folder(name: str) -> Folder:
    """Open the folder of an output: a path, or a URL. It need not be there yet.

    Raises:
        ConfigError: a URL with credentials in it, or one that needs a library that is not installed.
    """
    return StoreFolder(name) if is_url(name) else LocalFolder(Path(name))


def work_folder(out: str | Path) -> str:
    """Name the folder of the parts that an output is made of."""
    return f"{str(out).rstrip('/')}.work"


def find_planned(out: str) -> tuple[Folder, Plan]:
    """Open an output that was planned: the folder itself, or the one with the parts that it is made of.

    Raises:
        ConfigError: there is no plan.
        DamageError: it is damaged.
    """
    for name in (out, work_folder(out)):
        folder = open_folder(name)
        if (plan := read_plan(folder)) is not None:
            return folder, plan
    raise ConfigError(
        f"{out}: no plan of parts there; expected a folder that axlstm embed writes parts to, or what another command "
        "makes of parts and has not finished"
    )
