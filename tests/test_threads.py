"""Work on several cores: the order of the items, errors, and what others find afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
from axlstm import threads
from axlstm.threads import Processes, ahead, count_cores, on_all_cores
from tests.seeded import audio


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_each_core_works_alone_and_results_keep_their_order() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def work(number: int) -> tuple[int, int, str]:
        if number < 3:
            meeting.wait()  # passes only if three threads are at work
        return number, torch.get_num_threads(), threading.current_thread().name

    done = on_all_cores(work, range(20))
    assert [number for number, _, _ in done] == list(range(20))
    assert {threads for _, threads, _ in done} == {1}
    assert len({name for _, _, name in done}) == 3
    seen: list[int] = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert [torch.get_num_threads(), *seen] == [3, 3]


@pytest.mark.usefixtures("three_threads")
def test_the_first_error_is_raised_and_the_rest_is_left_undone() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            raise ValueError("the first")
        time.sleep(0.005)
        done.append(number)

    with pytest.raises(ValueError, match="the first"):
        on_all_cores(work, range(1000))
    assert len(done) < 900


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_told_after_each_item_ends_the_work_by_an_exception(threads: int) -> None:
    before, begun, told = torch.get_num_threads(), list[int](), list[int]()

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(1e-4)

    def tell() -> None:
        told.append(len(told))
        if len(told) == 3:
            raise KeyboardInterrupt

    torch.set_num_threads(threads)
    try:
        with pytest.raises(KeyboardInterrupt):
            on_all_cores(work, range(10_000), tell)
        assert told == [0, 1, 2]
        assert len(begun) < 10_000
    finally:
        torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.usefixtures("three_threads")
def test_a_forked_process_has_threads_of_its_own() -> None:
    on_all_cores(abs, range(4))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, bytes(on_all_cores(abs, range(4))))
        os._exit(0)
    assert os.read(reading, 4) == bytes(range(4))
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_reading_ahead_stops_at_its_limit(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return number

    results = ahead(work, range(1000), lambda _: 10, limit=50)
    assert next(results)[0] == 0
    time.sleep(0.05)
    assert len(begun) <= 64
    for expected in range(1, 20):
        item, future = next(results)
        assert (item, future.result()) == (expected, expected)
        time.sleep(0.001)
    assert len(begun) <= 20 + 64
    results.close()
    count = len(begun)
    time.sleep(0.02)
    assert len(begun) == count
    torch.set_num_threads(before)


def test_errors_come_with_their_item() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    for item, future in ahead(work, range(5), lambda _: 1, limit=2):
        if item == 3:
            with pytest.raises(ValueError, match="three"):
                future.result()
        else:
            assert future.result() == item


@pytest.mark.usefixtures("three_threads")
def test_embeddings_do_not_depend_on_the_number_of_threads() -> None:
    embedder = axlstm.create_model("axlstm-tiny", depth=2, width=32, heads=2)
    clips = [audio(seconds, seed) for seed, seconds in enumerate((0.3, 2, 9.7, 1, 2, 2, 4.1))]
    several = embedder.embed_batch(clips, 16_000)
    torch.set_num_threads(1)
    for clip, out in zip(clips, several, strict=True):
        np.testing.assert_allclose(out.frames, embedder.embed(clip, 16_000).frames, atol=1e-4)


@pytest.mark.usefixtures("three_threads")
def test_items_of_unknown_size_are_not_all_begun() -> None:
    begun: list[int] = []
    results = ahead(lambda number: begun.append(number) or 100, range(1000), lambda size: size, limit=10)
    for count in range(1, 10):
        next(results)
        time.sleep(0.02)
        assert len(begun) <= count + 4  # one more than there are threads
    results.close()


@pytest.mark.usefixtures("three_threads")
def test_small_items_are_begun_while_their_consumer_is_busy() -> None:
    begun: list[int] = []
    results = ahead(lambda number: begun.append(number) or 1, range(1000), lambda size: size, limit=200)
    for _ in range(100):
        next(results)
    time.sleep(0.05)  # nobody asks for the next result, and three threads have work
    assert len(begun) >= 100 + 30
    results.close()


@pytest.mark.usefixtures("three_threads")
def test_threads_have_work_while_a_slow_item_comes_first() -> None:
    others = threading.Semaphore(0)

    def work(number: int) -> int:
        if number == 0:
            assert all(others.acquire(timeout=10) for _ in range(20))  # passes only if 20 others were begun
        others.release()
        return number

    assert [result.result() for _, result in ahead(work, range(40), lambda _: 1, limit=100)] == list(range(40))


LEFT_ALONE = """
import os, sys, time
from axlstm.threads import Processes

