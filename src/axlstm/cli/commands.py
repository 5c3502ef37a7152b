"""List all commands. No heavy library is imported here; each command imports its own when it runs."""

from __future__ import annotations

from tyro.extras import SubcommandApp

from axlstm.cli import collection, density, hear, label
from axlstm.cli.demo import demo
from axlstm.cli.detect import detect
from axlstm.cli.embed import embed
from axlstm.cli.evaluate import evaluate
from axlstm.cli.explore import explore
from axlstm.cli.export import export
from axlstm.cli.finetune import finetune
from axlstm.cli.index import index
from axlstm.cli.models import convert, info, models
from axlstm.cli.plot import plot
from axlstm.cli.prepare import prepare
from axlstm.cli.pretrain import pretrain
from axlstm.cli.reconstruct import reconstruct
from axlstm.cli.search import search
from axlstm.cli.status import status
from axlstm.cli.stream import stream
from axlstm.cli.suggest import suggest
from axlstm.cli.teach import teach
from axlstm.cli.train import train
from axlstm.cli.work import collect, work


def make_app() -> SubcommandApp:
    """Put the commands together, in the order of the help."""
    app, of_hear = SubcommandApp(), SubcommandApp()
    of_collection, of_labels, of_density = SubcommandApp(), SubcommandApp(), SubcommandApp()
    for command in (
        embed,
        status,
        work,
        collect,
        index,
        search,
        suggest,
        train,
        detect,
        explore,
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
        finetune,
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
    app.command(demo)
    return app
