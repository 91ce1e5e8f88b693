"""What the header alone decides: the format, the size, and what is refused before one pixel is decoded."""

import struct
import sys
import zlib
from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from app.errors import AnimatedImage, ImageTooLarge, NotAnImage, UndecodableImage, UnsupportedImage
from app.imaging.picture import ImageLimits
from app.imaging.probe import probe

from .corpus import STORABLE, TAGGED, camera_exif, draw, save

LIMITS = ImageLimits()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour_type: int, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def tiff(**fields: int | tuple[int, ...]) -> bytes:
    """Write a directory of LONG fields, one value each unless a tuple is given, and no pixels."""
    tags = {"subfile": 254, "width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262}
    tags |= {
        "samples": 277,
        "planes": 284,
        "subsampling": 530,
        "tile_width": 322,
        "tile_height": 323,
        "sample_format": 339,
    }
    fields = {"width": 8, "height": 8, "bits": 8, "photometric": 1} | fields
    entries = sorted((tags[name], value) for name, value in fields.items())
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)


@pytest.mark.parametrize("format", STORABLE)
def test_the_header_is_enough(format):
    """The same answer comes from the file's first part, whatever happened to its pixels."""
    data = save(draw("RGB", 640, 480), format, **({"compression": "raw"} if format == "tiff" else {}))
    whole = probe(data, LIMITS)
    assert (whole.format, whole.width, whole.height, whole.mode, whole.bits) == (format, 640, 480, "rgb", 8)
    if format not in ("avif", "tiff"):  # libavif wants every byte, and a TIFF tells where its pixels end
        assert probe(data[: len(data) // 2], LIMITS) == whole


@pytest.mark.parametrize("format", TAGGED)
def test_what_the_header_says_does_not_hold_the_upload(format):
    """The answer lives as long as the request, and the upload is to go when it is decoded."""
    data = save(draw("RGB"), format, exif=camera_exif(6))
    before = sys.getrefcount(data)
    header = probe(data, LIMITS)
    assert b"Rainmaker" in header.exif
    assert sys.getrefcount(data) == before


@pytest.mark.parametrize(
    ("start", "names"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS", "Photoshop"),
        (b"%PDF-1.7", "PDF"),
        (b"II\xbc\x01", "JPEG XR"),
        (b"FUJIFILMCCD-RAW", "raw file"),
        (b"\0\0\0\x18ftypcrx ", "raw file"),
        (b"\0\0\0\x18ftypqt  ", "film"),
        (b"\x1aE\xdf\xa3", "film"),
        (b"<html>", "text"),
        (b"  <?xml version='1.0'?><svg>", "text"),
        (b"\x89PNG\n\x1a\n\0", "line ends were changed"),
        (b"<", "known format"),
        (b"BM, said the text", "known format"),
        (b"", "is empty"),
    ],
)
def test_what_is_not_read_is_named_with_a_remedy(start, names):
    with pytest.raises(NotAnImage, match=names) as refusal:
        probe(start + bytes(64) * bool(start), LIMITS)
    assert "JPEG, PNG, WebP" in refusal.value.detail


@pytest.mark.parametrize("format", ["jpeg", "webp", "tiff"])
def test_the_content_decides_not_what_it_is_called(format):
    assert probe(save(draw("RGB"), format), LIMITS).format == format


def test_a_phone_s_mpo_file_is_its_first_picture():
    first, second = draw("RGB", 40, 30), draw("RGB", 20, 10)
    data = save(first, "mpo", save_all=True, append_images=[second])
    seen = probe(data, LIMITS)
    assert (seen.format, seen.width, seen.height, seen.frames) == ("jpeg", 40, 30, 1)


@pytest.mark.parametrize(
    ("data", "observed"),
    [
        (png(60_000, 60_000, 8, 2), 3_600_000_000),
        (png(31_000, 10, 8, 0), 31_000),
        (tiff(width=50_001, height=1000), 50_001_000),
    ],
)
def test_a_bomb_is_refused_by_its_header(data, observed):
    with pytest.raises(ImageTooLarge) as refusal:
        probe(data, LIMITS)
    assert refusal.value.extra["observed"] == observed > refusal.value.extra["limit"]


def test_the_limits_are_the_caller_s_and_inclusive():
    data = save(draw("RGB", 40, 30), "png")
    assert probe(data, ImageLimits(max_pixels=1200, max_side=40)).pixels == 1200
    for limits in (ImageLimits(max_pixels=1199), replace(LIMITS, max_side=39)):
        with pytest.raises(ImageTooLarge):
            probe(data, limits)


@pytest.mark.parametrize("format", ["png", "webp", "tiff", "avif"])
def test_several_frames_or_pages_are_refused(format):
    with pytest.raises(AnimatedImage):
        probe(save(draw("RGB"), format, save_all=True, append_images=[draw("RGB").rotate(180)]), LIMITS)


def test_a_reduced_copy_is_not_a_second_page():
    page = bytearray(tiff())
    page[-4:] = struct.pack("<I", len(page))
    preview = tiff(subfile=1)[8:]
    assert probe(bytes(page) + preview, LIMITS).frames == 1


@pytest.mark.parametrize(
    "data",
    [
        tiff(bits=16, photometric=5, samples=4),
        tiff(bits=16, photometric=3),
        tiff(bits=12),
        tiff(bits=32),
        tiff(bits=32, sample_format=3),
        tiff(bits=16, sample_format=2),
        tiff(photometric=8, samples=3),
        tiff(compression=6),
        tiff(compression=34925),
        tiff(subfile=1),
    ],
    ids=["deep-cmyk", "deep-palette", "12", "32", "float", "signed", "lab", "ojpeg", "lzma", "raw"],
)
def test_what_would_be_narrowed_or_guessed_is_refused_with_a_remedy(data):
    with pytest.raises(UnsupportedImage) as refusal:
        probe(data, LIMITS)
    assert "ave it" in refusal.value.detail or "Develop" in refusal.value.detail


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"compression": 4, "bits": 1}, "fax"),
        ({"compression": 3, "bits": 1}, "fax"),
        ({"compression": 50000}, "Zstandard"),
        ({"compression": 60001}, "number 60001"),
        ({"bits": 32, "sample_format": 3}, "floating-point samples of 32 bits"),
        ({"bits": 16, "sample_format": 2}, "signed samples of 16 bits"),
        ({"photometric": 6, "samples": 3, "subsampling": 2}, "coarser colours"),
        ({"photometric": 6, "samples": 3, "planes": 2, "compression": 5}, "in planes"),
    ],
)
def test_the_words_name_the_cause(fields, words):
    with pytest.raises(UnsupportedImage, match=words):
        probe(tiff(**fields), LIMITS)