def work(seconds):
    os.write(1, b"at work\\n")
    time.sleep(seconds)

if __name__ == "__main__":
    processes = Processes(2, int)
    for _ in range(2):
        processes.submit(work, 600)
    time.sleep(600)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """The workers write to the pipe of their parent: it closes when the last of them has ended."""
    script = tmp_path / "script.py"
    script.write_text(LEFT_ALONE)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert [parent.stdout.readline() for _ in range(2)] == [b"at work\n"] * 2
        parent.kill()
        closed = threading.Event()
        reader = threading.Thread(target=lambda: (parent.stdout.read(), closed.set()), daemon=True)
        reader.start()
        assert closed.wait(30)


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A tree of cgroups, in which this process is in a/b."""
    own = tmp_path / "own"
    own.write_text("0::/a/b\n", encoding="utf-8")
    (tmp_path / "fs" / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr(threads, "_OWN_CGROUP", own)
    monkeypatch.setattr(threads, "_CGROUPS", tmp_path / "fs")
    threads._cgroup_cores.cache_clear()
    yield tmp_path / "fs"
    threads._cgroup_cores.cache_clear()


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(
    ("file", "content", "cores"),
    [
        ("a/b/cpu.max", "max 100000", 3),
        ("a/b/cpu.max", "150000 100000", 2),
        ("a/cpu.max", "100000 100000", 1),
        ("cpu.max", "20000 100000", 1),
        ("a/b/cpu.max", "damaged", 3),
        ("a/b/cpu.max", "900000 100000", 3),
    ],
)
def test_a_containers_quota_limits_the_cores(file: str, content: str, cores: int, cgroups: Path) -> None:
    (cgroups / file).write_text(content, encoding="ascii")
    assert count_cores() == cores


def test_an_older_kernels_quota_counts_too(cgroups: Path) -> None:
    (cgroups / "cpu").mkdir()
    (cgroups / "cpu" / "cpu.cfs_quota_us").write_text("100000", encoding="ascii")
    (cgroups / "cpu" / "cpu.cfs_period_us").write_text("100000", encoding="ascii")
    assert count_cores() == 1


@pytest.mark.parametrize(("told", "cores"), [("7", 7), ("5,2", 5), ("none", None), ("0", None)])
def test_openmps_variable_counts_where_there_is_no_torch(told: str, cores: int | None) -> None:
    code = (
        "import sys; from axlstm import threads; threads._cgroup_cores = lambda: None; "
        "print(threads.count_cores(), threads._physical_cores(), 'torch' in sys.modules)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": told}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    counted, physical, with_torch = done.stdout.split()
    assert with_torch == "False"
    assert int(counted) == (cores or int(physical))


@pytest.mark.skipif(sys.platform == "win32", reason="ends processes by a signal")
def test_a_worker_that_is_killed_while_it_starts_did_not_fail_to_start() -> None:
    processes = Processes(1, int)
    future = processes.submit(abs, -1)
    (child,) = processes.pool._processes.values()
    child.kill()  # long before it has imported anything
    assert isinstance(future.exception(), BrokenProcessPool)
    assert not processes.failed_to_start
    processes.end()


NESTED = """
import sys, threading
from axlstm.threads import on_all_cores

def outer(number):
    return {*on_all_cores(lambda _: threading.get_ident(), range(3)), threading.get_ident()}

print({len(threads) for threads in on_all_cores(outer, range(8))}, "torch" in sys.modules)
"""


def test_work_inside_of_shared_work_stays_in_its_thread_without_torch_too() -> None:
    """Else all threads would wait for work that none of them is left to do."""
    command, environment = [sys.executable, "-c", NESTED], os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["{1}", "False"], done.stderr
