"""Nothing in a pickle is ever executed."""

from __future__ import annotations

import argparse
import builtins
import collections
import contextlib
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest

from axlstm.checkpoints.inert_pickle import Record, read_inert, to_plain
from axlstm.errors import CheckpointError


class Call:
    """An object whose pickle calls a function of our choice."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple:
        return self.function, self.arguments


class CallWithState(Call):
    def __reduce__(self) -> tuple:
        return self.function, self.arguments, {"state": Call(os.system, "exit 1")}


def hostile(marker: Path) -> dict[str, bytes]:
    """Make pickles that would create ``marker`` if anything in them ran."""
    touch = f"touch {marker}"
    values = {
        "os.system": Call(os.system, touch),
        "eval": Call(builtins.eval, f"open({str(marker)!r}, 'w')"),
        "exec": Call(builtins.exec, f"open({str(marker)!r}, 'w')"),
        "open": Call(builtins.open, str(marker), "w"),
        "Popen": Call(subprocess.Popen, ["touch", str(marker)]),
        "getattr": Call(builtins.getattr, Call(builtins.__import__, "os"), "system"),
        "with state": CallWithState(os.system, touch),
        "as a key": {("key", 1): {"deep": [Call(os.system, touch)]}},
    }
    pickles = {f"{name}, protocol {p}": pickle.dumps(value, p) for name, value in values.items() for p in (0, 2, 4, 5)}
    pickles["by hand: INST"] = f"(S'{touch}'\nios\nsystem\n.".encode()
    pickles["by hand: OBJ"] = f"(cos\nsystem\nS'{touch}'\no.".encode()
    pickles["by hand: BUILD on a global"] = b"cos\nsystem\n}S'x'\nS'y'\nsb." + f"S'{touch}'\n.".encode()
    pickles["by hand: BUILD replaces a method"] = (
        f"carg\nN\n(N}}S'__setstate__'\ncos\nsystem\nstb0carg\nN\n)\x81S'{touch}'\nb.".encode("latin1")
    )
    return pickles


@pytest.mark.parametrize("kind", hostile(Path("marker")))
def test_hostile_pickles_run_nothing(kind: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    content = hostile(marker)[kind]
    with contextlib.suppress(CheckpointError):  # refused, or read inertly
        to_plain(read_inert(content, "hostile.pth"), "hostile.pth")
    assert not marker.exists()


def test_one_pickle_cannot_change_how_the_next_is_read() -> None:
    poison = b"carg\nN\n(N}S'kind'\nS'poisoned'\nstb."
    for _ in range(2):
        with contextlib.suppress(CheckpointError):
            read_inert(poison, "poison")
    record = read_inert(b"carg\nN\n)\x81.", "next")
    assert record.kind == "arg.N"


def test_known_and_unknown_classes_become_records() -> None:
    namespace = argparse.Namespace(lr=0.1, names=["a", "b"], nested=argparse.Namespace(deep=(1, 2)))
    value = read_inert(pickle.dumps({"args": namespace, "ordered": collections.OrderedDict(a=1)}), "run")
    assert isinstance(value["args"], Record)
    assert value["args"].kind == "argparse.Namespace"
    assert to_plain(value, "run") == {
        "args": {"lr": 0.1, "names": ["a", "b"], "nested": {"deep": [1, 2]}},
        "ordered": {"a": 1},
    }


def test_what_json_has_no_form_for_becomes_text() -> None:
    assert to_plain({"x": 1 + 2j, 3: {4}, "none": None}, "run") == {"x": "(1+2j)", "3": [4], "none": None}


def test_containers_without_bound_are_refused() -> None:
    loop: list = []
    loop.append(loop)
    with pytest.raises(CheckpointError, match="loop: its objects contain themselves"):
        to_plain(read_inert(pickle.dumps(loop), "loop"), "loop")
    level: list = [0] * 10
    for _ in range(12):  # a trillion numbers, in a kilobyte
        level = [level] * 10
    with pytest.raises(CheckpointError, match=r"laughs: its objects .* without bound"):
        to_plain(read_inert(pickle.dumps(level), "laughs"), "laughs")


def test_texts_and_numbers_without_bound_are_refused() -> None:
    text = "x" * 100_000
    with pytest.raises(CheckpointError, match=r"texts: its objects .* without bound"):  # a gigabyte
        to_plain(read_inert(pickle.dumps([text] * 10_000), "texts"), "texts")
    with pytest.raises(CheckpointError, match="number: a whole number of more than 64 bits"):
        to_plain(read_inert(pickle.dumps(10**5000), "number"), "number")


def nested_tuples(depth: int, width: int) -> tuple:
    value: tuple = ()
    for _ in range(depth):
        value = (value,) * width
    return value


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(("depth", "width"), [(500, 2), (60, 3), (40, 4)])
def test_tuples_without_bound_are_never_hashed(depth: int, width: int, protocol: int) -> None:
    """Hashing them as keys of a dictionary would take for ever."""
    value = nested_tuples(depth, width)
    content = pickle.dumps([value, value], protocol).replace(b"]", b"}", 1)  # a dictionary in place of the list
    with pytest.raises(CheckpointError, match=r"keys\.pth: not a pickle .*nested without bound"):
        read_inert(content, "keys.pth")


def test_deep_tuples_do_not_end_the_process() -> None:
    """Hashing a million nested tuples overflows the C stack."""
    with pytest.raises(CheckpointError, match="nested without bound"):
        read_inert(b"}" + b")" + b"\x85" * 1_000_000 + b"Ns.", "deep.pth")
    with pytest.raises(CheckpointError, match="nested without bound"):
        read_inert(b"})" + b"2\x86" * 40 + b"Ns.", "doubled.pth")


def test_persistent_ids_hide_no_nested_tuples() -> None:
    """As a key of a dictionary, an id is hashed by its identity, never with the tuples that it holds."""
    ((key, _),) = read_inert(b"})" + b"2\x86Q" * 18 + b"Ns.", "ids.pth").items()
    assert isinstance(key, Record)


def test_tuples_as_a_run_has_them_are_read() -> None:
    value = {"betas": (0.9, 0.95), ("a", ("b", 1)): tuple(range(100_000)), "nested": nested_tuples(100, 1)}
    for protocol in range(6):
        assert read_inert(pickle.dumps(value, protocol), "run") == value


MUCH = (2**31).to_bytes(4, "little")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        b"\x80\x02}q\x00(X",
        b"\x80\xff.",
        b"\x80\x04Nr" + MUCH + b".",
        b"\x80\x05\x96" + MUCH * 2 + b".",
    ],
)
def test_broken_pickles_are_named(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"broken\.pth: not a pickle"):
        read_inert(content, "broken.pth")
