"""The table of commands. Importing it must stay cheap: heavy libraries are imported when a command runs."""

from __future__ import annotations

from collections.abc import Callable

from axlstm.cli.demo import demo
from axlstm.cli.embed import embed
from axlstm.cli.models import convert, info, models
from axlstm.cli.plot import plot

COMMANDS: dict[str, Callable[..., int]] = {
    "embed": embed,
    "plot": plot,
    "models": models,
    "info": info,
    "convert": convert,
    "demo": demo,
}
