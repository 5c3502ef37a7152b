"""``python -m tests.damage --edits 10000 --seed 0``: random edits of all kinds of files, and a table of outcomes."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from tests.damage.campaign import Campaign, run_campaign
from tests.damage.subjects import SUBJECTS


def main() -> int:
    """Run a campaign; the exit status is 1 if any edit came out badly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", help="one edit alone, such as 0:17, of the one kind that is given")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a fork has none of the other threads
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), options.kinds)
        if options.only:
            print(*campaign.try_edit(options.kinds[0], options.only), sep=": ")  # noqa: T201
            return 0
        table = run_campaign(campaign, options.edits, options.seed, options.jobs)
    print(table)  # noqa: T201
    return 1 if table.bad else 0


if __name__ == "__main__":
    sys.exit(main())
