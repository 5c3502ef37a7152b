"""Learn of it before anybody gets at the weights of a module, by whichever way of torch's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from torch import nn

import axlstm.vector_math


class GuardedModule(nn.Module):
    """A module of torch whose ways to its weights call `_hand_out` first.

    Modes, moves and conversions go over its modules too, and do not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_walking = False

    @abstractmethod
    def _hand_out(self) -> None:
        """Prepare for weights that may change from now on."""

    def named_modules(self, *args: Any, **options: Any) -> Any:
        """Give the modules as torch does, with the weights. Parameters are found this way too."""
        self._hand_out()
        return super().named_modules(*args, **options)

    def named_children(self) -> Any:
        """Give the modules as torch does, with the weights."""
        if not self._is_walking:
            self._hand_out()
        return super().named_children()

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        """Take weights as a part of another module does."""
        self._hand_out()
        super()._load_from_state_dict(*args, **options)

    def train(self, mode: bool = True) -> Self:
        """Change the mode as torch does; the weights stay here."""
        with self._walking():
            super().train(mode)
        return self

    @contextmanager
    def _walking(self) -> Iterator[None]:
        """Let torch go over the modules without their being handed out."""
        before, self._is_walking = self._is_walking, True
        try:
            yield
        finally:
            self._is_walking = before

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """Give the weights as torch does."""
        self._hand_out()
        return super().state_dict(*args, **options)

    def load_state_dict(self, *args: Any, **options: Any) -> Any:
        """Take weights as torch does."""
        self._hand_out()
        return super().load_state_dict(*args, **options)

    def apply(self, fn: Any) -> Self:
        """Call a function with each module as torch does, with the weights."""
        self._hand_out()
        super().apply(fn)
        return self

    def get_submodule(self, target: str) -> nn.Module:
        """Return a module as torch does. Parameters and buffers are found by name this way too."""
        self._hand_out()
        return super().get_submodule(target)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move or convert as torch does."""
        with self._walking():
            super()._apply(fn, recurse)
        return self