@pytest.mark.parametrize(
    ("bits", "colour_type"), [(99, 2), (3, 0), (0, 0), (4, 2), (16, 3), (1, 6), (32, 6), (8, 1), (8, 5), (8, 7)]
)
def test_a_png_that_cannot_be_is_no_png(bits, colour_type):
    with pytest.raises(UndecodableImage, match=f"colour type {colour_type} with {bits} bits"):
        probe(png(8, 8, bits, colour_type), LIMITS)


@pytest.mark.parametrize(
    ("kind", "components", "words"),
    [
        (0xC3, 3, "lossless"),
        (0xC5, 3, "hierarchical"),
        (0xCB, 1, "lossless"),
        (0xF7, 3, "JPEG-LS"),
        (0xC0, 2, "2 chan"),
    ],
)
def test_jpegs_that_are_sound_and_not_read_are_named(kind, components, words):
    jpeg = bytearray(save(draw("RGB"), "jpeg"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 1], jpeg[at + 9] = kind, components
    with pytest.raises(UnsupportedImage, match=words):
        probe(bytes(jpeg), LIMITS)


@pytest.mark.parametrize("bits", [2, 7, 64])
@pytest.mark.parametrize("header_bytes", [12, 40])
def test_a_bmp_of_a_depth_that_is_not_read_is_named(bits, header_bytes):
    sides = struct.pack("<4H" if header_bytes == 12 else "<iiHH", 8, 8, 1, bits)
    with pytest.raises(UnsupportedImage, match=f"{bits} bits a pixel"):
        probe(b"BM" + bytes(12) + struct.pack("<I", header_bytes) + sides + bytes(99), LIMITS)


def test_a_png_for_iphones_is_named():
    data = png(8, 8, 8, 6)
    with pytest.raises(UnsupportedImage, match="CgBI"):
        probe(data[:8] + png_chunk(b"CgBI", bytes(4)) + data[8:], LIMITS)


def test_a_deep_jpeg_is_refused():
    jpeg = bytearray(save(draw("RGB"), "jpeg"))
    jpeg[jpeg.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(UnsupportedImage) as refusal:
        probe(bytes(jpeg), LIMITS)
    assert refusal.value.extra == {"limit": 8, "observed": 12}


def test_sixteen_bit_grey_is_welcome():
    for format in ("png", "tiff"):
        seen = probe(save(draw("I;16"), format), LIMITS)
        assert (seen.mode, seen.bits, seen.alpha) == ("grey", 16, False)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff",
        b"\xff\xd8" + b"\xff\xfe\0\2" * 2_000_000,
        b"\xff\xd8\xff" + b"\xff\0" * 4_000_000,
        b"\x89PNG\r\n\x1a\n" + bytes(8_000_000),
        png(8, 8, 8, 2, png_chunk(b"tEXt", b"") * 500_000),
        b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(8_000_000),
        tiff(tile_width=1 << 20, tile_height=1 << 20),
        b"MM\0*\0\0\0\x08\xff\xff" + bytes(12 * 65_535),
    ],
    ids=["cut", "comments", "stuffing", "zeros", "chunks", "riff", "tiles", "fields"],
)
def test_a_header_without_end_is_given_up_quickly(data):
    start = perf_counter()
    with pytest.raises(UndecodableImage):
        probe(data, LIMITS)
    assert perf_counter() - start < 1


@pytest.mark.parametrize("fields", [{"width": 0}, {"height": 0}, {"tile_width": 0}, {"tile_height": 0}])
def test_a_tiff_without_a_side_is_refused_by_its_header(fields):
    """Not by a division by zero."""
    with pytest.raises(UndecodableImage, match="The TIFF says"):
        probe(tiff(**fields), LIMITS)


def test_a_wrong_orientation_is_none():
    for orientation in (0, 9, 65_535):
        seen = probe(save(draw("RGB"), "jpeg", exif=camera_exif(orientation)), LIMITS)
        assert seen.orientation == 1


def test_numbers_of_all_formats_agree_with_pillow():
    rng = np.random.default_rng(5)
    for format, modes in STORABLE.items():
        for mode in modes:
            width, height = (int(side) for side in rng.integers(1, 200, 2))
            seen = probe(save(draw(mode, width, height), format), LIMITS)
            assert (seen.width, seen.height) == (width, height), (format, mode)
