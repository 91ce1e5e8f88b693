"""Run the real server as a process of its own, the way an operator does."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 180
DEFAULTS = {
    "OMP_NUM_THREADS": "1",
    "DMSR_DEVICES": "cpu",
    "DMSR_LOG_FORMAT": "json",
    "DMSR_QUEUE_TILES": "30000",  # the tests' weights have small tiles, of which 50 megapixels need many
}


@dataclass
class Server:
    """Hold a running `dmsr serve`: where it listens, its process, its log."""

    url: str
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        """Return what it has logged so far."""
        return self.log_path.read_text()

    def stop(self, number: int = signal.SIGTERM, timeout: float = 30) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


def free_port() -> int:
    """Return a port nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextmanager
def run_server(
    folder: Path,
    environment: Mapping[str, str],
    wait_for: str = "/readyz",
    command: Sequence[str] = (sys.executable, "-m", "app.cli", "serve", "--port", "{port}"),
) -> Iterator[Server]:
    """Start a server with these DMSR_* variables, wait until `wait_for` answers 200, and stop it at the end."""
    port = free_port()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("DMSR_")}
    log_path = folder / f"server-{port}.log"
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            [word.format(port=port) for word in command],
            cwd=ROOT,
            env=inherited | DEFAULTS | environment,
            stderr=log,
            stdout=log,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log_path)
    try:
        _await_answer(server, wait_for)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_answer(server: Server, path: str) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        assert server.process.poll() is None, f"the server ended:\n{server.log}"
        try:
            if httpx.get(server.url + path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)  # a process has no other way to tell that its port is open
    raise AssertionError(f"{path} did not answer in {START_SECONDS} s:\n{server.log}")
