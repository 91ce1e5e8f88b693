"""A fuzz target for each parser of ours that reads what strangers wrote. Knows nothing of the fuzzer.

A target takes any bytes and holds the parser to its promise: it answers soundly or refuses with an error that it names,
in a number of steps that the size of the input bounds. A step is a line of ours. Imports no torch, so that an
environment with little in it can run the targets.
"""

import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from PIL import ImageCms

from app.api import body, options
from app.api.file_names import answer_name, disposition
from app.codecs import wire
from app.errors import RequestError
from app.imaging import metadata, profile
from app.imaging.decode import MAX_ICC_BYTES, decode
from app.imaging.encode import OUT_FORMATS, encode
from app.imaging.formats import isobmff
from app.imaging.picture import ImageLimits, Probe
from app.imaging.probe import probe
from app.middleware.own_callers import _without_port
from tests import bombs
from tests.app.imaging.corpus import camera_exif, srgb_profile
from tests.app.imaging.test_fuzz import seeds as pictures

# Seeds need under 20 steps a byte, and the slowest files that mutation found are fields in circles, at some 30.
STEPS, STEPS_A_BYTE = 50_000, 60
LIMITS = ImageLimits(max_pixels=1_000_000, max_side=5000)
# Larger pictures are the decoders' work, not ours, and fuzzing needs thousands of pictures a minute.
_DECODED_PIXELS = 4096
_OURS = str(Path(profile.__file__).parents[1])
# Errors that no input explains. Others, such as an index past the end, say that a file is cut off.
_MISTAKES = (
    AssertionError,
    AttributeError,
    MemoryError,
    NameError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ZeroDivisionError,
)


class TooManySteps(BaseException):
    """A parser took more steps than the size of its input allows. Nothing on the way may catch it."""


class Target(NamedTuple):
    """Hold what is fed, and inputs from which a fuzzer can start."""

    feed: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def hold(target: Target, data: bytes) -> int:
    """Feed a target; return its steps. Raise TooManySteps, or whatever breaks the parser's promise."""
    return _counted(lambda: target.feed(data), STEPS + STEPS_A_BYTE * len(data))


def _counted(work: Callable[[], None], allowed: int) -> int:
    count = 0

    def note(frame: FrameType, event: str, _: object) -> object:
        nonlocal count
        count += event == "line"
        if count > allowed:
            sys.settrace(None)
            raise TooManySteps(f"more than {allowed} steps")
        return note if event == "line" or frame.f_code.co_filename.startswith(_OURS) else None

    before = sys.gettrace()
    sys.settrace(note)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@contextmanager
def refusing(*further: type[Exception]) -> Iterator[None]:
    """Let a parser refuse by the errors it names: a RequestError, and those.

    A mistake in our own lines that was taken for the picture's is no refusal.
    """
    try:
        yield
    except RequestError as refusal:
        cause = refusal.__cause__
        if isinstance(cause, _MISTAKES) and _innermost_file(cause).startswith(_OURS):
            raise AssertionError("a mistake of ours was taken for the picture's") from cause
        if len(refusal.detail) > 500:
            raise AssertionError("what a caller reads is a sentence") from refusal
    except further:
        pass


