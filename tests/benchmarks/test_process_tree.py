"""What a process and all below it take is counted once, the children's part too."""

import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from benchmarks.process_tree import Watch, cpu_seconds, held_bytes, tree

MB = 1 << 20
# Each runs some code before it forks, and other code in the child; then both wait.
PARENT = """
import os, sys
{before}
if not os.fork():
    {child}
    print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def family(before="", child="pass"):
    code = PARENT.format(before=before, child=child)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout.readline() == b"ready\n"
            yield parent.pid
        finally:
            parent.stdin.close()


@pytest.fixture(scope="module")
def idle():
    with family() as pid:
        return held_bytes(pid)


@pytest.mark.parametrize(
    ("before", "child"),
    [
        ("", "mine = b'x' * (40 << 20)"),  # as pixels that a decoder makes
        ("ours = b'x' * (40 << 20)", "pass"),
        ("file = os.memfd_create('upload')", "os.write(file, b'x' * (40 << 20))"),
        (
            "import mmap; file = os.memfd_create('a'); os.ftruncate(file, 40 << 20); shared = mmap.mmap(file, 0)",
            "shared[:] = b'x' * (40 << 20); os.close(file)",
        ),
    ],
    ids=["the child's", "before the fork", "a file in memory", "mapped by both"],
)
def test_memory_is_counted_once(idle, before, child):
    with family(before, child) as pid:
        assert len(tree(pid)) == 2
        assert 36 * MB < held_bytes(pid) - idle < 50 * MB


def test_a_child_s_seconds_count_and_stay_when_it_has_ended():
    work = "import time\n    while time.process_time() < 0.2: pass"
    with family("", work) as pid:
        assert cpu_seconds(pid) >= 0.2


def test_a_process_that_has_ended_takes_nothing():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert (tree(ended.pid), held_bytes(ended.pid)) == ({}, 0)


def test_a_watch_knows_the_largest_figure():
    figures = iter([3, 9, 4])
    with Watch(lambda: next(figures, 0), 0.001) as watch:
        while watch.peak < 9:
            time.sleep(0.001)
    assert watch.peak == 9
    assert watch.looks >= 2
