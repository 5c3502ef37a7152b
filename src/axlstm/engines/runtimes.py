"""Open ONNX Runtime and OpenVINO by one function; neither is imported before it is used, and torch never is."""

from __future__ import annotations

import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, get_args
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import ConfigError
from axlstm.options import Runtime
from axlstm.threads import ForkLock

ENGINES: tuple[Runtime, ...] = get_args(Runtime)
EXTRAS: Mapping[Runtime, str] = {"onnxruntime": "onnx", "openvino": "openvino"}
PRECISIONS: Mapping[Runtime, tuple[str, ...]] = {"onnxruntime": ("float32",), "openvino": ("float32", "bfloat16")}

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class Session(NamedTuple):
    """A model that is ready to run: arrays in, arrays out, from any thread; and the metadata in its file."""

    run: Callable[..., list[NDArray[np.float32]]]
    metadata: dict[str, str]


_TELEMETRY, _CONVERTER = "openvino_telemetry", "openvino.tools.ovc"
_importing = ForkLock()


def import_openvino(name: str = "openvino") -> Any:
    """Import OpenVINO, or a module of it, without its telemetry, which reports each import over the network.

    Its converter takes longer to import than all else; ``openvino.convert_model`` brings it when it is called.
    """
    with _importing:
        if "openvino" not in sys.modules:
            with _left_out(_TELEMETRY, _CONVERTER):
                import_module("openvino").convert_model = _convert_model  # type: ignore[attr-defined]
        return import_module(name)


@contextmanager
def _left_out(*names: str) -> Iterator[None]:
    """Let imports of these modules fail, where they are not there yet."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


def _convert_model(*arguments: Any, **options: Any) -> Any:
    with _importing, _left_out(_TELEMETRY):
        converter = import_module(_CONVERTER)
    return converter.convert_model(*arguments, **options)


_FORKED = (
    "OpenVINO cannot compute in a process that was forked from one that had loaded it, whose threads are not there: "
    'start processes by multiprocessing.get_context("spawn")'
)
_FORKED_SESSION = (
    "engine='onnxruntime' cannot compute in a process that was forked after it was loaded: load it in that process, or "
    'start processes by multiprocessing.get_context("spawn")'
)

_core: list[Any] = []
_making_core = ForkLock()
_is_fork_of_openvino = False


def openvino_core() -> Any:
    """Return the core of OpenVINO of this process, which is never let go of.

    A core puts an alternate signal stack in the place of the one that is there, and that one back when it ends. Where
    several end in another order than they began in, that is memory which is gone, and the next signal ends the
    process.

    Raises:
        ConfigError: in a fork of a process that had OpenVINO.
    """
    refuse_fork_of_openvino()
    with _making_core:
        if not _core:
            openvino = import_openvino()
            openvino.Type.f32.to_dtype()  # two threads whose first call this is would wait for each other for good
            _core.append(openvino.Core())
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(_core[0]))  # not at the end of the interpreter either
        return _core[0]


def refuse_fork_of_openvino() -> None:
    """Refuse to compute in OpenVINO in a fork of a process that had it.

    Raises:
        ConfigError: this is one.
    """
    if _is_fork_of_openvino:
        raise ConfigError(_FORKED)


def is_fork_of_openvino() -> bool:
    """Tell whether this process was forked from one that had OpenVINO, which cannot compute here then."""
    return _is_fork_of_openvino


def is_installed(name: str) -> bool:
    """Tell whether an engine's library is installed; torch in processes needs none."""
    return name == "processes" or find_spec(name) is not None


def check_engine(name: str, precision: str = "float32") -> Runtime:
    """Return the engine of that name, if it is installed and computes in ``precision``.

    Raises:
        ConfigError: it does not exist (those that do are listed, with what is missing), is not installed, or does
            not compute in that precision.
    """
    engine = next((engine for engine in ENGINES if engine == name), None)
    if engine is None:
        raise ConfigError(
            f"engine={name!r}: expected one of {', '.join(map(_state, ENGINES))}; an Embedder takes "
            "'processes' too, and None for torch"
        )
    if find_spec(engine) is None:
        raise ConfigError(f"engine={name!r} is not installed: {_command(engine)}")
    if precision not in PRECISIONS[engine]:
        raise ConfigError(f"engine={name!r} computes in {' or '.join(PRECISIONS[engine])}, not in {precision}")
    return engine


