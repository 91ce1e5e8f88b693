"""LitServe: one worker on the device, with batching switched on as its docs advise for throughput.

Pictures arrive as a form; they differ in size, so the batch stays a list, for which the docs override `batch` and
`unbatch`. Decoding and encoding sit in the hooks made for them.
"""

import litserve
from fastapi import Request, Response

from benchmarks.peers.pictures import MAX_PICTURES, PORT, TIMEOUT_SECONDS, WAIT_SECONDS, PeerModel, decode, encode
from model.inference.tiling import Pixels


class Derain(litserve.LitAPI):
    """The hooks LitServe calls, in the order of a request."""

    def setup(self, device: str) -> None:
        self.restorer = PeerModel.from_environment()

    def decode_request(self, request: Request) -> Pixels:  # the annotation makes LitServe read a form
        return decode(request["file"].file.read())

    def batch(self, inputs: list[Pixels]) -> list[Pixels]:
        return inputs

    def predict(self, pictures: list[Pixels]) -> list[Pixels]:
        return self.restorer.restore(pictures)

    def unbatch(self, output: list[Pixels]) -> list[Pixels]:
        return output

    def encode_response(self, output: Pixels) -> Response:
        return Response(encode(output), media_type="image/png")


if __name__ == "__main__":
    api = Derain(max_batch_size=MAX_PICTURES, batch_timeout=WAIT_SECONDS)
    server = litserve.LitServer(api, accelerator="auto", devices=1, timeout=TIMEOUT_SECONDS)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning")
