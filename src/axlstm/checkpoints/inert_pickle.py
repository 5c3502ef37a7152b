"""Reading a pickle without running anything that is in it.

Nothing outside this module is ever called or constructed: every class or function that a pickle names
becomes an inert record that keeps its name, its arguments and its state. What can come out is records and
Python's plain containers, numbers and strings.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

from axlstm.errors import CheckpointError

_MOST_NODES = 1_000_000  # objects in a pickle, shared ones counted each time: nested sharing grows without bound


class Record:
    """What a pickled object became: its kind as ``module.name``, arguments, state, items and elements."""

    kind = "object"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs
        self.state: Any = None
        self.items: dict[Any, Any] = {}
        self.elements: list[Any] = []

    def __new__(cls, *args: Any, **kwargs: Any) -> Record:
        # A pickle may create an object without ever calling __init__.
        self = super().__new__(cls)
        cls.__init__(self, *args, **kwargs)
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        self.elements.append(value)

    def __repr__(self) -> str:
        return f"<inert {self.kind}>"


class Reference:
    """Something the pickle refers to outside itself: its persistent id."""

    def __init__(self, key: Any) -> None:
        self.key = key


def check_size(data: bytes) -> None:
    """Refuse a pickle that asks for more memory than it has bytes for: for its memo, or for strings that it lacks.

    Raises:
        ValueError: such a pickle, or a broken one.
    """
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(data):
            raise ValueError(f"object number {argument} in {len(data)} bytes")


class _InertUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._kinds: dict[str, type[Record]] = {}

    def find_class(self, module: str, name: str) -> type[Record]:
        # Classes of this one pickle: whatever it does to them ends with it.
        kind = f"{module}.{name}"
        return self._kinds.setdefault(kind, type(str(name), (Record,), {"kind": kind}))

    def persistent_load(self, pid: Any) -> Reference:
        return Reference(pid)


def read_inert(content: bytes, source: str) -> Any:
    """The content of a pickle, with `Record` in place of every object that is not a plain Python value.

    Raises:
        CheckpointError: not a pickle, or one that asks for something no record can stand for.
    """
    try:
        check_size(content)
        return _InertUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # a broken pickle can raise anything
        raise CheckpointError(f"{source}: not a pickle that can be read safely ({error})") from error


def to_plain(value: Any, leaf: Callable[[Any], Any] = str) -> Any:
    """Records as dictionaries, so that the result can be written as JSON.

    A record whose state is a dictionary becomes that dictionary (a ConfigDict's own bookkeeping left out),
    any other ``{"kind", "args", "state"}``; what JSON has no form for becomes ``leaf(value)``.

    Raises:
        CheckpointError: containers that hold themselves, or that would unfold beyond all bounds.
    """
    nodes = 0

    def convert(item: Any, inside: frozenset[int]) -> Any:
        nonlocal nodes
        nodes += 1
        if nodes > _MOST_NODES or id(item) in inside:
            raise CheckpointError("a pickle whose objects contain themselves, or are nested without bound")
        if item is None or isinstance(item, (bool, int, float, str)):
            return item
        inside = inside | {id(item)}
        if isinstance(item, Record):
            state = item.items or item.state
            if isinstance(state, dict):
                return convert(state.get("_fields", state), inside)
            if item.elements:
                return convert(item.elements, inside)
            return {
                "kind": item.kind,
                "args": convert(list(item.args), inside),
                "state": convert(state, inside),
            }
        if isinstance(item, dict):
            return {str(key): convert(entry, inside) for key, entry in item.items()}
        if isinstance(item, (list, tuple, set, frozenset)):
            return [convert(entry, inside) for entry in item]
        return leaf(item)

    try:
        return convert(value, frozenset())
    except RecursionError as error:
        raise CheckpointError("a pickle whose objects are nested too deeply") from error
