import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from model.inference.cpu_threads import run_each, usable_cpus


def tiles(count):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),  # half a CPU is still one thread
        ({"cpu.max": "99900000 100000\n"}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_control_groups_quota_counts(tmp_path, monkeypatch, files, cpus):
    """In either version of control groups; without a quota all that the scheduler allows count, here three."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert usable_cpus(tmp_path) == (cpus or 3)


def whole(x):
    """Return tiles as a network would that changes nothing."""
    return x, torch.ones(len(x), dtype=torch.bool)


@pytest.fixture
def usual():
    """The process's own number of threads, which no test may change."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_tiles_run_side_by_side_come_back_in_order(usual):
    batch = tiles(7)
    restored, first = run_each(lambda x: (255 - x, x[:, 0, 0, 0] > 100), torch.from_numpy(batch), 3, usual)
    assert np.array_equal(restored.numpy(), 255 - batch)
    assert np.array_equal(first.numpy(), batch[:, 0, 0, 0] > 100)


@pytest.mark.parametrize(("count", "threads"), [(1, 4), (2, 2), (3, 1), (4, 1)])
def test_each_tile_has_its_part_of_the_threads(usual, count, threads):
    """All are under way at once, and a single one runs in the caller's thread."""
    meeting = threading.Barrier(count, timeout=30)
    seen = []

    def function(x):
        meeting.wait()
        seen.append((threading.current_thread(), torch.get_num_threads(), torch.is_inference_mode_enabled(), len(x)))
        return whole(x)

    run_each(function, torch.from_numpy(tiles(count)), 4, usual)
    callers = {thread for thread, *_ in seen}
    assert len(callers) == count
    assert (threading.current_thread() in callers) == (count == 1)
    assert [rest for _, *rest in seen] == [[threads, True, 1]] * count
    assert torch.get_num_threads() == usual
    assert not torch.is_inference_mode_enabled()


def test_more_tiles_than_threads_wait_for_each_other(usual):
    lock, running, together = threading.Lock(), [], []

    def function(x):
        with lock:
            running.append(torch.get_num_threads())
            together.append(sum(running))
        result = 255 - x
        with lock:
            running.pop()
        return whole(result)

    batch = tiles(60)
    assert np.array_equal(run_each(function, torch.from_numpy(batch), 3, usual)[0].numpy(), 255 - batch)
    assert max(together) <= 3


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_is_raised_when_no_tile_is_under_way_any_more(usual, threads):
    under_way, lock = [], threading.Lock()

    def function(x):
        with lock:
            under_way.append(x)
        try:
            if x[0, 0, 0, 0] == 0:
                raise MemoryError("no room")
            time.sleep(0.01)
            return whole(x)
        finally:
            with lock:
                under_way.pop()

    batch = np.ones((5, 8, 8, 3), np.uint8)
    batch[0] = 0
    with pytest.raises(MemoryError):
        run_each(function, torch.from_numpy(batch), threads, usual)
    assert not under_way
    assert torch.get_num_threads() == usual


def test_new_threads_get_the_usual_number_afterwards(usual):
    """PyTorch gives a new thread the number that any thread has set last."""
    run_each(whole, torch.from_numpy(tiles(3)), 3, usual)
    with ThreadPoolExecutor(1) as caller:
        assert caller.submit(torch.get_num_threads).result(30) == usual


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_freed_memory_is_kept():
    """Sixteen tensors of a megabyte, made and freed twenty times, cost their 4,096 page faults once, not each time."""
    program = """
import resource, sys, torch
from model.inference.cpu_threads import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(20):
    [torch.ones(2**18) for _ in range(16)]
print(faults() - before)
"""

    def count(mode):
        # Without a fixed threshold glibc's own depends on how the memory happens to lie.
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
        command = [sys.executable, "-c", program, mode]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)

    assert count("keep") < 20_000 < 80_000 < count("leave")
