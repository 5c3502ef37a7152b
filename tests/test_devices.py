"""Names of devices and precisions: what there is, and what is told where there is not."""

from __future__ import annotations

import pytest
import torch

from axlstm.devices import find_device, find_dtype, find_precision
from axlstm.errors import ConfigError
from axlstm.evaluate.probes.batched import Compute
from axlstm.training.world import joined_world


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)


@pytest.mark.usefixtures("two_gpus")
def test_auto_takes_an_accelerator() -> None:
    assert find_device("auto") == torch.device("cuda")
    assert find_device("auto", ("cpu",)) == torch.device("cpu")
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ConfigError, match="device='cuda:2': this machine has 2 CUDA devices"):
        find_device("cuda:2")


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_cpu_without_one() -> None:
    assert find_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="device='cuda' is not there: this machine has cpu"):
        find_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta"])
def test_no_such_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"device='{name}': expected auto, cpu, mps, cuda or cuda:N"):
        find_device(name)


@pytest.mark.usefixtures("no_gpu")
def test_probes_and_pretraining_say_so_before_they_start() -> None:
    with pytest.raises(ConfigError, match="device='cuda' is not there"):
        Compute(device="cuda")
    with pytest.raises(ConfigError, match="device='mps': expected auto, cpu, cuda"):
        Compute(device="mps")
    with pytest.raises(ConfigError, match=r"hardware\.device='cuda' is not there"), joined_world("cuda"):
        pass


@pytest.mark.usefixtures("two_gpus")
def test_a_process_takes_the_device_of_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    with joined_world("cuda") as world:
        assert world.device == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match="process on='cuda:2': this machine has 2 CUDA devices"), joined_world("cuda"):
        pass


def test_dtypes() -> None:
    assert find_dtype("bfloat16") == find_dtype(torch.bfloat16) == torch.bfloat16
    with pytest.raises(ConfigError, match="dtype='int8': expected one of float32, bfloat16, float16"):
        find_dtype("int8")


@pytest.mark.parametrize("units", [True, False])
def test_training_takes_the_precision_that_fits_the_device(units: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: units, raising=False)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert find_precision("auto", cpu) == ("bfloat16" if units else "float32")
    assert find_precision("auto", gpu) == find_precision("float16", gpu) == "float16"
    assert find_precision("bfloat16", cpu) == "bfloat16"
    with pytest.raises(ConfigError, match=r"hardware\.precision='float16'.* expected auto, float32 or bfloat16"):
        find_precision("float16", cpu)
