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

    name: str
    help: str
    commands: tuple[Command, ...]


_HEAR = Group(
    "hear",
    "HEAR tasks, step by step: check or make them, embed, probe, report.",
    (hear.check, hear.make, hear.embed, hear.probe, hear.report),
)
_ON_MODELS = (embed, stream, plot, models, info, convert, export)
COMMANDS: tuple[Command | Group, ...] = (*_ON_MODELS, prepare, pretrain, reconstruct, evaluate, _HEAR, demo)
