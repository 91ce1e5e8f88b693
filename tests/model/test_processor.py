import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from model.processor import SideBySide, usable_cpus


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


def test_tiles_run_side_by_side_come_back_in_order():
    batch = tiles(7)
    result = SideBySide(lambda x: (255 - x, x[:, 0, 0, 0] > 100), 3).run(batch)
    assert np.array_equal(result[0].numpy(), 255 - batch)
    assert np.array_equal(result[1].numpy(), batch[:, 0, 0, 0] > 100)


def test_each_tile_has_a_thread_of_its_own_and_that_thread_computes_alone():
    """Both tiles are under way at once, each with one thread of PyTorch's; the caller's number of threads stays."""
    meeting = threading.Barrier(2, timeout=30)
    seen = []

    def function(x):
        meeting.wait()
        seen.append((threading.current_thread(), torch.get_num_threads(), torch.is_inference_mode_enabled(), len(x)))
        return x, torch.ones(len(x), dtype=torch.bool)

    before = torch.get_num_threads()
    SideBySide(function, 2).run(tiles(2))
    assert len({thread for thread, *_ in seen}) == 2
    assert [rest for _, *rest in seen] == [[1, True, 1]] * 2
    assert torch.get_num_threads() == before


def test_too_few_tiles_are_left_to_all_threads():
    subject = SideBySide(lambda x: (x, x), 4)
    assert subject.run(tiles(2)) is None
    assert subject.run(tiles(3)) is not None


def test_a_failure_is_raised_when_no_tile_is_under_way_any_more():
    finished = []

    def function(x):
        if not finished and x[0, 0, 0, 0] == 0:
            raise MemoryError("no room")
        finished.append(len(x))
        return x, x

    batch = np.ones((5, 8, 8, 3), np.uint8)
    batch[0] = 0
    with pytest.raises(MemoryError):
        SideBySide(function, 2).run(batch)
    assert len(finished) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_freed_memory_is_kept():
    """Sixteen tensors of a megabyte, made and freed twenty times, cost their 4,096 page faults once, not each time."""
    program = """
import resource, sys, torch
from model.processor import keep_freed_memory
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
