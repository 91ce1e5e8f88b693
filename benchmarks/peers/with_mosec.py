"""mosec: a pipeline of processes, decode → network → encode, with dynamic batching at the network.

Its docs put what needs the CPU into stages of its own beside the device's, and let `num` and `max_batch_size` be set
for each. Bodies are raw bytes, for which they override `deserialize` and `serialize`.
"""

import os
import sys

from mosec import Server, Worker

from benchmarks.peers.pictures import MAX_PICTURES, PORT, TIMEOUT_SECONDS, WAIT_SECONDS, PeerModel, decode, encode
from model.inference.tiling import Pixels


class Decode(Worker):
    """Bytes to pixels."""

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> Pixels:
        return decode(data)


class Network(Worker):
    """Pixels to pixels, several pictures at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.restorer = PeerModel.from_environment()

    def forward(self, data: list[Pixels]) -> list[Pixels]:
        return self.restorer.restore(data)


class Encode(Worker):
    """Pixels to bytes."""

    resp_mime_type = "image/png"

    def forward(self, data: Pixels) -> bytes:
        return encode(data)

    def serialize(self, data: bytes) -> bytes:
        return data


if __name__ == "__main__":
    sys.argv += ["--address", "127.0.0.1", "--port", str(PORT), "--timeout", str(1000 * TIMEOUT_SECONDS)]
    sys.argv += ["--max-request-size", str(2**28), "--log-level", "warning"]
    codecs = os.cpu_count() or 1
    server = Server()
    server.append_worker(Decode, num=codecs, timeout=TIMEOUT_SECONDS)
    server.append_worker(
        Network, max_batch_size=MAX_PICTURES, max_wait_time=int(1000 * WAIT_SECONDS), timeout=TIMEOUT_SECONDS
    )
    server.append_worker(Encode, num=codecs, timeout=TIMEOUT_SECONDS)
    server.run()
