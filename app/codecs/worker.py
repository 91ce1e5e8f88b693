"""What a codec process does: take a message, read a header or decode a picture, answer; until nobody asks any more."""

import os
import socket
from typing import Any

from app.codecs import wire
from app.codecs.cage import Cage
from app.errors import DmsrError
from app.imaging.decode import decode
from app.imaging.picture import ImageLimits
from app.imaging.probe import probe

_MB = 1 << 20
# A header is read in milliseconds.
PROBE_SECONDS, _PROBE_BYTES = 0.4, 48 * _MB
# The slowest sound pictures take a third of a second of a slow core for a megapixel.
DECODE_SECONDS, DECODE_SECONDS_A_MEGAPIXEL = 0.4, 1.0
_DECODE_BYTES, _DECODE_BYTES_A_PIXEL = 80 * _MB, 32


def cpu_seconds(pixels: int) -> float:
    """Return the seconds of CPU that decoding a picture of so many pixels may take."""
    return DECODE_SECONDS + DECODE_SECONDS_A_MEGAPIXEL * pixels / 1e6


def serve(channel: socket.socket) -> None:
    """Answer the messages that come through the channel until it is closed."""
    cage = Cage()
    wire.send(channel, {"pid": os.getpid(), "filtered": cage.filtered})
    while True:
        packet, files, _, _ = socket.recv_fds(channel, wire.PACKET_BYTES, 2)
        if not packet:
            return
        try:
            answer = _answer(cage, wire.loads(packet), files)
        except DmsrError as failure:
            answer = wire.write_failure(failure)
        finally:
            for file in files:
                os.close(file)
        wire.send(channel, answer)


def _answer(cage: Cage, message: dict[str, Any], files: list[int]) -> dict[str, Any]:
    size = os.fstat(files[0]).st_size
    if "limits" in message:
        with cage.work(PROBE_SECONDS, _PROBE_BYTES + 4 * size):
            return wire.write_probe(probe(os.pread(files[0], size, 0), ImageLimits(**message["limits"])))
    header = wire.read_probe(message["probe"])
    canvas = wire.Canvas(header, files[1])
    allowed = _DECODE_BYTES + 4 * size + _DECODE_BYTES_A_PIXEL * header.pixels
    with cage.work(cpu_seconds(header.pixels), allowed):
        picture = decode(os.pread(files[0], size, 0), header, message["damaged"], canvas.array)
        return wire.write_picture(picture, canvas)
