"""Import the packages that adapters are for, or say how to get them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from axlstm.errors import ConfigError, first_line


def import_host(module: str, install: str) -> Any:
    """Import a module of a host.

    Args:
        install: the arguments of ``pip install`` that bring it.

    Raises:
        ConfigError: it is not installed, or fails while it is imported; the message says why.
    """
    try:
        return import_module(module)
    except Exception as error:  # of its dependencies, which may lack a library or not fit each other, in any form
        host = module.partition(".")[0]
        raise ConfigError(
            f"axlstm.adapters needs {host}: pip install {install} ({type(error).__name__}: {first_line(error)})"
        ) from error
