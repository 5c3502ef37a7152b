"""Keep an approximate index of a large collection in its cache, with faiss, and ask it for candidates.

It is made of the windows and never holds what they do not: what it proposes is compared exactly afterwards. It fits as
long as nearly all windows are of the parts that it was made from, and the statistics are nearly those of its making;
windows of other parts are compared one by one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from axlstm.bounds import check_types, parse_object
from axlstm.collection.search.norms import CACHE
from axlstm.collection.search.table import Statistics, WindowTable
from axlstm.errors import WriteError
from axlstm.files import atomic_path, write_atomically
from axlstm.seals import OBJECT_KEY, crc_of_path, object_is_whole, seal_object

LEAST_WINDOWS = 500_000
"""Below this, comparing with every window is as fast as anybody needs: python -m benchmarks search."""

_DIMENSIONS = 128
_TRAINING_ROWS = 100_000
_PROBE_QUERIES = 256
_RECALL = 0.99  # of the 20 nearest, which the number of lists that are looked at is chosen for
_NEAREST = 20
_MOST_OTHERS = 0.1  # of all windows: those in parts that the index does not have
_MOST_DRIFT = 0.05  # of the statistics, in deviations
_BLOCK_ROWS = 1 << 14
_log = logging.getLogger(__name__)


def is_installed() -> bool:
    """Tell whether faiss can be imported."""
    try:
        import faiss  # noqa: F401
    except ImportError:
        return False
    return True