def open_session(
    model: str | Path | bytes, engine: Runtime, *, precision: str = "float32", threads: int = 1, callers: int = 1
) -> Session:
    """Compile a model file (.onnx, or .xml with its .bin), or the bytes of an ONNX model, with an engine.

    Args:
        threads: how many compute in all.
        callers: how many threads will call at the same time; they share ``threads``.
    """
    compile_model = {"onnxruntime": _onnxruntime, "openvino": _openvino}[engine]
    return compile_model(model, precision, threads, callers)


def _onnxruntime(model: str | Path | bytes, precision: str, threads: int, callers: int) -> Session:
    del precision  # float32 is all there is
    onnxruntime = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads // callers)
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names, parent = [given.name for given in session.get_inputs()], os.getpid()

    def run(*arrays: NDArray[Any]) -> list[NDArray[np.float32]]:
        if options.intra_op_num_threads > 1 and os.getpid() != parent:  # with one, the caller computes
            raise ConfigError(_FORKED_SESSION)
        return list(session.run(None, dict(zip(names, arrays, strict=True))))

    return Session(run, dict(session.get_modelmeta().custom_metadata_map))


def _openvino(model: str | Path | bytes, precision: str, threads: int, callers: int) -> Session:
    core = openvino_core()
    graph = core.read_model(model if isinstance(model, bytes) else str(model))
    compiled = core.compile_model(graph, "CPU", openvino_settings(precision, threads, callers))
    return serve_openvino(compiled, _openvino_metadata(graph))


def openvino_settings(precision: str, threads: int, callers: int) -> dict[str, Any]:
    """Give OpenVINO's names to a precision, and to the threads that compute for so many callers.

    Threads are not tied to cores: those of two processes would be tied to the same ones, and take turns there.
    """
    return {
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": callers,
    }


def serve_openvino(compiled: Any, metadata: dict[str, str] | None = None) -> Session:
    """Make a session of a compiled graph."""
    parent, serving = os.getpid(), _Serving(compiled)
    _all_serving.add(serving)

    def run(*arrays: NDArray[Any]) -> list[NDArray[np.float32]]:
        if os.getpid() != parent:
            raise ConfigError(_FORKED)
        try:
            request = serving.idle.pop()
        except IndexError:
            request = compiled.create_infer_request()
        try:
            results = request.infer(list(arrays), share_inputs=True, share_outputs=True)
            return [np.array(results[output]) for output in compiled.outputs]
        finally:
            serving.idle.append(request)

    return Session(run, metadata or {})


class _Serving:
    """A compiled graph, with the requests that wait for a call. A request serves one call at a time.

    No thread owns them: a fork ends what threads own, and their end waits for threads that a fork does not have.
    """

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.idle: deque[Any] = deque()


_all_serving: WeakSet[_Serving] = WeakSet()


def _after_fork() -> None:
    """Keep in a fork what its parent computes with, beyond the end of the interpreter: its end would hang."""
    global _is_fork_of_openvino
    _is_fork_of_openvino = _is_fork_of_openvino or "openvino" in sys.modules
    for serving in _all_serving:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(serving))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _openvino_metadata(graph: Any) -> dict[str, str]:
    for section in ("axlstm", "framework"):  # of an .xml file; of an ONNX model, as OpenVINO reads it
        if graph.has_rt_info([section]):
            return {key: str(value) for key, value in graph.get_rt_info([section]).value.items()}
    return {}


def _state(engine: Runtime) -> str:
    return f"{engine} (installed)" if find_spec(engine) else f"{engine} (missing: {_command(engine)})"


def _command(engine: Runtime) -> str:
    return f'pip install "axlstm[{EXTRAS[engine]}]"'
