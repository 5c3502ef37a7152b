"""What can go wrong with training data."""

from __future__ import annotations

from axlstm.errors import AxlstmError


class DataError(AxlstmError):
    """Shards, records or manifests that cannot be read or do not fit."""
