"""Print the table of points: ``python -m tests.faults``; ``--help`` says how to try some of them only."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.commands import BY_NAME, COMMANDS, make_inputs, make_ready
from tests.faults.harness import KINDS, Faults, Recording, some


def main() -> int:
    """Try every point, or some of each kind, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, help="points of each kind of fault; if not given, all of quick commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", nargs="*", choices=list(BY_NAME), default=[command.name for command in COMMANDS])
    parser.add_argument("--kind", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--verbose", action="store_true", help="print every point that is not as it should be")
    given = parser.parse_args()
    print(heading(given.kind), flush=True)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        inputs, root = Path(folder) / "inputs", Path(folder) / "root"
        root.mkdir()
        make_inputs(inputs)
        with Faults(root) as faults:
            for name in given.command:
                command = BY_NAME[name]
                if not command.is_possible:
                    print(f"| {name} | not tried: {command.needs} is not installed |", flush=True)
                    continue
                start = make_ready(command, faults, inputs)
                arguments = command.arguments(inputs, faults.work)
                recording = faults.record(arguments, start)
                began = time.monotonic()
                for kind in given.kind:
                    most = command.most if given.sample is None else given.sample
                    for point in some(recording.applicable(kind, command.thins), most, f"{given.seed} {name} {kind}"):
                        faults.judge(arguments, recording, point, kind)
                print(f"{row(name, recording, given.kind)} {time.monotonic() - began:.0f} s |", flush=True)
                for verdict in recording.verdicts:
                    if verdict.faults or verdict.leftovers:
                        bad += 1
                        if given.verbose:
                            print(f"  {verdict}"[:1500], flush=True)
    return 1 if bad else 0


def heading(kinds: list[str]) -> str:
    """Return the head of the table: for each kind of fault how many points, bad ones, and leftovers."""
    return f"| command | points | {' | '.join(kinds)} | time |\n|---{'|---' * (len(kinds) + 2)}|"


def row(name: str, recording: Recording, kinds: list[str]) -> str:
    """Return a command's row."""
    cells = []
    for kind in kinds:
        verdicts = [verdict for verdict in recording.verdicts if verdict.kind == kind]
        bad, left = sum(bool(v.faults) for v in verdicts), sum(bool(v.leftovers) for v in verdicts)
        cells.append(f"{len(verdicts)}: {bad} bad, {left} left")
    return f"| {name} | {len(recording.points)} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
