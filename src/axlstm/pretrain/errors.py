"""What ends a training run."""

from __future__ import annotations

from axlstm.errors import AxlstmError


class TrainingError(AxlstmError):
    """A run that cannot start, go on, or be resumed."""
