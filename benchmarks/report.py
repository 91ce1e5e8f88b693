"""What every result has beside its figures: which machine, when, which revision."""

import argparse
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "results"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with the options every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", type=Path, help="where to write the result; benchmarks/results/NAME.json by default")
    return made


def write(name: str, path: Path | None, figures: dict[str, object]) -> None:
    """Print the figures and write them with their circumstances."""
    path = path or FOLDER / f"{name}.json"
    result = {"benchmark": name, "date": datetime.now(UTC).isoformat(timespec="seconds"), **circumstances(), **figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(figures, indent=2))  # noqa: T201 - a command's output


def circumstances() -> dict[str, object]:
    """Describe machine and revision."""
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return {
        "revision": revision.stdout.strip(),
        "machine": {
            "cpu": capabilities.get("cpu_name") or platform.processor(),
            "cores": os.cpu_count(),
            "amx": bool(capabilities.get("amx_bf16")),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
