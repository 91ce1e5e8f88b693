"""The networks to measure, by name: a size such as w16d4, or a weights file.

Speed does not depend on the values of the weights, so sizes that nobody has trained are measured with random ones.
"""

import re
from pathlib import Path

import torch

from model.checkpoints.catalog import Catalog
from model.checkpoints.checkpoint import CheckpointInfo, load_checkpoint, read_info, save_checkpoint
from model.network.config import DMSRConfig
from model.network.network import DMSR


def describe(name: str) -> CheckpointInfo:
    """Return what is known of a network without building it; raises ValueError for neither a size nor a file."""
    if path := weights_path(name):
        return read_info(path)
    size = re.fullmatch(r"w(\d+)d(\d+)", name)
    if size is None:
        raise ValueError(f"{name!r} is neither a size such as w16d4 nor a weights file")
    return CheckpointInfo(DMSRConfig(*map(int, size.groups())), "derain")


def build(name: str) -> tuple[DMSR, CheckpointInfo]:
    """Build a network: with our weights where the manifest has them for deraining, else random but fixed."""
    if path := weights_path(name):
        return load_checkpoint(path)
    info = describe(name)
    torch.manual_seed(0)
    return DMSR(info.config).eval().requires_grad_(False), info


def label(name: str) -> str:
    """Return what to call a network in the name of a result."""
    return Path(name).stem


def weights_path(name: str) -> Path | None:
    """Return the file of a name, if it has one."""
    if Path(name).is_file():
        return Path(name).resolve()
    catalog = Catalog.load()
    for entry in catalog.entries:
        if (f"w{entry.width}d{entry.depth}", entry.task) == (name, "derain") and entry.device != "none":
            return catalog.path(entry)
    return None


def weights_file(name: str, folder: Path) -> Path:
    """Return the file of a name, written into the folder first if the network is random."""
    if path := weights_path(name):
        return path
    network, info = build(name)
    path = folder / f"{name}.safetensors"
    save_checkpoint(path, network.state_dict(), info)
    return path
