"""Say how far a run has come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Position:
    """The position of a run: steps taken (skipped ones included), and the counts so far."""

    step: int = 0
    nonfinite_steps: int = 0
    nonfinite_in_a_row: int = 0
    skipped_records: int = 0
    train_seconds: float = 0.0
    validation_loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    metrics_bytes: int = 0  # of metrics.jsonl, when the checkpoint was saved
