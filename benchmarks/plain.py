"""The measure of speed: the network as it was released, run the way its authors run it.

Float32, eager, NCHW, windows of 128 pixels, PyTorch's defaults. The modules are ours, proved equal to the release; the
one that was rewritten for speed is put back here. Knows nothing of pictures: tiles in, tiles out.
"""

import copy
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import networks
from model.inference.contract import TileResults
from model.inference.restorer import REFERENCE_TILE
from model.inference.tiling import Pixels
from model.network.network import DMSR
from model.network.spatial import SPGA


class PlainSPGA(SPGA):
    """SPGA with the release's single grouped convolution, two inputs a group, instead of two depthwise ones."""

    def _pixel_attention(self, x: Tensor, guide: Tensor) -> Tensor:
        pairs = torch.stack([x, guide], dim=2).flatten(1, 2)
        return self.pixel(F.pad(pairs, (3, 3, 3, 3), "reflect"))


def plain_network(network: DMSR) -> DMSR:
    """Copy a network into what was released; call it before a runner takes the network over."""
    released = copy.deepcopy(network).float().eval().requires_grad_(False)
    for module in released.modules():
        if isinstance(module, SPGA):
            module.__class__ = PlainSPGA  # the same parameters, another way to apply them
    return released.to(memory_format=torch.contiguous_format)


class PlainRunner:
    """Run tiles through the released network, from uint8 to uint8: the counterpart of TileRunner.

    max_tiles: tiles run in one go. Threads may share it, as they may share any module that is only read.
    """

    tile = REFERENCE_TILE
    overlap = 0

    def __init__(self, network: DMSR, device: str | torch.device = "cpu", max_tiles: int = 1) -> None:
        self.device = torch.device(device)
        self.max_tiles = max_tiles
        self._network = plain_network(network).to(self.device)

    @torch.no_grad()
    def run(self, tiles: Pixels) -> TileResults:
        """Restore uint8 (n, tile, tile, 3), all at once."""
        x = torch.from_numpy(tiles).to(self.device).permute(0, 3, 1, 2).float().div(255).contiguous()
        y = self._network(x)[0].clamp(0, 1).mul(255).round().to(torch.uint8)
        return TileResults(y.permute(0, 2, 3, 1).contiguous().cpu().numpy())


@contextmanager
def plain_process(name: str, device: str) -> Iterator[Callable[[Pixels], Pixels]]:
    """Run the released network of a name in a process of its own, and yield what runs tiles there.

    Our runner tunes its whole process, memory above all, which would make the network beside it twice as fast.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve_tiles, args=(there, name, device), daemon=True)
    process.start()
    there.close()  # so that a process that dies is an EOFError, not a wait

    def run(tiles: Pixels) -> Pixels:
        here.send(tiles)
        return here.recv()

    try:
        yield run
    finally:
        process.terminate()
        process.join()


def _serve_tiles(connection: Connection, name: str, device: str) -> None:
    runner = PlainRunner(networks.build(name)[0], device)
    while True:
        connection.send(runner.run(connection.recv()).tiles)
