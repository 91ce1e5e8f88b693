"""Every command runs from end to end on a tiny network and writes its result."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HOSTILE = ["--seconds", "1", "--rounds", "1", "--attackers", "1", "--hang-ups", "1", "--readers", "20"]
QUICK = {
    "photos": ["--network", "w4d1", "--megapixels", "0.1", "--rounds", "1"],
    "tiles": ["--network", "w4d1", "--batches", "1", "2", "--rounds", "1", "--profile"],
    "stages": ["--network", "w4d1", "--megapixels", "0.1", "0.3", "--rounds", "1"],
    "load": ["--network", "w4d1", "--pictures", "2", "--rounds", "1", "--idle-rounds", "2", "--arrivals", "6"],
    "memory": ["--network", "w4d1", "--megapixels", "0.3", "1", "--formats", "jpeg"],
    "start": ["--network", "w4d1", "--rounds", "1"],
    "batching": ["--network", "w4d1", "--rounds", "1", "--largest", "70000"],
    "flood": ["--network", "w4d1", "--count", "2", "--huge", "600", "900"],
    "optimisers": ["--steps", "2", "--seeds", "1"],
    "hostile": ["--network", "w4d1", "--latency-network", "w4d1", *HOSTILE, "--pictures", "3"],
    "overload": ["--network", "w4d1", "--queue", "100", "--seconds", "3"],
}


def run(name, arguments, tmp_path):
    result = tmp_path / "result.json"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DMSR_")}
    subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--json", str(result), *arguments],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
    )
    return json.loads(result.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_command_writes_its_result(name, tmp_path):
    found = run(name, QUICK[name], tmp_path)
    assert found["benchmark"].startswith(name)
    assert found["machine"]["torch"]
    assert found["date"]


@pytest.mark.slow
def test_peers_are_measured_where_they_are_installed(tmp_path):
    """Without their environment each is reported as failed, and ours is measured none the less."""
    python = os.environ.get("PEERS_PYTHON", sys.executable)
    quick = ["--pictures", "2", "--rounds", "2", "--clients", "2"]
    quick += ["--huge", "300", "400", "--seconds", "2", "--head-start", "0.5"]
    arguments = ["--network", "w4d1", "--model", "runner", "--peers", "naive", "mosec", "--python", python]
    found = run("peers", arguments + quick, tmp_path)
    assert found["servers"]["ours"]["uniform"]["statuses"] == {"200": 4}
    assert found["servers"]["naive"]["uniform"]["statuses"] == {"200": 4}
    if "PEERS_PYTHON" not in os.environ:
        assert "mosec" in found["servers"]["mosec"]["failed"]
