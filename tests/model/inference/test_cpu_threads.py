import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from model.inference.cpu_threads import SideBySide, usable_cpus


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


def test_tiles_run_side_by_side_come_back_in_order():
    batch = tiles(7)
    result = SideBySide(3).run(lambda x: (255 - x, x[:, 0, 0, 0] > 100), batch)
    assert np.array_equal(result[0].numpy(), 255 - batch)
    assert np.array_equal(result[1].numpy(), batch[:, 0, 0, 0] > 100)


@pytest.mark.parametrize(("count", "threads"), [(1, 4), (2, 2), (3, 1), (4, 1)])
def test_each_tile_has_its_share_of_the_threads(count, threads):
    """All tiles of a call are under way at once; the caller's own number of threads stays."""
    meeting = threading.Barrier(count, timeout=30)
    seen = []

    def function(x):
        meeting.wait()
        seen.append((threading.current_thread(), torch.get_num_threads(), torch.is_inference_mode_enabled(), len(x)))
        return whole(x)

    before = torch.get_num_threads()
    SideBySide(4).run(function, tiles(count))
    assert len({thread for thread, *_ in seen}) == count
    assert [rest for _, *rest in seen] == [[threads, True, 1]] * count
    assert torch.get_num_threads() == before


def test_two_callers_share_the_threads_and_get_their_own_pixels():
    """Sixty tiles of either, which at no time have more than the three threads there are."""
    lock, running, together = threading.Lock(), [], []

    def function(x):
        with lock:
            running.append(torch.get_num_threads())
            together.append(sum(running))
        result = 255 - x
        with lock:
            running.remove(torch.get_num_threads())
        return result, torch.ones(len(x), dtype=torch.bool)

    subject, batch = SideBySide(3), tiles(60)
    with ThreadPoolExecutor(2) as callers:
        singly = callers.submit(lambda: [subject.run(function, tile[None])[0].numpy() for tile in batch])
        at_once = callers.submit(subject.run, function, batch)
        assert np.array_equal(np.concatenate(singly.result(30)), 255 - batch)
        assert np.array_equal(at_once.result(30)[0].numpy(), 255 - batch)
    assert max(together) <= 3


def test_who_comes_while_a_tile_has_all_threads_waits_and_takes_its_share():
    """Else two callers would go on to take all threads in turns. Only the second tile that is alone has them all again.

    Who has them all has them in the same thread: one that has led a team keeps it, and there should be few. Who has
    one has the caller's.
    """
    started, go = threading.Semaphore(0), threading.Semaphore(0)
    seen = []

    def function(x):
        seen.append((threading.current_thread(), torch.get_num_threads()))
        started.release()
        assert go.acquire(timeout=30)
        return whole(x)

    subject = SideBySide(2)
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(subject.run, function, tiles(1))
        assert started.acquire(timeout=30)
        second = callers.submit(subject.run, function, tiles(1))
        while subject._crowd < 2:
            assert not first.done()
        assert len(seen) == 1
        go.release(2)
        first.result(30)
        second.result(30)
        for _ in range(2):
            go.release()
            subject.run(function, tiles(1))
    assert [threads for _, threads in seen] == [2, 1, 1, 2]
    leaders = [thread.name for thread, _ in seen]
    assert leaders[0] == leaders[3] == "tile-0_0"
    assert leaders[2] == threading.current_thread().name


def test_a_failure_is_raised_when_no_tile_is_under_way_any_more():
    """And it takes no threads with it: the next tile but one has them all."""
    finished = []

    def function(x):
        if x[0, 0, 0, 0] == 0:
            raise MemoryError("no room")
        finished.append(torch.get_num_threads())
        return whole(x)

    batch = np.ones((5, 8, 8, 3), np.uint8)
    batch[0] = 0
    subject = SideBySide(2)
    with pytest.raises(MemoryError):
        subject.run(function, batch)
    assert len(finished) == 4
    for _ in range(2):
        subject.run(function, batch[1:2])
    assert finished[4:] == [1, 2]


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


def test_an_express_tile_waits_for_nobody():
    """It has one thread, while others have all there are; and they get theirs back as if it had not been."""
    started, go = threading.Semaphore(0), threading.Event()
    seen = []

    def function(x):
        seen.append(torch.get_num_threads())
        if x[0, 0, 0, 0]:
            started.release()
            assert go.wait(30)
        return whole(x)

    subject, ones = SideBySide(2), np.ones((2, 8, 8, 3), np.uint8)
    with ThreadPoolExecutor(1) as caller:
        busy = caller.submit(subject.run, function, ones)
        for _ in range(2):
            assert started.acquire(timeout=30)
        restored, finite = subject.run(function, 0 * ones[:1], express=True)
        assert not restored.any()
        assert finite.all()
        assert not busy.done()
        go.set()
        busy.result(30)
    subject.run(function, ones)
    subject.run(function, ones[:1])  # the crowd is remembered for one tile
    subject.run(function, ones[:1])
    assert seen == [1, 1, 1, 1, 1, 1, 2]
