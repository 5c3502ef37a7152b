"""Show the numbers of a training run: in one line that is rewritten on a terminal, elsewhere in a line each time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any


class LiveLine:
    """Takes the reports of a run, as its ``on_metrics``.

    Args:
        validation: the number of a validation that is shown beside the loss until the next one.
        describe: says the rest of a report's line.
    """

    def __init__(self, validation: str, describe: Callable[[Mapping[str, Any]], str]) -> None:
        self._name, self._describe = validation, describe
        self._validation = ""

    def __call__(self, step: int, values: Mapping[str, Any]) -> None:
        if self._name in values:
            self._validation = f"  validation {values[self._name]:.4f}"
            return
        line = f"step {step}  loss {values['loss']:.4f}{self._validation}  {self._describe(values)}"
        if sys.stderr.isatty():
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)
