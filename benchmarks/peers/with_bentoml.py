"""BentoML: a batchable service behind one that speaks HTTP, the pair its docs on adaptive batching draw.

The window of the batch adapts to the load; `max_latency_ms` is a promise to refuse what would take longer, so it is
out of the way here, and so is the timeout.
"""

from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from PIL.Image import Image, fromarray

from benchmarks.peers.pictures import MAX_PICTURES, TIMEOUT_SECONDS, PeerModel
from model.inference.tiling import Pixels

PATIENT = {"timeout": TIMEOUT_SECONDS, "max_concurrency": 1000}


@bentoml.service(workers=1, traffic=PATIENT)
class Network:
    """Batches of pictures in the one process that has the network."""

    def __init__(self) -> None:
        self.restorer = PeerModel.from_environment()

    @bentoml.api(batchable=True, max_batch_size=MAX_PICTURES, max_latency_ms=1000 * TIMEOUT_SECONDS)
    def restore(self, pictures: list[Image]) -> list[Image]:
        restored: list[Pixels] = self.restorer.restore([_pixels(picture) for picture in pictures])
        return [fromarray(rgb) for rgb in restored]


@bentoml.service(workers=1, traffic=PATIENT)
class Derain:
    """One picture a request."""

    network = bentoml.depends(Network)

    @bentoml.api
    async def derain(self, file: Image) -> Annotated[Image, ContentType("image/png")]:
        [restored] = await self.network.to_async.restore([file])
        return restored


def _pixels(picture: Image) -> Pixels:
    import numpy as np

    return np.asarray(picture.convert("RGB"))