def _innermost_file(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename if trace else ""


def picture(data: bytes, format: str) -> None:
    """Read a picture's header, and if it is a small one decode it and write it again."""
    with refusing():
        header = probe(data, ImageLimits(LIMITS.max_pixels, LIMITS.max_side, (format,)))
        assert 0 < header.width <= LIMITS.max_side
        assert 0 < header.pixels <= LIMITS.max_pixels
        assert 1 <= header.orientation <= 8
        assert (header.format, header.frames) == (format, 1)
        sound_exif(header.exif, header.width, header.height)
        # What others decode in one go is none of our parsers.
        if header.pixels > _DECODED_PIXELS or format in ("avif", "heic", "jxl"):
            return
        decoded = decode(data, header, "accept")
        assert decoded.rgb.shape == (header.height, header.width, 3)
        assert decoded.alpha is None or header.alpha
        assert (decoded.bits == 16) == (header.bits > 8)
        assert len(decoded.icc or b"") <= MAX_ICC_BYTES
        encode(decoded, 255 - decoded.rgb, list(OUT_FORMATS)[data[-1] % len(OUT_FORMATS)])


def boxes(data: bytes) -> None:
    """Walk the boxes of an AVIF or HEIC, as is done before a library sees them."""
    isobmff.brands(data)
    with refusing(struct.error, IndexError):
        isobmff.check_boxes(data)
        isobmff.code_point_chunks(data)


def exif(data: bytes) -> None:
    """Clean an EXIF block."""
    assert 1 <= metadata.read_orientation(data) <= 8
    metadata.read_resolution(data)
    sound_exif(metadata.clean_exif(data, 40, 30), 40, 30)
    sound_exif(metadata.clean_exif(data, 40, 30, turned=True), 40, 30)


def sound_exif(cleaned: bytes, width: int, height: int) -> None:
    """Make sure that cleaned EXIF is small, tells no place and is what cleaning it again would give."""
    assert len(cleaned) < 65_000
    assert metadata.clean_exif(cleaned, width, height) == cleaned
    assert metadata.read_orientation(cleaned) == 1
    assert not metadata._LEFT_OUT & metadata._read_block(cleaned)[2].keys()


def icc(data: bytes) -> None:
    """Read a colour profile, and PNG's chunks that say the same."""
    profile.color_space(data)
    with refusing(struct.error):
        small = profile.for_transform(data)
        assert len(small) <= 2 * len(data) + 2000
    for grey in (False, True):
        fitted = profile.fit(data, grey)
        assert fitted is None or profile.color_space(fitted) == ("GRAY" if grey else "RGB")
        made = profile.from_chunks({b"cICP": data[:4], b"gAMA": data[4:8], b"cHRM": data[8:40]}, grey)
        if made:
            assert profile.color_space(made) == ("GRAY" if grey else "RGB")
            ImageCms.ImageCmsProfile(BytesIO(made))


def form(data: bytes) -> None:
    """Read a form; the first line of the input is its boundary."""
    boundary, _, content = data.partition(b"\n")
    boundary = boundary[: body.MAX_BOUNDARY_BYTES] or b"b"
    with refusing():
        upload = body._read_form(content, boundary)
        assert upload.picture in content
        sound_upload(upload)


def json(data: bytes) -> None:
    """Read JSON that holds a picture in base64."""
    with refusing():
        upload = body._read_json(data)
        assert len(upload.picture) <= len(data)
        sound_upload(upload)


def sound_upload(upload: body.Upload) -> None:
    """Take the options and the name out of an upload, and make sure that the name may stand in a header."""
    name = answer_name(upload.filename, "derain", "restored", "png")
    assert len(name) < 150
    assert disposition(name).encode("latin-1").isascii()
    assert disposition(name).isprintable()
    options.Parameters().with_fields(upload.fields)


def header(data: bytes) -> None:
    """Read the values of the headers that we take apart ourselves."""
    text = data.decode("latin-1")
    _without_port(text.lower())
    options.wants_json(text, asked_in_json=True)
    with refusing():
        assert options.negotiate(text)


def message(data: bytes) -> None:
    """Read what a codec process says, which may have been taken over by a picture."""
    small = Probe("png", 3, 2, "rgb", 16, True, 1, 1, b"")
    with suppress(ValueError):
        said = wire.loads(data)
        assert set(wire.read_failure(said).extra) <= {"limit", "observed"}
    with suppress(ValueError):
        told = wire.read_probe(wire.loads(data))
        assert told.width > 0
        assert told.height > 0
    canvas = wire.Canvas(small)
    try:
        with suppress(ValueError):
            said = wire.read_picture(wire.loads(data), canvas, small)
            assert said.rgb.shape == (2, 3, 3)
    finally:
        canvas.close()


def _files(format: str) -> list[bytes]:
    """Return small files of a format, of every kind that the tests draw."""
    found = []
    for data in pictures():
        with suppress(RequestError):
            if probe(data, ImageLimits()).format == format:
                found.append(data)
    return found


def _icc_seeds() -> list[bytes]:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    made = [
        profile.from_code_points(primaries, transfer, grey)
        for primaries, transfer, grey in ((9, 16, False), (12, 18, True), (1, 8, False), (1, 4, True))
    ]
    cmyk = bombs.jpeg_of_many_elements(3)
    return [srgb_profile(), lab, *filter(None, made), cmyk[cmyk.index(b"ICC_PROFILE\0") + 14 :]]


def _form_seeds() -> list[bytes]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    field = b'--b\r\nContent-Disposition: form-data; name="format"\r\n\r\njpeg\r\n'
    return [
        b"b\n" + head + b"picture\r\n--b--\r\n",
        b"b\n" + field + head + b"pic\r\n--bture\r\n--b--",
        b"b\npreamble\r\n--b \r\ncontent-disposition:form-data;name=file;filename*=UTF-8''%e2.png\r\n\r\nx\r\n--b--",
    ]


def _message_seeds() -> list[bytes]:
    return [
        b'{"failure": "image-too-large", "detail": "It is.", "extra": {"limit": 1, "observed": 2.5}}',
        b'{"format": "png", "width": 3, "height": 2, "mode": "rgb", "bits": 16, "alpha": true, "frames": 1, '
        b'"orientation": 1, "exif": ""}',
        b'{"grey": false, "channels": 3, "alpha": true, "icc": 9, "dpi": [72, 72.5], "png_colour": [["gAMA", "AAE="]], '
        b'"warnings": ["A part was missing."]}',
    ]


TARGETS = {
    **{
        format: Target(partial(picture, format=format), partial(_files, format))
        for format in ("jpeg", "png", "webp", "tiff", "bmp", "gif", "jxl")
    },
    "boxes": Target(boxes, lambda: [*_files("avif"), *_files("heic"), bombs.avif_of_many_items(3)]),
    "exif": Target(exif, lambda: [camera_exif(6), camera_exif(1), *(f for f in _files("tiff") if len(f) < 2000)]),
    "icc": Target(icc, _icc_seeds),
    "form": Target(form, _form_seeds),
    "json": Target(
        json, lambda: [b'{"data": "data:image/png;base64,cGlj\\ndHVyZQ==", "filename": "a.png", "scale": 0.5}']
    ),
    "header": Target(header, lambda: [b"image/webp;q=0.8, image/*;q=0.5, */*;q=0.1", b"[::1]:8000"]),
    "message": Target(message, _message_seeds),
}
"""By name: every parser of ours that reads bytes of strangers."""
