"""Decide what computes the frames of an embedder: torch, an engine that was named, or the fastest that there is."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import torch

from axlstm.checkpoints.own import Checkpoint, fingerprint
from axlstm.devices import dtype_name
from axlstm.engines.choice import FORKED, Choice, choose_engine, log_choice
from axlstm.engines.processes import encode_in_processes
from axlstm.errors import EngineError
from axlstm.model.frame_encoder import Encode, FrameEncoder
from axlstm.options import EngineName, Padding, Precision
from axlstm.threads import ForkLock

logger = logging.getLogger(__name__)

_choosing = ForkLock()


class Computation:
    """Computes frames: torch, or an engine.

    Args:
        engine: as it was asked for; None is torch.

    Attributes:
        is_auto: the engine is chosen, when the first embedding is asked for.
        choice: the engine with the reason; None before it is chosen.
        encode: of the engine; None where torch computes with weights that may change.
        weights: the fingerprint of the weights that the engine has.
    """

    def __init__(self, engine: EngineName | None) -> None:
        self.is_auto = engine == "auto"
        self.choice = None if self.is_auto else Choice(engine, "asked for")
        self.encode: Encode | None = None
        self.weights = ""
        self._process = os.getpid()

    def start(self, frame_encoder: FrameEncoder, dtype: torch.dtype, weights: str) -> None:
        """Give the weights to the engine that was named."""
        engine = self.choice.engine if self.choice else None
        self.weights = weights
        if engine == "processes":
            self.encode = encode_in_processes(frame_encoder)
        elif engine == "openvino" or engine == "onnxruntime":
            from axlstm.engines.compiled import compile_encoder

            self.encode = compile_encoder(frame_encoder, engine, dtype_name(dtype))

    def decide(
        self,
        checkpoint: Checkpoint,
        frame_encoder: Callable[[], FrameEncoder],
        *,
        device: str,
        precision: Precision,
        padding: Padding,
    ) -> Choice:
        """Return what computes, and choose it if it was not.

        Args:
            frame_encoder: gives that of the checkpoint, in float32.
            device: kind of device: cpu, cuda, ...
        """
        if self.is_auto and self.choice is not None and self.choice.engine and os.getpid() != self._process:
            self._leave_to_torch(FORKED)
        if self.choice is None:
            with _choosing:  # one of the threads that ask
                if self.choice is None:
                    choice, checked = choose_engine(device, precision, padding), ""
                    if choice.engine is not None:
                        choice, checked = self._open(choice, checkpoint, frame_encoder(), precision)
                    self._process = os.getpid()
                    self.choice = choice  # last: other threads go on now
                    log_choice(checkpoint.name, choice, checked)
        return self.choice

    def _open(
        self, choice: Choice, checkpoint: Checkpoint, frame_encoder: FrameEncoder, precision: Precision
    ) -> tuple[Choice, str]:
        """Open the chosen engine: torch if it does not work, or the choice and how it was checked."""
        from axlstm.engines.compiled import open_checked

        weights = fingerprint(checkpoint.model, checkpoint.frontend)
        try:
            encode, difference = open_checked(frame_encoder, checkpoint.frontend, weights, precision)
        except EngineError as error:
            logger.warning("%s; torch computes", error)
            return Choice(None, str(error)), ""
        self.weights, self.encode = weights, encode
        return choice, f"checked against torch on a second of speech: {_tell_difference(difference, precision)}"

    def go_on_in_torch(self, name: str) -> None:
        """Choose torch for what goes on with embeddings of it."""
        with _choosing:
            self.choice = Choice(
                None, "what is there was embedded in it; a new output begins in the fastest that is installed"
            )
        log_choice(name, self.choice)

    def hand_out(self) -> None:
        """Compute in torch from here on: who has the weights may change them, and a compiled graph would not follow."""
        if not self.is_auto:
            return
        with _choosing:  # not while a graph is made of them
            if self.choice is None or self.choice.engine is not None:
                self._leave_to_torch("the weights were handed out, and may change")

    def _leave_to_torch(self, reason: str) -> None:
        self.choice, self.encode = Choice(None, reason), None

    def __getstate__(self) -> dict[str, Any]:
        """Give what a copy in another process needs: it chooses anew there."""
        state = dict(self.__dict__)
        if self.is_auto and self.choice is not None and self.choice.engine is not None:
            state |= {"choice": None, "encode": None}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _process=os.getpid())


def _tell_difference(difference: float, precision: Precision) -> str:
    if precision == "float32":
        return f"frames differ by {difference:.0e}"
    return f"cosine of frames {1 - difference:.5f}"
