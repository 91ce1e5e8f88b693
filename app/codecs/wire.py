"""What the service and a codec process tell each other: small messages over a socket, pixels in shared memory.

A message is one packet: an object in JSON, and with it the descriptors of memory files. Nothing in it can run code, and
the service believes no size that it did not compute itself. A picture may have taken over the process that wrote a
message, so what `read_*` return is sound whatever came, and whatever is not sound they refuse with ValueError.
"""

import json
import math
import mmap
import os
import socket
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from fcntl import F_ADD_SEALS, fcntl
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from app.errors import (
    AnimatedImage,
    DmsrError,
    ImageTooLarge,
    NotAnImage,
    RequestError,
    UndecodableImage,
    UnsupportedImage,
)
from app.imaging.decode import MAX_ICC_BYTES
from app.imaging.formats import READERS
from app.imaging.formats.png import COLOUR_CHUNKS
from app.imaging.picture import ImageLimits, Picture, Probe

# The largest thing in a message is a header's EXIF, of 56 kB at most before base64.
PACKET_BYTES = 1 << 17

_ALIGNMENT = 64
# What a picture can be to blame for.
_REFUSALS: dict[str, type[RequestError]] = {
    kind.slug: kind for kind in (NotAnImage, ImageTooLarge, AnimatedImage, UnsupportedImage, UndecodableImage)
}
_NUMBERS = ("limit", "observed")
_MODES = ("grey", "rgb", "palette", "cmyk")
# A JPEG's segment has room for so much EXIF; a sentence for people is shorter, and more than a few nobody reads.
_MOST_EXIF_BYTES, _MOST_CHARACTERS, _MOST_WARNINGS, _MOST_CHUNK_BYTES, _LARGEST_DPI = 65_000, 500, 8, 32, 65_535
# Linux's F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE. Reading memory that the other side has cut off
# would end the service.
_FIXED, _READ_ONLY = 0x1 | 0x2 | 0x4, 0x8


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets that keep the bounds of messages."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(channel: socket.socket, message: Mapping[str, Any], *files: int) -> None:
    """Send a message and the descriptors of memory files."""
    socket.send_fds(channel, [json.dumps(message).encode()], files)


def loads(packet: bytes) -> dict[str, Any]:
    """Read a message; raise ValueError if it is none."""
    with _sound():
        message = json.loads(packet)
        if not isinstance(message, dict):
            raise ValueError("a message is an object")
        return message


def memory_of(content: bytes) -> int:
    """Return the descriptor of a memory file of this content, which nobody can change any more."""
    file = os.memfd_create("upload", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
    fcntl(file, F_ADD_SEALS, _FIXED | _READ_ONLY)
    return file


class Canvas:
    """Shared memory with room for what a picture with this header can hold, and nothing else.

    file: the descriptor of memory that the other side has made; without one it is made here. Memory that nobody writes
    to costs nothing. Arrays keep the memory, not the descriptor, for which `close` is to be called.
    """

    def __init__(self, probe: Probe, file: int | None = None) -> None:
        deep = probe.bits > 8
        sizes = {
            "rgb": 3 * probe.pixels,
            "deep": 6 * probe.pixels if deep else 0,
            "alpha": (1 + deep) * probe.pixels if probe.alpha else 0,
            "icc": MAX_ICC_BYTES,
        }
        self._rooms, end = {}, 0
        for name, size in sizes.items():
            self._rooms[name] = end, size
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        if file is None:
            file = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(file, end)
            fcntl(file, F_ADD_SEALS, _FIXED)
        self.file = file
        self._memory = mmap.mmap(file, end)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.file)

    def array(self, name: str, shape: tuple[int, ...], kind: DTypeLike = np.uint8) -> np.ndarray:
        """Return the array of a name, without copying it; raise ValueError if the header leaves no room for it."""
        start, room = self._rooms[name]
        count = math.prod(shape)
        if not 0 < count * np.dtype(kind).itemsize <= room:
            raise ValueError(f"no room for {name} of {shape}")
        return np.frombuffer(self._memory, kind, count, start).reshape(shape)


def write_probe(probe: Probe) -> dict[str, Any]:
    """Put a header into a message."""
    return {**asdict(probe), "exif": b64encode(probe.exif).decode()}


