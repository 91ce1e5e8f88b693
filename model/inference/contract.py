"""What a runner of tiles promises, whether it computes in this process or elsewhere. Imports no torch."""

from typing import TYPE_CHECKING, NamedTuple, Protocol

from model.inference.tiling import Pixels

if TYPE_CHECKING:
    from model.checkpoints.checkpoint import CheckpointInfo


class TileResults(NamedTuple):
    """Hold what became of a batch: its tiles, uint8 (n, tile, tile, 3), and those the network failed on.

    kept: indices of tiles that came out as noise even in float32, and so were left as they came in.
    lost: indices of tiles for which the network gave NaN or infinity even in float32; their pixels mean nothing.
    """

    tiles: Pixels
    kept: list[int] = []
    lost: list[int] = []


class Runner(Protocol):
    """Run batches of one task's tiles on one device; model.inference.runner.TileRunner is one.

    threads: threads of this processor that compute its tiles; 0 if another device does.
    max_tiles: tiles the device takes at a time. batch_tiles: tiles that one batch should have.
    overlaps_host: the device works beside this processor, so the next batch should be ready before one ends.
    weights, sha256: name and hash of its file. memory_bytes: in tensors on its device, and held there by PyTorch.
    memory_splits, fp32_retries: how often a batch was halved, how many unusable tiles were run again in float32.
    """

    weights: str
    sha256: str
    precision: str
    threads: int
    max_tiles: int
    memory_splits: int
    fp32_retries: int
    info: "CheckpointInfo"

    @property
    def task(self) -> str: ...

    @property
    def device(self) -> object: ...

    @property
    def batch_tiles(self) -> int: ...

    @property
    def overlaps_host(self) -> bool: ...

    @property
    def memory_bytes(self) -> tuple[int, int]: ...

    def run(self, tiles: Pixels, threads: int = ...) -> TileResults:
        """Restore uint8 (n, tile, tile, 3) with so many threads; raises DeviceFault or other errors."""
        ...

    def warm_up(self) -> dict[int, float]:
        """Choose max_tiles and return the seconds of the device's time that each batch size took."""
        ...


class NonFiniteTiles(ArithmeticError):
    """Tiles for which the network gives NaN or infinity even in float32; indices are theirs in the batch."""

    def __init__(self, indices: list[int]) -> None:
        super().__init__(f"the network's output is not finite for tiles {indices}")


def kept_warning(kept: int, tiles: int) -> tuple[str, ...]:
    """Say to a picture's owner that some of its tiles were left as they came; nothing if none was."""
    if not kept:
        return ()
    return (f"{kept} of {tiles} tiles came out of the network as noise and were left as they were.",)


class DeviceFault(RuntimeError):
    """A device that is lost to this process. CUDA errors are sticky, so only a new process can go on."""
