"""The handler everybody writes first: FastAPI, a plain `def`, which Starlette runs in one of its forty threads.

FastAPI's docs advise `def` for work that blocks, and `UploadFile` for files. The plain network is called from all
threads at once. Our runner computes with as many threads as the processor has, so its batches queue for so many callers
of one thread each, first come, first served.
"""

from concurrent.futures import ThreadPoolExecutor

import uvicorn
from fastapi import FastAPI, Response, UploadFile

from benchmarks.peers.pictures import PORT, PeerModel, decode, encode
from model.inference.tiling import Pixels


class FewThreads(PeerModel):
    """A PeerModel whose batches run in as many threads as the processor has, or in one that calls a GPU."""

    def __init__(self, restorer: PeerModel) -> None:
        self.runner, self.overlap = restorer.runner, restorer.overlap
        self._device = ThreadPoolExecutor(max(self.runner.threads, 1))

    def run(self, tiles: Pixels) -> Pixels:
        return self._device.submit(self.runner.run, tiles, 1).result().tiles


def create_app() -> FastAPI:
    """Load the network and build the application."""
    app, restorer = FastAPI(), PeerModel.from_environment()
    if hasattr(restorer.runner, "warm_up"):
        restorer = FewThreads(restorer)

    @app.post("/derain")
    def derain(file: UploadFile) -> Response:
        [restored] = restorer.restore([decode(file.file.read())])
        return Response(encode(restored), media_type="image/png")

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=PORT, log_level="warning")
