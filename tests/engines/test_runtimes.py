"""Runtimes that several threads call."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

TOGETHER = """
import sys, threading
from axlstm.engines.runtimes import openvino_core
from openvino import Type

openvino_core()
sys.setswitchinterval(1e-6)
together = threading.Barrier(4)

def ask():
    together.wait()
    Type.f32.to_dtype()

threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs OpenVINO")
def test_the_first_calls_of_threads_do_not_wait_for_each_other() -> None:
    """Each call of a compiled graph asks for the types of arrays."""
    done = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "done", done.stderr


def test_openvinos_converter_is_there_when_it_is_called() -> None:
    code = (
        "import sys; from axlstm.engines.runtimes import import_openvino\n"
        "openvino = import_openvino()\n"
        "assert 'openvino.tools.ovc' not in sys.modules\n"
        "try: openvino.convert_model('missing.onnx')\n"
        "except Exception as error: print(type(error).__module__, 'openvino_telemetry' in sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip().endswith("False")
    assert told.startswith("openvino")
