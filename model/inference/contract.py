"""What a runner of tiles promises, whether it computes in this process or elsewhere. Imports no torch."""

from typing import TYPE_CHECKING, Protocol

from model.inference.tiling import Pixels

if TYPE_CHECKING:
    from model.checkpoints.checkpoint import CheckpointInfo


class Runner(Protocol):
    """Run batches of one task's tiles on one device; model.inference.runner.TileRunner is one.

    threads: threads of this processor that compute its tiles; 0 if another device does.
    max_tiles: tiles the device takes at a time. batch_tiles: tiles that one batch should have.
    overlaps_host: the device works beside this processor, so the next batch should be handed over before one ends.
    weights, sha256: name and hash of its file. memory_bytes: in tensors on its device, and held there by PyTorch.
    precision: in use; precision_demotions: how often the weights turned out too coarse in a faster one.
    memory_splits, fp32_retries: how often a batch was halved, how many tiles were run again in float32.
    """

    weights: str
    sha256: str
    precision: str
    threads: int
    max_tiles: int
    precision_demotions: int
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

    def run(self, tiles: Pixels, threads: int = ...) -> Pixels:
        """Restore uint8 (n, tile, tile, 3) with so many threads; raises NonFiniteTiles, DeviceFault or other errors."""
        ...

    def warm_up(self) -> dict[int, float]:
        """Choose max_tiles and return the seconds of the device's time that each batch size took."""
        ...


class NonFiniteTiles(ArithmeticError):
    """Tiles for which the network gives NaN or infinity even in float32.

    indices: theirs in the batch. restored: the whole batch, in which all other tiles are good.
    """

    def __init__(self, indices: list[int], restored: Pixels) -> None:
        super().__init__(f"the network's output is not finite for tiles {indices}")
        self.indices = indices
        self.restored = restored


class DeviceFault(RuntimeError):
    """A device that is lost to this process. CUDA errors are sticky, so only a new process can go on."""
