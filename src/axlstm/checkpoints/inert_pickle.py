"""Read a pickle without running anything that is in it.

Nothing outside this module is called or constructed. Every class or function that a pickle names becomes an inert
record of its name, arguments and state. The result holds records and Python's plain containers, numbers and texts.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

from axlstm.errors import CheckpointError, first_line

_MOST_TUPLES = 10_000  # within one
_MOST_NODES = 1_000_000  # objects in a pickle, shared ones counted each time: nested sharing grows without bound
_NODE_CHARACTERS = 100  # of a text that count as one object


class Record:
    """The inert form of a pickled object: its kind as ``module.name``, arguments, state, items and elements."""

    kind = "object"
    args: tuple[Any, ...]
    state: Any
    items: dict[Any, Any]
    elements: list[Any]

    def __new__(cls, *args: Any, **_: Any) -> Record:  # a pickle may create an object without calling __init__
        self = super().__new__(cls)
        self.args, self.state, self.items, self.elements = args, None, {}, []
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        self.elements.append(value)

    def __repr__(self) -> str:
        return f"<inert {self.kind}>"


def check_size(data: bytes) -> None:
    """Refuse a pickle that would take more memory or time than its bytes justify.

    Such pickles number an object above their own size, announce strings that they lack, or nest tuples: as a key of
    a dictionary, a tuple is hashed with all that it unfolds to, on the C stack.

    Raises:
        ValueError: such a pickle, or a broken one.
    """
    marker = -1
    stack: list[int] = []  # of each object, the tuples that it unfolds to
    memo: dict[int, int] = {}
    for opcode, argument, _ in pickletools.genops(data):
        name, before, after = opcode.name, opcode.stack_before, opcode.stack_after
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            index = len(memo) if name == "MEMOIZE" else int(argument or 0)
            if index > len(data):
                raise ValueError(f"object number {index} in {len(data)} bytes")
            memo[index] = stack[-1]
            continue
        taken: list[int] = []
        if pickletools.markobject in before:
            while (top := stack.pop()) != marker:
                taken.append(top)
            before = before[: before.index(pickletools.markobject)]
        if before:
            taken += stack[-len(before) :]
            del stack[-len(before) :]
        if name == "DUP":
            stack += taken * 2
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument or 0)])
        elif name.startswith("TUPLE") or name == "FROZENSET":
            stack.append(1 + sum(taken))
            if stack[-1] > _MOST_TUPLES:
                raise ValueError("tuples that are nested without bound")
        else:
            stack += [marker if kind is pickletools.markobject else 0 for kind in after]


class _InertUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._kinds: dict[str, type[Record]] = {}

    def find_class(self, module: str, name: str) -> type[Record]:
        # The classes belong to this pickle alone, so that it cannot change how the next one is read.
        kind = f"{module}.{name}"
        return self._kinds.setdefault(kind, type(str(name), (Record,), {"kind": kind}))

    def persistent_load(self, pid: Any) -> Record:
        return Record(pid)  # not the bare id: a tuple behind it would escape the count of nested tuples


def read_inert(content: bytes, source: str) -> Any:
    """Read a pickle, with a `Record` in place of every object that is not a plain Python value.

    Raises:
        CheckpointError: ``content`` is no pickle, or asks for something that no record can stand for.
    """
    try:
        check_size(content)
        return _InertUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # a broken pickle can raise anything
        raise CheckpointError(f"{source}: not a pickle that can be read safely ({first_line(error)})") from error


def to_plain(value: Any, source: str) -> Any:
    """Turn records into dictionaries, so that the result can be written as JSON.

    A record whose state is a dictionary becomes that dictionary, without a ConfigDict's own bookkeeping. Any other
    record becomes ``{"kind", "args", "state"}``. Values that JSON has no form for become texts.

    Raises:
        CheckpointError: containers hold themselves, or would unfold beyond all bounds.
    """
    nodes = 0

    def convert(item: Any, inside: frozenset[int]) -> Any:
        nonlocal nodes
        nodes += 1 + len(item) // _NODE_CHARACTERS if isinstance(item, (str, bytes, bytearray)) else 1
        if nodes > _MOST_NODES or id(item) in inside:
            raise CheckpointError(f"{source}: its objects contain themselves, or are nested without bound")
        if isinstance(item, int) and item.bit_length() > 64:
            raise CheckpointError(f"{source}: a whole number of more than 64 bits")
        if item is None or isinstance(item, (int, float, str)):
            return item
        inside = inside | {id(item)}
        if isinstance(item, Record):
            state = item.items or item.state
            if isinstance(state, dict):
                return convert(state.get("_fields", state), inside)
            if item.elements:
                return convert(item.elements, inside)
            return {"kind": item.kind, "args": convert(list(item.args), inside), "state": convert(state, inside)}
        if isinstance(item, dict):
            return {str(convert(key, inside)): convert(entry, inside) for key, entry in item.items()}
        if isinstance(item, (list, tuple, set, frozenset)):
            return [convert(entry, inside) for entry in item]
        return str(item)

    try:
        return convert(value, frozenset())
    except RecursionError as error:
        raise CheckpointError(f"{source}: its objects are nested too deeply") from error
