"""The service neither needs nor imports Ray, and the repository says how to have it."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# None in sys.modules makes an import of that name fail, as if the package were not installed.
START = """
import sys
sys.modules["ray"] = None
import asyncio
from app.cli import main
from app.main import create_app
from app.settings import Settings
service = create_app(Settings.from_environment()).state.service

async def start():
    await service.warm_up()
    assert service.readiness() == "ready"
    await service.codecs.stop()

asyncio.run(start())
assert not [name for name in sys.modules if name.split(".")[0] in ("ray", "deploy") and sys.modules[name]]
"""


def test_the_service_starts_where_there_is_no_ray(tiny_weights):
    environment = {
        "DMSR_WEIGHTS_DERAIN": str(tiny_weights),
        "DMSR_WEIGHTS_DEHAZE": "off",
        "DMSR_RUNNER_MAX_TILES": "1",
        "DMSR_QUEUE_TILES": "30000",
    }
    done = subprocess.run(
        [sys.executable, "-c", START],
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_only_the_extra_asks_for_ray():
    asks = {
        name
        for name, wanted in PROJECT["optional-dependencies"].items()
        if any(one.startswith("ray") for one in wanted)
    }
    assert asks == {"ray"}
    assert not [wanted for wanted in PROJECT["dependencies"] if wanted.startswith("ray")]


def test_the_application_stays_small():
    """It places parts that exist; where it grows beyond two hundred lines, something belongs elsewhere."""
    lines = [line for path in (ROOT / "deploy" / "ray").glob("*.py") for line in path.read_text().splitlines()]
    assert 0 < len(lines) <= 200
