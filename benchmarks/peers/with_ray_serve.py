"""Ray Serve: one replica that owns the machine's cores or its GPU, with `@serve.batch`.

Its docs advise to reserve the cores in `ray_actor_options`, which also sets how many threads the network may use, to
let `max_ongoing_requests` exceed the batch, and to keep work that blocks off the replica's event loop.
"""

import asyncio
import os
import signal

import ray
import torch
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.pictures import MAX_PICTURES, PORT, WAIT_SECONDS, PeerModel, decode, encode

CORES = os.cpu_count() or 1


@serve.deployment(
    max_ongoing_requests=1000, ray_actor_options={"num_cpus": CORES, "num_gpus": int(torch.cuda.is_available())}
)
class Derain:
    """One replica."""

    def __init__(self) -> None:
        self.restorer = PeerModel.from_environment()

    @serve.batch(max_batch_size=MAX_PICTURES, batch_wait_timeout_s=WAIT_SECONDS)
    async def restore(self, files: list[bytes]) -> list[bytes]:
        return await asyncio.to_thread(self._restore, files)

    def _restore(self, files: list[bytes]) -> list[bytes]:
        return [encode(rgb) for rgb in self.restorer.restore([decode(file) for file in files])]

    async def __call__(self, request: Request) -> Response:
        return Response(await self.restore(await request.body()), media_type="image/png")


if __name__ == "__main__":
    # "local": a cluster of its own, even where another one runs on this machine.
    ray.init("local", num_cpus=CORES, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Derain.bind())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
