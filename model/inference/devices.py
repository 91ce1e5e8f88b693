"""Which devices there are, what they are, and what is missing where a GPU cannot be used.

Knows nothing of networks.
"""

import re
from pathlib import Path

import torch

DRIVER_FILE = Path("/proc/driver/nvidia/version")
"""NVIDIA's driver for Linux tells its version here, whatever PyTorch makes of it."""


def resolve_device(device: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:1" into a device; "auto" is CUDA where it can be used.

    Raises ValueError naming the value if it is not a device, not there, or too old for this PyTorch.
    """
    if device == "auto":
        device = "cpu" if cuda_hindrance() else "cuda"
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}; it must be auto, cpu, cuda or cuda:N") from error
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f"device is {device!r}; only cpu and cuda are supported")
    if resolved.type == "cuda" and (hindrance := cuda_hindrance(resolved.index or 0)):
        raise ValueError(f"device is {device!r}, but {hindrance}")
    return torch.device("cuda", resolved.index or 0) if resolved.type == "cuda" else resolved


def cuda_hindrance(index: int = 0) -> str:
    """Say why CUDA device number `index` cannot be used, and what it would need; "" if it can."""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is a build without CUDA"
    if not torch.cuda.is_available():
        found = f"NVIDIA's driver {driver_version()}" if driver_version() else "no driver of NVIDIA's"
        needed = f"it needs a driver for CUDA {torch.version.cuda}"
        return f"PyTorch {torch.__version__} cannot use CUDA: {needed}, and finds {found}"
    if index >= (count := torch.cuda.device_count()):
        return f"PyTorch sees {count} CUDA devices"
    capability = torch.cuda.get_device_capability(index)
    if not runs_on(torch.cuda.get_arch_list(), capability):
        name, known = torch.cuda.get_device_name(index), ", ".join(torch.cuda.get_arch_list())
        major, minor = capability
        return f"{name} has capability {major}.{minor}, and PyTorch {torch.__version__} has code for {known}"
    return ""


def runs_on(architectures: list[str], capability: tuple[int, int]) -> bool:
    """Tell whether code for "sm_80", "compute_90" and the like runs on a capability.

    Machine code (sm) runs on the same major number from its minor one on; the other (compute) is compiled anew and runs
    on all that is newer. A letter at the end binds code to one architecture.
    """
    for architecture in architectures:
        named = re.fullmatch(r"(\w+)_(\d+)([a-z]*)", architecture, re.ASCII)
        if named is None:
            continue
        kind, digits, letter = named.groups()
        made_for = divmod(int(digits), 10)
        if letter:
            fits = made_for == capability
        elif kind == "sm":
            fits = made_for[0] == capability[0] and made_for <= capability
        else:
            fits = made_for <= capability
        if fits:
            return True
    return False


def driver_version() -> str:
    """Return the version of NVIDIA's driver such as "580.65.06"; "" where there is none, or another system."""
    try:
        found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", DRIVER_FILE.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found[0] if found else ""


def description(device: torch.device) -> dict[str, str | float]:
    """Describe a device for the log: of CUDA name, capability, memory, driver and PyTorch's CUDA version."""
    if device.type != "cuda":
        return {"device": str(device)}
    major, minor = torch.cuda.get_device_capability(device)
    return {
        "device": str(device),
        "name": torch.cuda.get_device_name(device),
        "capability": f"{major}.{minor}",
        "memory_gigabytes": round(torch.cuda.get_device_properties(device).total_memory / 1e9, 1),
        "driver": driver_version() or "unknown",
        "cuda": str(torch.version.cuda),
    }
