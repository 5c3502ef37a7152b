"""List all commands. No heavy library is imported here; each command imports its own when it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

import tyro
from tyro.extras import SubcommandApp

COMMANDS = {
    "embed": "embed",
    "status": "status",
    "work": "work",
    "collect": "work",
    "index": "index",
    "search": "search",
    "suggest": "suggest",
    "train": "train",
    "detect": "detect",
    "explore": "explore",
    "stream": "stream",
    "plot": "plot",
    "models": "models",
    "info": "models",
    "convert": "models",
    "export": "export",
    "prepare": "prepare",
    "teach": "teach",
    "pretrain": "pretrain",
    "reconstruct": "reconstruct",
    "finetune": "finetune",
    "evaluate": "evaluate",
    "demo": "demo",
}
"""The commands of one word, in the order of the help, and the module of each in this folder."""


def run(arguments: Sequence[str], description: str) -> int:
    """Run a command and return its exit status. Of a command of one word, no other command's settings are imported.

    Args:
        arguments: the command, and its own.
        description: of the whole command line, for its help.
    """
    name, *own = arguments
    if name in COMMANDS:
        return int(tyro.cli(find_command(name), args=own, prog=f"axlstm {name}") or 0)
    return int(make_app().cli(args=list(arguments), prog="axlstm", description=description) or 0)


def find_command(name: str) -> Callable[..., int | None]:
    """Import a command of one word."""
    command: Callable[..., int | None] = getattr(import_module(f"axlstm.cli.{COMMANDS[name]}"), name)
    return command


def make_app() -> SubcommandApp:
    """Put the commands together, in the order of the help."""
    from axlstm.cli import collection, density, hear, label

    app, of_hear = SubcommandApp(), SubcommandApp()
    of_collection, of_labels, of_density = SubcommandApp(), SubcommandApp(), SubcommandApp()
    for name in COMMANDS:
        app.command(find_command(name))
    for task in (
        collection.info,
        collection.verify,
        collection.remove,
        collection.compact,
        collection.merge,
        collection.relocate,
        collection.map,
        collection.export,
    ):
        of_collection.command(task)
    app.command(of_collection, name="collection", help="Look after a collection that axlstm index has made.")
    for step in (hear.check, hear.make, hear.embed, hear.probe, hear.report):
        of_hear.command(step)
    of_labels.command(name="import")(label.import_)
    of_labels.command(label.export)
    of_labels.command(name="list")(label.list_)
    of_labels.command(label.add)
    of_labels.command(label.undo)
    of_density.command(density.sample)
    of_density.command(density.estimate)
    app.command(of_density, name="density", help="Density of calls, with an interval: sample windows, estimate.")
    app.command(of_labels, name="label", help="Labels of a collection: import, export, list, add, undo.")
    app.command(of_hear, name="hear", help="HEAR tasks, step by step: check or make them, embed, probe, report.")
    return app
