"""Random edits of everything that is read again: equal to the undamaged, or told by a line that names the file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.damage.campaign import BAD, Campaign, run_campaign
from tests.damage.subjects import SUBJECTS

EDITS, SEED = 442, 0


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_random_edits_are_harmless_or_told(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fork has none of the other threads
    try:
        table = run_campaign(Campaign(tmp_path), EDITS, SEED)
    finally:
        torch.set_num_threads(threads)
    print(table)  # noqa: T201
    assert not table.bad, str(table)
    assert all(sum(counts.values()) == EDITS // len(SUBJECTS) for counts in table.counts.values())
    assert all(counts["told"] for name, counts in table.counts.items() if name != "preparation")  # which mends itself
    assert not any(counts[column] for counts in table.counts.values() for column in BAD)
