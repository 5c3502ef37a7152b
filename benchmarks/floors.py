"""Measure the rates of a device, and the least time that counted operations and bytes can take on it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from axlstm.devices import DTYPES
from axlstm.mlstm.triton_tiles import chunk_of
from axlstm.options import Precision
from axlstm.training.meter import peak_flops

# Bytes of device memory per second, from NVIDIA's data sheets.
_BANDWIDTHS = {"H200": 4.8e12, "H100 NVL": 3.9e12, "H100 PCIe": 2.0e12, "H100": 3.35e12, "A100": 2.0e12, "L4": 0.3e12}


@dataclass(frozen=True)
class Rates:
    """Operations and bytes per second, and the source of the two numbers."""

    operations: float
    bytes: float
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Work:
    """Floating-point operations, and bytes that have to be read or written once."""

    operations: float
    bytes: float

    def floor(self, rates: Rates) -> float:
        """Return the least seconds: arithmetic or memory, whichever takes longer, as if they overlapped fully."""
        return max(self.operations / rates.operations, self.bytes / rates.bytes)


def find_rates(device: torch.device, precision: Precision, small: bool = False) -> Rates:
    """Return a device's rates from its data sheet, or measure them with a matrix product and a copy."""
    known = peak_flops(device, precision, tf32=True)
    if device.type == "cuda" and known is not None:
        name = torch.cuda.get_device_name(device)
        bandwidth = next((rate for part, rate in _BANDWIDTHS.items() if part in name), None)
        if bandwidth is not None:
            return Rates(known, bandwidth, f"data sheet of {name}")
    side = 512 if small else 8192 if device.type == "cuda" else 2048
    a = torch.randn(side, side, device=device, dtype=DTYPES[precision])
    b = torch.randn(side, side, device=device, dtype=DTYPES[precision])
    product = _best(lambda: a @ b, device)
    copy = _best(lambda: a.copy_(b), device)
    return Rates(2 * side**3 / product, 2 * a.numel() * a.itemsize / copy, f"measured, {side} x {side}")


def cell_work(batch: int, heads: int, steps: int, width: int, number_bytes: int, gradients: bool) -> Work:
    """Count the mLSTM as `axlstm.mlstm.triton` computes it; causal products count half.

    All pairs: 2 products forward and 5 backward (of q k^T, C v; d_h v^T, and those for q, k and v) of
    DH S (S + 1) operations. In chunks of L the pairs are those inside chunks; states take 4 DH^2 a step forward
    (made, used), 10 DH^2 backward (made twice, used three times). Bytes: q, k, v and h once forward; with
    gradients those again, and four more; states written and read.
    """
    chunk = chunk_of(steps, width)
    pairs = steps * (chunk + 1) if chunk else steps * (steps + 1)
    states = steps * width * width if chunk else 0
    operations = (2 + 5 * gradients) * width * pairs + (4 + 10 * gradients) * states
    tensors = (4 + 9 * gradients) * steps * width * number_bytes
    gates = (2 + 4 * gradients) * 4 * steps
    kept = (2 + 4 * gradients) * (steps // chunk) * width * width * number_bytes if chunk else 0
    return Work(batch * heads * operations, batch * heads * (tensors + gates + kept))


def _best(run: Any, device: torch.device, times: int = 10) -> float:
    seconds = []
    for _ in range(times + 2):
        synchronise(device)
        begin = time.perf_counter()
        run()
        synchronise(device)
        seconds.append(time.perf_counter() - begin)
    return min(seconds[2:])


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
