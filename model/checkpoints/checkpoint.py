"""One weights file: safetensors with the network's sizes, task and history in its metadata.

Knows nothing of the manifest that lists the files, nor of pickle.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from model.network.config import SIDE_MULTIPLE, DMSRConfig
from model.network.network import DMSR

FORMAT = "dmsr-1"
TASKS = ("derain", "dehaze")


class WeightsError(ValueError):
    """A weights file that cannot be used; the message names the file and the cause."""


@dataclass(frozen=True)
class CheckpointInfo:
    """Tell what a weights file is: sizes, task, the tiles it was made for, and where it comes from.

    tile, overlap (in pixels) and overview are those of a TilePlan; training and scores are free-form, shown to people
    as they stand.
    """

    config: DMSRConfig
    task: str
    tile: int = 128
    overlap: int = 16
    overview: bool = False
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    licence: str = "CC-BY-NC-4.0"

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; it must be one of {', '.join(TASKS)}")
        if self.tile < 64 or self.tile % SIDE_MULTIPLE:
            raise ValueError(f"tile is {self.tile}; it must be a multiple of {SIDE_MULTIPLE}, at least 64")
        if not 0 <= self.overlap <= self.tile // 4:
            raise ValueError(f"overlap is {self.overlap}; it must lie between 0 and a quarter of the tile")

    def to_metadata(self) -> dict[str, str]:
        """Flatten into the strings that safetensors stores."""
        fields = asdict(self)
        sizes = fields.pop("config")
        return {"format": FORMAT} | {
            key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for key, value in (sizes | fields).items()
        }

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> "CheckpointInfo":
        """Rebuild from safetensors' strings; ValueError names what is missing or wrong."""
        if metadata.get("format") != FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}, not {FORMAT!r}; see `dmsr convert`")
        try:
            return cls(
                config=DMSRConfig(width=int(metadata["width"]), depth=int(metadata["depth"])),
                task=metadata["task"],
                tile=int(metadata["tile"]),
                overlap=int(metadata["overlap"]),
                overview=json.loads(metadata.get("overview", "false")),  # not in files of the first version
                training=json.loads(metadata["training"]),
                scores=json.loads(metadata["scores"]),
                licence=metadata["licence"],
            )
        except KeyError as error:
            raise ValueError(f"its metadata lacks {error}") from error


def save_checkpoint(path: Path, state_dict: dict[str, Tensor], info: CheckpointInfo) -> str:
    """Write a weights file whole or not at all and return its sha256 in hex."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state_dict.items()}
    data = save(tensors, metadata=info.to_metadata())
    write_atomically(Path(path), data)
    return hashlib.sha256(data).hexdigest()


def load_checkpoint(path: Path, sha256: str | None = None) -> tuple[DMSR, CheckpointInfo]:
    """Build the network a file describes, in float32 and eval mode, on the CPU.

    Raises WeightsError naming file and cause: missing, damaged, truncated, another format, wrong sha256, keys or
    shapes that do not fit, or values that are not finite.
    """
    path = Path(path)
    if sha256 is not None and (found := file_sha256(path)) != sha256:
        raise WeightsError(f"{path} has sha256 {found[:12]}…, but {sha256[:12]}… is expected: damaged or exchanged")
    tensors, info = _read(path)
    with torch.device("meta"):
        network = DMSR(info.config)
    expected = network.state_dict()
    for key in sorted(expected.keys() | tensors.keys()):
        if key not in tensors:
            raise WeightsError(f"{path} lacks the tensor {key!r}")
        if key not in expected:
            raise WeightsError(f"{path} has a tensor unknown to {info.config}: {key!r}")
        if tensors[key].shape != expected[key].shape:
            shape, wanted = tuple(tensors[key].shape), tuple(expected[key].shape)
            raise WeightsError(f"{path}: {key!r} has shape {shape}; {info.config} needs {wanted}")
        if not torch.isfinite(tensors[key]).all():
            raise WeightsError(f"{path}: {key!r} holds values that are not finite")
    # Files may be stored in bfloat16 to halve their size; the network always starts in float32.
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False), info


def read_info(path: Path) -> CheckpointInfo:
    """Read a weights file's metadata without its tensors; raises WeightsError."""
    return _read(Path(path), tensors=False)[1]


def file_sha256(path: Path) -> str:
    """Return a file's sha256 in hex; raises WeightsError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error


def write_atomically(path: Path, data: bytes, mode: int = 0o666, times: tuple[int, int] | None = None) -> None:
    """Put data at path through a temporary file beside it, so that a crash leaves the old file or the new.

    mode: its rights, of which the umask takes its part. times: when it was read and changed, in nanoseconds; else now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:40]}.", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            umask = os.umask(0o077)
            os.umask(umask)
            os.chmod(file.name, mode & ~umask)
            if times:
                os.utime(file.name, ns=times)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _read(path: Path, tensors: bool = True) -> tuple[dict[str, Tensor], CheckpointInfo]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            info = CheckpointInfo.from_metadata(file.metadata() or {})
            return ({key: file.get_tensor(key) for key in file.keys()} if tensors else {}), info  # noqa: SIM118
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a whole safetensors file: {error}") from error
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
