"""The package costs what it costs, and says what is missing."""

from __future__ import annotations

import subprocess
import sys


def test_a_missing_library_is_named_with_its_extra() -> None:
    code = "import sys; sys.modules['transformers'] = None\nimport axlstm.hf"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.strip().endswith('axlstm.hf needs transformers: pip install "axlstm[hf]"')
