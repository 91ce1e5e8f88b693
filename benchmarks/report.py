"""What every result has beside its figures: which machine, when, which revision, with which options."""

import argparse
import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "results"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with the options every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--json", type=Path, help="where to write the result; benchmarks/results/NAME.json by default")
    return made


def read(name: str, options: argparse.Namespace | None = None) -> dict | None:
    """Return the result of a name, from where `write` would put it, or None if there is none."""
    path = (options and options.json) or FOLDER / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def write(name: str, options: argparse.Namespace, figures: dict[str, object]) -> None:
    """Print the figures and write them with their circumstances."""
    path = options.json or FOLDER / f"{name}.json"
    when = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"benchmark": name, "date": when, **circumstances(), "options": asked(options), **figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, default=str) + "\n")  # paths among the options
    print(json.dumps(figures, indent=2, default=str))  # noqa: T201 - a command's output


def asked(options: argparse.Namespace) -> dict[str, object]:
    """Return the options as they are kept: all but where the data lies and where the result goes."""
    return {key: value for key, value in vars(options).items() if key not in ("data", "json")}


def circumstances() -> dict[str, object]:
    """Describe machine and revision; the revision is empty where there is no git."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    git = shutil.which("git") and subprocess.run(
        command, cwd=FOLDER.parent, capture_output=True, text=True, check=False
    )
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return {
        "revision": git.stdout.strip() if git else "",
        "machine": {
            "cpu": capabilities.get("cpu_name") or platform.processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "amx": bool(capabilities.get("amx_bf16")),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
