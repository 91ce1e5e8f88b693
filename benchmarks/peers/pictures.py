"""What every peer does with pictures: decode, windows through the network, join, encode.

Several pictures at once share batches of windows, which is the most a server that batches whole requests can gain.
"""

import os
import zlib
from collections.abc import Sequence
from io import BytesIO

import numpy as np
import torch
from PIL import Image

from benchmarks import networks
from benchmarks.plain import PlainRunner
from model.inference.runner import TileRunner
from model.inference.tiling import Pixels, Stitcher, TilePlan, cut

MAX_PICTURES = 8
WAIT_SECONDS = 0.01
"""How much every batching peer collects, and for how long: what their docs' examples have, or near it."""

PORT = int(os.environ.get("PEER_PORT", "0"))
"""Peers start processes of their own, which all inherit the environment."""

TIMEOUT_SECONDS = 3600
"""Peers give up after seconds or a minute by default; here whoever is slow is to be measured."""


class PeerModel:
    """Restore pictures with the plain network, as one would deploy the release, or with our runner."""

    def __init__(self, model: str, network: str) -> None:
        if model == "plain":
            on_gpu = torch.cuda.is_available()
            # One window after the other, as the release does it; a GPU would be idle at that, so it gets sixteen.
            self.runner = PlainRunner(networks.build(network)[0], "cuda" if on_gpu else "cpu", 16 if on_gpu else 1)
            self.overlap = PlainRunner.overlap
        else:
            self.runner = TileRunner(*networks.build(network), max_tiles=64)
            self.runner.warm_up()
            self.overlap = self.runner.info.overlap

    @classmethod
    def from_environment(cls) -> "PeerModel":
        """Build what PEER_MODEL (plain or runner) and PEER_NETWORK (a name or a file) ask for."""
        return cls(os.environ["PEER_MODEL"], os.environ["PEER_NETWORK"])

    def restore(self, pictures: Sequence[Pixels]) -> list[Pixels]:
        """Restore RGB pictures of any sizes, uint8 (H, W, 3)."""
        plans = [TilePlan(*picture.shape[:2], self.runner.tile, self.overlap) for picture in pictures]
        stitchers = [Stitcher(plan) for plan in plans]
        windows = [(number, index) for number, plan in enumerate(plans) for index in range(len(plan))]
        for start in range(0, len(windows), self.runner.max_tiles):
            batch = windows[start : start + self.runner.max_tiles]
            tiles = self.run(np.stack([cut(pictures[number], plans[number], index) for number, index in batch]))
            for (number, index), tile in zip(batch, tiles, strict=True):
                stitchers[number].add(index, tile)
        return [stitcher.image() for stitcher in stitchers]

    def run(self, tiles: Pixels) -> Pixels:
        """Run one batch of windows."""
        return self.runner.run(tiles).tiles


def decode(data: bytes) -> Pixels:
    """Decode a file into uint8 (H, W, 3)."""
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def encode(rgb: Pixels) -> bytes:
    """Encode as PNG with the service's compression, so that nobody wins or loses by zlib's effort."""
    file = BytesIO()
    Image.fromarray(rgb).save(file, "png", compress_level=1, compress_type=zlib.Z_RLE)
    return file.getvalue()
