"""Define errors for users: every message says what was given, what was expected and what to do."""

import errno
from collections.abc import Iterable, Mapping
from typing import Any


def first_line(error: Exception) -> str:
    """Shorten another library's message to its first line and 300 characters, as a part of one of ours."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


def name_some(items: Iterable[str], separator: str = ", ", most: int = 5) -> str:
    """Join the first items as a part of a message, and count the others."""
    items = list(items)
    return separator.join([*items[:most], *([f"and {len(items) - most} more"] if len(items) > most else [])])


def name_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Name the settings that differ, each with both values; empty if none does."""
    different = [name for name in here if there.get(name) != here[name]]
    return "; ".join(f"{name}: {there.get(name)!r} there, {here[name]!r} here" for name in different)


class AxlstmError(ValueError):
    """Base of the errors that this package raises about its input."""


class AudioError(AxlstmError):
    """A sound that cannot be read, or that no embedding is defined for."""


class ConfigError(AxlstmError):
    """A name, option or configuration that does not exist or does not fit."""


class CheckpointError(AxlstmError):
    """Weights that cannot be read or do not fit their configuration."""


class DataError(AxlstmError):
    """Shards, records or manifests that cannot be read or do not fit."""


class DamageError(DataError):
    """A file of this package's own that is not as it was written: a checksum or its form tells."""


class TrainingError(AxlstmError):
    """A run that cannot start, go on, or be resumed."""


class EngineError(AxlstmError):
    """An engine that is installed but does not work here, or that does not give torch's numbers."""


class ExportError(AxlstmError):
    """A model whose export does not give its numbers."""


class WriteError(AxlstmError):
    """A file or folder that cannot be written: the disk is full or fails, or nothing may be written there."""


class StoreError(AxlstmError):
    """A store behind a URL that fails, after several tries; it may answer another time."""


_REMEDIES = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some space",
    errno.EIO: "Check the disk",
    errno.EACCES: "Allow it",
    errno.EPERM: "Allow it",
    errno.EROFS: "Allow it",
}


def remedy_of(error: OSError) -> str:
    """Say what to do about an error of the disk."""
    return f"{_REMEDIES.get(error.errno or 0, 'Correct the cause')}, and run the same command again to go on"


def describe_error(error: Exception) -> str:
    """Return an error's message, behind its type where it is not of this package and may say little by itself."""
    if isinstance(error, OSError) and error.errno in _REMEDIES and error.filename is not None:
        return f"{error.filename2 or error.filename}: {error.strerror}. {remedy_of(error)}"
    return str(error) if isinstance(error, (AxlstmError, OSError)) else f"{type(error).__name__}: {error}"
