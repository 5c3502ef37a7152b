"""The table of commands. It imports no heavy library; each command imports its own when it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from axlstm.cli import hear
from axlstm.cli.demo import demo
from axlstm.cli.embed import embed
from axlstm.cli.evaluate import evaluate
from axlstm.cli.export import export
from axlstm.cli.models import convert, info, models
from axlstm.cli.plot import plot
from axlstm.cli.prepare import prepare
from axlstm.cli.pretrain import pretrain
from axlstm.cli.reconstruct import reconstruct
from axlstm.cli.stream import stream

Command = Callable[..., int]


@dataclass(frozen=True)
class Group:
    """Commands that share a first word."""

    help: str
    commands: dict[str, Command]


COMMANDS: dict[str, Command | Group] = {
    "embed": embed,
    "stream": stream,
    "plot": plot,
    "models": models,
    "info": info,
    "convert": convert,
    "export": export,
    "prepare": prepare,
    "pretrain": pretrain,
    "reconstruct": reconstruct,
    "evaluate": evaluate,
    "hear": Group(
        "HEAR tasks, step by step: check or make them, embed, probe, report.",
        {
            "check": hear.check,
            "make": hear.make,
            "embed": hear.embed,
            "probe": hear.probe,
            "report": hear.report,
        },
    ),
    "demo": demo,
}
