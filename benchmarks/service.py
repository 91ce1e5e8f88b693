"""The service as a process of its own, with the machine's threads and a network by name."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks import networks
from benchmarks.process import free_port, running, wait_until

START_SECONDS = 180


@dataclass(frozen=True)
class Service:
    """Hold a running `dmsr serve`."""

    url: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def serving(network: str, **settings: object) -> Iterator[Service]:
    """Serve a network, by name, with DMSR_* settings (without the prefix), and yield once it is ready."""
    ambient = [name for name in os.environ if name.startswith("DMSR_")]
    if ambient:
        raise RuntimeError(f"the service would not be measured with its defaults: unset {', '.join(ambient)}")
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "DMSR_WEIGHTS_DERAIN": str(networks.weights_file(network, Path(folder))),
            "DMSR_WEIGHTS_DEHAZE": "off",
            # An hour even for the largest picture on the slowest machine: what takes too long is to be measured.
            "DMSR_QUEUE_DEADLINE_SECONDS": "3600",
            **{f"DMSR_{name}": str(value) for name, value in settings.items()},
        }
        port, log = free_port(), Path(folder) / "log"
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
        with running(command, environment, log) as process:
            wait_until(lambda: answers(f"{url}/readyz"), process, START_SECONDS, log)
            yield Service(url, process)


def answers(url: str) -> bool:
    """Tell whether an address answers 200."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
