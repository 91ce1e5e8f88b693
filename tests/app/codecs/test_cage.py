"""A caged process, each a fresh interpreter: what it may do no more, and that it ends when its work has no end."""

import platform
import signal
import subprocess
import sys
import textwrap

import pytest

from app.codecs.cage import _CALLS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the cage is Linux's")
filtered = pytest.mark.skipif(platform.machine() not in _CALLS, reason="no filter is known for this machine")


def run(code):
    """Run code in a cage; it answers through a pipe that was open before."""
    lines = "import os, signal, socket, threading\nfrom app.codecs.cage import Cage\ncage = Cage()\n"
    command = [sys.executable, "-c", lines + textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@filtered
@pytest.mark.parametrize(
    "reach",
    [
        "open('/etc/passwd')",
        "open('/tmp/dmsr-cage', 'w')",
        "os.remove('/tmp/dmsr-cage')",
        "socket.socket()",
        "socket.socketpair()",
        "os.fork()",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), 0)",
        "os.mkdir('/tmp/dmsr-cage')",
        "os.pidfd_open(os.getppid())",
    ],
)
def test_nothing_outside_is_in_reach(reach):
    done = run(f"""
        try:
            {reach}
        except PermissionError:
            print("refused")
    """)
    assert done.stdout == "refused\n", done.stderr


@filtered
def test_threads_and_memory_are_still_to_be_had():
    """Decoders have threads of their own."""
    done = run("""
        threads = [threading.Thread(target=bytearray, args=(1 << 24,)) for _ in range(3)]
        with cage.work(10, 1 << 28):
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
        print("done")
    """)
    assert done.stdout == "done\n", done.stderr


def test_work_without_end_ends():
    assert run("with cage.work(0.1, 1 << 28):\n    while True: pass").returncode == -signal.SIGPROF


def test_each_work_has_its_own_seconds():
    """Three times what is allowed once, and idleness counts as nothing."""
    done = run("""
        import time
        for _ in range(3):
            with cage.work(0.5, 1 << 28):
                begun = time.process_time()
                while time.process_time() - begun < 0.3: pass
        print("done")
    """)
    assert done.stdout == "done\n", done.stderr


def test_memory_beyond_the_bound_is_not_to_be_had_and_is_again_afterwards():
    done = run("""
        with cage.work(10, 64 << 20):
            try:
                bytearray(65 << 20)
            except MemoryError:
                print("refused")
            bytearray(32 << 20)
        bytearray(65 << 20)
        print("done")
    """)
    assert done.stdout == "refused\ndone\n", done.stderr
