"""Hold an output that takes many files, with what lies beside it: its finished parts, and the list of skipped files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from axlstm.errors import ConfigError, WriteError
from axlstm.files import is_part, write_atomically
from axlstm.locks import LOCK_FILES, InUseError, locked


def parts_folder(out: Path) -> Path:
    """Return the folder of the finished parts of an output."""
    return out.with_name(out.name + ".parts")


@contextmanager
def claimed(out: Path) -> Iterator[tuple[Path, Path]]:
    """Hold the folder of parts and the list of skipped files of an output for this process alone.

    A folder without parts, of whatever command, is removed at the end.

    Raises:
        InUseError: another process works on it.
        ConfigError, WriteError: nothing can be written there.
    """
    folder, report = parts_folder(out), out.with_name(out.name + ".skipped.jsonl")
    with ExitStack() as held:
        try:
            with suppress(FileNotFoundError):
                report.stat()  # refuses a name that is too long before anything is computed
            held.enter_context(locked(folder))
        except InUseError as error:
            raise InUseError(f"{out}: another run works on it ({error})") from error
        except OSError as error:
            raise ConfigError(f"{out}: cannot be written ({error.strerror}: {error.filename})") from error
        except WriteError as error:
            raise WriteError(f"{out}: cannot be written: {error}") from error
        try:
            yield folder, report
        finally:
            if all(is_part(path) or path.name in LOCK_FILES for path in folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)  # Windows keeps a lock that is held


def write_skipped(report: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """List skipped files with the reasons, one JSON object a line; without any, an earlier list is removed."""
    if not skipped:
        report.unlink(missing_ok=True)
        return
    lines = (json.dumps({"path": path, "reason": reason}) + "\n" for path, reason in skipped)
    write_atomically(report, "".join(lines).encode())
