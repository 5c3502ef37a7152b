"""Each case ends within 2 s and 300 MB, with one line that names the file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from axlstm.errors import AxlstmError
from tests.damage.cases import CASES, Case
from tests.damage.watched import watched

MOST_SECONDS, MOST_MEGABYTES, MOST_CHARACTERS = 2, 300, 1000

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does"),
    pytest.mark.usefixtures("one_thread"),
]


def read(case: Case, folder: Path) -> list[str]:
    """The lines that tell what is wrong: an error of ours, what failed, and the log."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().handlers[:] = [handler]
    try:
        failed = case.read(folder)
    except AxlstmError as error:
        return [*lines, str(error)]
    return [*lines, *(failed.values() if isinstance(failed, dict) else ())]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_file_that_asks_for_everything_is_told(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path)
    ended = watched(lambda: read(case, tmp_path), MOST_SECONDS)
    assert ended.result is not None, f"raised another error, or was killed after {ended.seconds_used:.1f} s"
    assert ended.megabytes < MOST_MEGABYTES
    telling = [line for line in ended.result if case.file in line]
    assert telling, ended.result
    assert max(map(len, telling)) < MOST_CHARACTERS
