"""Ask encoders what changes an embedding that should not: batches, threads, gain, rate, shifts, silence, halves, times.

python -m benchmarks invariances                                     # every encoder that is installed
python -m benchmarks invariances --module mine.py --weights mine.pt  # adds an encoder behind the HEAR API
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.errors import ConfigError
from axlstm.files import write_atomically
from benchmarks.invariance_listeners import Entry, NotInstalled, hear_loader, our_entries, recipe_entries
from benchmarks.invariance_rows import bundled, measure
from benchmarks.invariance_table import draw, show
from benchmarks.invariance_transformers import transformers_entries
from benchmarks.machine import describe_machine
from benchmarks.report import RESULTS


def invariances(
    module: str | None = None,
    weights: Path | None = None,
    name: str | None = None,
    only: tuple[str, ...] = (),
    recordings: tuple[str, ...] = (),
    results: Path = RESULTS / "invariances.json",
    figure: Path | None = None,
) -> int:
    """Measure encoders one after another; each is added to the results as soon as it is done.

    Args:
        module: a module of the HEAR API, as a path or as the name of an installed one; no other encoder is measured.
        weights: the file that its ``load_model`` is given.
        name: heads its column; an empty one is the module's.
        only: names of encoders to measure; all if empty.
        recordings: names of bundled recordings; all if empty.
        results: a file to add to.
        figure: a PNG to draw of all results.

    Raises:
        ConfigError: an encoder of ``only`` that is not known, a module that cannot be loaded or has the name of another
            encoder, or a single recording.
    """
    entries = all_entries() if module is None else [of_module(module, weights, name)]
    if unknown := set(only) - {entry.name for entry in entries}:
        known = ", ".join(entry.name for entry in entries)
        raise ConfigError(f"only={', '.join(sorted(unknown))}: expected names of {known}")
    chosen = [entry for entry in entries if not only or entry.name in only]
    if module is not None and chosen[0].name in {entry.name for entry in all_entries()}:
        raise ConfigError(f"name={chosen[0].name!r}: the table has a column of that name; choose another")
    sounds = bundled(recordings)
    if len(sounds) < 2:
        raise ConfigError(
            f"recordings={', '.join(recordings)}: expected at least two, which are compared with each other"
        )
    for entry in chosen:
        print(f"{entry.name} ...", flush=True)
        np.random.seed(0)  # noqa: NPY002  # feature extractors draw from the global state
        begin = time.perf_counter()
        try:
            measured = measure(entry, sounds)
        except NotInstalled as error:
            if module is not None:
                raise ConfigError(f"module={module}: {error}") from error
            print(f"  not installed: {error}; {entry.install}")
            _add(results, entry.name, None, entry.install)
            continue
        measured |= {"seconds": round(time.perf_counter() - begin, 1), "machine": describe_machine()}
        _add(results, entry.name, measured | {"recordings": [sound.name for sound in sounds]}, entry.install)
    result = read(results)
    print(show(result, [entry.name for entry in chosen if entry.name in result["encoders"]]))
    if figure is not None:
        draw(result, figure)
        print(figure)
    print(results)
    return 0


def all_entries(blocks: int = 2) -> list[Entry]:
    """Return every encoder that the table knows, in its order; see `transformers_entries`."""
    return [*our_entries(), *recipe_entries(), *transformers_entries(blocks)]


def of_module(module: str, weights: Path | None, name: str | None) -> Entry:
    """Return the entry of a module of the HEAR API."""
    source = module if module.endswith(".py") else f"module:{module}"
    told = "" if weights is None else f"@{weights}"
    stem = Path(module).stem if module.endswith(".py") else module.rpartition(".")[2]
    told_weights = "as its module loads" if weights is None else weights.name
    return Entry(name or stem, told_weights, f"see {Path(module).name}", hear_loader(source + told))


def read(path: Path) -> dict[str, Any]:
    """Read results; empty ones if there is no such file."""
    if not path.exists():
        return {"encoders": {}, "not installed": {}}
    return dict(json.loads(path.read_bytes()))


def _add(path: Path, name: str, measured: dict[str, Any] | None, install: str) -> None:
    """Add an encoder to the results, in the order of the table; one that is not here keeps what was measured."""
    result = read(path)
    if measured is not None:
        result["encoders"][name] = measured
        result["not installed"].pop(name, None)
    elif name not in result["encoders"]:
        result["not installed"][name] = install
    result["encoders"] = _in_order(result["encoders"], [entry.name for entry in all_entries()])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(result, indent=1) + "\n").encode())


def _in_order(encoders: dict[str, Any], order: Sequence[str]) -> dict[str, Any]:
    return {
        name: encoders[name]
        for name in [*order, *(other for other in encoders if other not in order)]
        if name in encoders
    }
