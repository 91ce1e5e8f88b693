"""A server as a process of its own: started, waited for and stopped with everything it has started itself."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """Return a port nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path, stop_seconds: float = 20
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command in a session of its own while the block runs; whatever is left of that session is killed."""
    # A benchmark that is told to end must take its server along: SystemExit runs what stands under `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(stop_seconds)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float, log: Path) -> None:
    """Return when the process is ready; raises RuntimeError with its log's end if it ends or takes longer."""
    give_up = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > give_up:
            state = "is not ready" if process.poll() is None else f"ended with {process.returncode}"
            end = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{process.args} {state} after {seconds:g} s at most:\n{end}")
        time.sleep(0.02)  # a process has no other way to tell that its port is open
