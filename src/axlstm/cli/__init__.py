"""The command line: ``axlstm COMMAND ...``; each command is a small function in a file of its own."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from axlstm.errors import AxlstmError

if TYPE_CHECKING:
    from tyro.extras import SubcommandApp

_EXTRAS = {"scipy": "evaluate", "sklearn": "evaluate"}  # modules that whole commands need, and what installs them


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status. Errors are one line; ``--debug`` shows the traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"] or ["--help"]
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="axlstm: %(message)s")
    for chatty in ("matplotlib", "PIL", "urllib3", "httpx", "httpcore", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        return _run(given)
    except KeyboardInterrupt:
        print("axlstm: interrupted; what takes long goes on where it stopped when started again", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        print(f"axlstm: error: {_told(error)}", file=sys.stderr)
        return 1


def _told(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        module = str(error.name).partition(".")[0]
        if module in _EXTRAS:
            return f'this needs {module}: pip install "axlstm[{_EXTRAS[module]}]"'
    kind = "" if isinstance(error, (AxlstmError, OSError)) else f"{type(error).__name__}: "
    return kind + (" ".join(str(error).split()) or type(error).__name__)


def _run(arguments: list[str]) -> int:
    from axlstm.cli.commands import COMMANDS

    status = _app(COMMANDS).cli(
        args=arguments,
        prog="axlstm",
        description="Self-supervised audio representations with xLSTM: embed, pretrain, evaluate. "
        "--debug anywhere shows the traceback of an error.",
    )
    return int(status or 0)


def _app(commands: Mapping[str, Any]) -> SubcommandApp:
    from tyro.extras import SubcommandApp

    from axlstm.cli.commands import Group

    app = SubcommandApp()
    for name, command in commands.items():
        if isinstance(command, Group):
            app.command(_app(command.commands), name=name, help=command.help)
        else:
            app.command(name=name)(command)
    return app
