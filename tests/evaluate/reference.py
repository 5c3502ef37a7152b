"""Reading the reference files under tests/data/hear."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data" / "hear"


def read_json_xz(path: Path) -> Any:
    return json.loads(lzma.decompress(path.read_bytes()))
