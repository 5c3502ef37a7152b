"""List all commands. No heavy library is imported here; each command imports its own when it runs."""

from __future__ import annotations

from tyro.extras import SubcommandApp

from axlstm.cli import collection, hear
from axlstm.cli.demo import demo
from axlstm.cli.embed import embed
from axlstm.cli.evaluate import evaluate
from axlstm.cli.export import export
from axlstm.cli.index import index
from axlstm.cli.models import convert, info, models
from axlstm.cli.plot import plot
from axlstm.cli.prepare import prepare
from axlstm.cli.pretrain import pretrain
from axlstm.cli.reconstruct import reconstruct
from axlstm.cli.stream import stream
from axlstm.cli.teach import teach


def make_app() -> SubcommandApp:
    """Put the commands together, in the order of the help."""
    app, of_hear, of_collection = SubcommandApp(), SubcommandApp(), SubcommandApp()
    for command in (
        embed,
        index,
        stream,
        plot,
        models,
        info,
        convert,
        export,
        prepare,
        teach,
        pretrain,
        reconstruct,
        evaluate,
    ):
        app.command(command)
    for task in (
        collection.info,
        collection.verify,
        collection.remove,
        collection.compact,
        collection.merge,
        collection.relocate,
        collection.export,
    ):
        of_collection.command(task)
    app.command(of_collection, name="collection", help="Look after a collection that axlstm index has made.")
    for step in (hear.check, hear.make, hear.embed, hear.probe, hear.report):
        of_hear.command(step)
    app.command(of_hear, name="hear", help="HEAR tasks, step by step: check or make them, embed, probe, report.")
    app.command(demo)
    return app