def read_probe(message: Mapping[str, Any], limits: ImageLimits | None = None) -> Probe:
    """Take a header out of a message; raise ValueError for one that no picture within the limits has."""
    with _sound():
        probe = Probe(**{**message, "exif": b64decode(message["exif"], validate=True)})
        if any(type(getattr(probe, field.name)) is not field.type for field in fields(Probe)):
            raise ValueError("a field of a header has another type")
        if probe.format not in READERS or probe.mode not in _MODES or len(probe.exif) > _MOST_EXIF_BYTES:
            raise ValueError("no header")
        counts = (probe.width, probe.height, probe.frames, probe.bits, probe.orientation)
        if min(counts) < 1 or probe.bits > 16 or probe.orientation > 8:
            raise ValueError("no picture")
        if limits and (probe.pixels > limits.max_pixels or max(probe.width, probe.height) > limits.max_side):
            raise ValueError("larger than it was told to take")
        return probe


def write_picture(picture: Picture, canvas: Canvas) -> dict[str, Any]:
    """Put a picture into a message, its arrays being in the canvas; its profile goes there too."""
    if picture.icc:
        canvas.array("icc", (len(picture.icc),))[:] = np.frombuffer(picture.icc, np.uint8)
    return {
        "grey": picture.grey,
        "channels": 0 if picture.deep is None else picture.deep.shape[2],
        "alpha": picture.alpha is not None,
        "icc": len(picture.icc or b""),
        "dpi": picture.dpi,
        "png_colour": [[kind.decode("latin-1"), b64encode(content).decode()] for kind, content in picture.png_colour],
        "warnings": picture.warnings,
    }


def read_picture(message: Mapping[str, Any], canvas: Canvas, probe: Probe) -> Picture:
    """Take a picture out of a message and the canvas; raise ValueError if it is not that of the header."""
    with _sound():
        size = (probe.height, probe.width)
        channels, icc, dpi = int(message["channels"]), int(message["icc"]), message["dpi"]
        if channels not in ((0,) if probe.bits <= 8 else (1, 3)) or (message["alpha"] and not probe.alpha):
            raise ValueError("other samples than the header has")
        return Picture(
            canvas.array("rgb", (*size, 3)),
            bool(message["grey"]),
            canvas.array("alpha", size, np.uint16 if channels else np.uint8) if message["alpha"] else None,
            canvas.array("deep", (*size, channels), np.uint16) if channels else None,
            canvas.array("icc", (icc,)).tobytes() if icc else None,
            probe.exif,
            (_resolution(dpi[0]), _resolution(dpi[1])) if dpi else None,
            tuple(_colour_chunk(*chunk) for chunk in message["png_colour"]),
            tuple(_sentence(warning) for warning in message["warnings"][:_MOST_WARNINGS]),
        )


def write_failure(failure: DmsrError) -> dict[str, Any]:
    """Put a failure into a message; its cause stays behind."""
    return {"failure": failure.slug, "detail": failure.detail, "extra": failure.extra}


def read_failure(message: Mapping[str, Any]) -> RequestError:
    """Take a failure out of a message: one that a picture can be to blame for."""
    with _sound():
        numbers = {name: message["extra"][name] for name in _NUMBERS if name in message["extra"]}
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers.values()):
            raise ValueError("not a number")
        return _REFUSALS[message["failure"]](_sentence(message["detail"]), **numbers)


def _resolution(number: Any) -> float:
    if not 0 < number <= _LARGEST_DPI:
        raise ValueError("no resolution")
    return float(number)


def _colour_chunk(kind: str, content: str) -> tuple[bytes, bytes]:
    chunk = kind.encode("latin-1"), b64decode(content, validate=True)
    if chunk[0] not in COLOUR_CHUNKS or len(chunk[1]) > _MOST_CHUNK_BYTES:
        raise ValueError("no chunk that tells of colours")
    return chunk


def _sentence(words: str) -> str:
    """Return what may stand in a header and in the log: a line of a bounded length, in Latin-1."""
    if not words.isprintable() or len(words.encode("latin-1")) > _MOST_CHARACTERS:
        raise ValueError("no sentence")
    return words


@contextmanager
def _sound() -> Iterator[None]:
    """Turn whatever reading a message raises into ValueError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as fault:
        raise ValueError(f"an unsound message: {fault}") from fault
