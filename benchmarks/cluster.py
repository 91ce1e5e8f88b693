"""A Ray cluster on this machine: a head and workers, each a node with a raylet and worker processes of its own."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import httpx
import ray
from ray import cluster_utils, serve

from benchmarks.process import ROOT, free_port
from deploy.ray.application import Cluster, build

RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deploy.ray.proxy:middlewares",
    "PYTHONPATH": str(ROOT),
}
GIVE_UP_SECONDS = 120


@dataclass
class RayService:
    """Hold the service on a cluster: where it listens and what it runs on."""

    url: str
    cluster: cluster_utils.Cluster

    def deploy(self, settings: Mapping[str, str], restorers: int) -> None:
        """Put the application in place with these DMSR_* variables, a CPU for each restorer, and wait until it runs."""
        with patch.dict(os.environ, dict(settings)):
            serve.run(build(Cluster(restorers=restorers, ingress_cpus=0)))

    def add_node(self) -> object:
        """Add a node of one CPU."""
        return self.cluster.add_node(num_cpus=1, node_ip_address="127.0.0.3", object_store_memory=80 * 2**20)

    def pids(self, deployment: str) -> list[int]:
        """List the processes of a deployment's replicas."""
        title = f"ray::ServeReplica:default:{deployment}".encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if command(pid).startswith(title)]

    def kill(self, deployment: str) -> None:
        """Kill one replica of a deployment."""
        os.kill(self.pids(deployment)[0], signal.SIGKILL)

    def await_ready(self, deployment: str, replicas: int) -> None:
        """Wait until the service takes work and a deployment has so many replicas again."""
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up:
            running = serve.status().applications["default"].deployments[deployment].replica_states.get("RUNNING", 0)
            if running == replicas and httpx.get(f"{self.url}/readyz", timeout=60).status_code == 200:
                return
            time.sleep(0.2)  # Serve has no event for it
        raise AssertionError(f"not ready after {GIVE_UP_SECONDS} s: {serve.status()}")


def command(pid: int) -> bytes:
    """Return a process's command line, b"" if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has spent."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def run_cluster(nodes: int) -> Iterator[RayService]:
    """Start a cluster of so many nodes of one CPU, and Serve with nothing deployed; stop all of it at the end."""
    port = free_port()
    with patch.dict(os.environ, RAY):
        cluster = cluster_utils.Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "node_ip_address": "127.0.0.2",
                "object_store_memory": 80 * 2**20,
                "include_dashboard": False,
            },
        )
        try:
            service = RayService(f"http://127.0.0.1:{port}", cluster)
            for _ in range(nodes - 1):
                service.add_node()
            ray.init(cluster.address, _node_ip_address="127.0.0.2", log_to_driver=False)
            serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
            yield service
        finally:
            serve.shutdown()
            ray.shutdown()
            cluster.shutdown()
