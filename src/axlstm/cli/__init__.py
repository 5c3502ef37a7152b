"""Run the command line, ``axlstm COMMAND ...``. Each command is a small function in its own file."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence

from axlstm import __version__
from axlstm.errors import describe_error

_FOR_EVALUATION = ("scipy", "sklearn", "matplotlib")  # modules that the extra `evaluate` installs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status. An error prints one line, or its traceback with ``--debug``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal cannot write must not end a command
    debug = "--debug" in words
    words = [argument for argument in words if argument != "--debug"] or ["--help"]
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="axlstm: %(message)s")
    for chatty in ("matplotlib", "PIL", "urllib3", "httpx", "httpcore", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("axlstm.engines.choice").setLevel(logging.DEBUG if debug else logging.INFO)  # one line
    try:
        return _run(words)
    except SystemExit as stop:
        if stop.code:
            _explain_dashes(words)
        raise
    except KeyboardInterrupt as stop:
        kept = f" ({stop})" if str(stop) else ""
        print(f"axlstm: interrupted; a long command resumes when it is started again{kept}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        print(f"axlstm: error: {_one_line(error)}", file=sys.stderr)
        return 1


def _explain_dashes(words: list[str]) -> None:
    """Say how file names that begin with a dash are given, if the refused words hold one, or ``--``."""
    if any(word.startswith("-") and (word == "--" or os.path.lexists(word)) for word in words):
        print(
            "axlstm: names that begin with a dash go behind --, and options before it: "
            "axlstm embed -o out.parquet -- -x.wav",
            file=sys.stderr,
        )


def _one_line(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and (module := str(error.name).partition(".")[0]) in _FOR_EVALUATION:
        return f'this needs {module}: pip install "axlstm[evaluate]"'
    return " ".join(describe_error(error).split()) or type(error).__name__


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"axlstm {__version__}")
        return 0
    from axlstm.cli.commands import run

    return run(
        arguments,
        "Self-supervised audio representations with xLSTM: embed, pretrain, evaluate. "
        "--debug anywhere shows the traceback of an error, --version the version.",
    )
