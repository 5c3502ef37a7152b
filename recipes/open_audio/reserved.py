"""Reserve recordings that pretraining must not hear, because a downstream task tests on them.

The policy is data: the column ``reserved`` of ``packages.csv``, and the same word in ``rules.toml`` where a package is
divided. Most tasks are tested fold by fold, so that every group of theirs is tested once: a task's packages are
reserved whole. Tasks may train on anything; their test splits take reserved recordings only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def reserved_for(row: Mapping[str, Any]) -> tuple[str, ...]:
    """List the tasks that test on a recording, from its row of the manifest."""
    return tuple(str(row["reserved"] or "").split())


def is_reserved(row: Mapping[str, Any]) -> bool:
    """Return whether a task tests on a recording, so that pretraining must hear no copy of it."""
    return bool(reserved_for(row))
