"""Pixels: upright, whole, through the right colours; and a picture's damage is the picture's fault."""

import struct
import zlib
from io import BytesIO
from time import perf_counter

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.errors import DmsrError, UndecodableImage
from app.imaging.decode import decode
from app.imaging.encode import encode
from app.imaging.ifd import Field, write_fields
from app.imaging.picture import ImageLimits, Picture
from app.imaging.probe import probe

from .corpus import STORABLE, cmyk_profile, draw, save, srgb_profile
from .test_probe import png, png_chunk

LIMITS = ImageLimits()


def decoded(data: bytes) -> Picture:
    return decode(data, probe(data, LIMITS))


@pytest.mark.parametrize(
    ("format", "options"),
    [*((format, {}) for format in STORABLE), *(("tiff", {"compression": c}) for c in ("tiff_lzw", "jpeg", "packbits"))],
)
def test_a_cut_off_file_is_the_picture_s_fault(format, options):
    data = save(draw("RGB", 200, 200), format, **options)
    for length in (len(data) // 3, len(data) - 40):
        with pytest.raises(DmsrError) as refusal:
            decoded(data[:length])
        assert 415 <= refusal.value.status <= 422


def test_a_header_that_pillow_reads_otherwise_is_refused():
    data = save(draw("RGB"), "jpeg")
    seen = probe(save(draw("RGB", 30, 20), "jpeg"), LIMITS)
    with pytest.raises(UndecodableImage):
        decode(data, seen)


def test_the_cause_stays_out_of_the_public_words():
    data = save(draw("RGB", 50, 50), "webp")[:-60]
    with pytest.raises(UndecodableImage) as refusal:
        decoded(data)
    assert isinstance(refusal.value.__cause__, OSError)
    assert str(refusal.value.__cause__) not in refusal.value.detail


@pytest.mark.parametrize("format", ["jpeg", "tiff"])
def test_cmyk_goes_through_its_profile_and_comes_back_as_srgb(format):
    """A profile that says paper is pure white and ink a dark red is believed; it does not travel on with RGB pixels."""
    bare, inked = Image.new("CMYK", (40, 40)), Image.new("CMYK", (40, 40), (0, 0, 0, 255))
    profile = cmyk_profile(paper=(255, 128, 128), ink=(90, 180, 160))
    paper = decoded(save(bare, format, icc_profile=profile))
    ink = decoded(save(inked, format, icc_profile=profile))
    assert paper.rgb.min() >= 253
    red, green, blue = ink.rgb[20, 20].tolist()
    assert red > 110 > 70 > max(green, blue)
    assert (paper.icc, paper.grey, paper.alpha) == (None, False, None)


@pytest.mark.parametrize("format", ["jpeg", "tiff"])
@pytest.mark.parametrize(
    "profile", [b"no profile" * 20, srgb_profile(), cmyk_profile((255, 128, 128), (90, 180, 160))[:-900]]
)
def test_cmyk_with_a_profile_that_does_not_fit_is_the_plain_complement(format, profile):
    """Broken, cut off, or for other colours."""
    plain = decoded(save(draw("CMYK"), format))
    np.testing.assert_array_equal(decoded(save(draw("CMYK"), format, icc_profile=profile)).rgb, plain.rgb)


def test_cmyk_without_a_profile_is_the_plain_complement():
    cyan = decoded(save(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "tiff"))
    assert cyan.rgb[0, 0].tolist() == [0, 255, 255]


def test_a_grey_palette_is_grey_and_a_coloured_one_is_not():
    grey = draw("L").convert("P")
    assert decoded(save(grey, "png")).grey
    assert not decoded(save(draw("P"), "png")).grey


@pytest.mark.parametrize(("bits", "level"), [(1, 1), (2, 2), (4, 9), (8, 77)])
def test_a_transparent_grey_value_becomes_alpha_at_every_depth(bits, level):
    """A PNG may name one grey value as transparent, in its own depth."""
    levels = [level, 0, level, 0] * 2
    row = int("".join(f"{value:0{bits}b}" for value in levels), 2).to_bytes(bits, "big")
    data = png(
        8, 1, bits, 0, png_chunk(b"tRNS", struct.pack(">H", level)), png_chunk(b"IDAT", zlib.compress(b"\0" + row))
    )
    picture = decoded(data)
    assert picture.alpha.tolist() == [[0, 255] * 4]
    assert picture.grey


def test_sixteen_bits_are_rounded_to_the_nearest_eight():
    values = np.array([[0, 128, 129, 257 * 77, 257 * 77 + 128, 65_535]], np.uint16)
    picture = decoded(save(Image.fromarray(values), "png"))
    assert picture.rgb[0, :, 0].tolist() == [0, 0, 1, 77, 77, 255]
    np.testing.assert_array_equal(picture.deep[..., 0], values)


def test_resolution_travels_and_turns_with_the_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    for format in ("jpeg", "png", "tiff"):
        picture = decoded(save(draw("RGB"), format, dpi=(300, 150), exif=exif.tobytes()))
        assert picture.dpi == pytest.approx((150, 300) if format != "tiff" else picture.dpi, rel=1e-3)
        again = decoded(encode(picture, picture.rgb, "png"))
        assert again.dpi == pytest.approx(picture.dpi, rel=1e-3)


def test_png_colour_chunks_come_back():
    info = PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100_000))
    picture = decoded(save(draw("RGB"), "png", pnginfo=info))
    assert decoded(encode(picture, picture.rgb, "png")).png_colour == ((b"gAMA", struct.pack(">I", 100_000)),)


def test_text_and_profile_bombs_stay_outside():
    """A thousandfold compressed text, and profiles by the hundred, are skipped unread."""
    zeros = zlib.compress(bytes(1 << 20), 9)
    bombs = [png_chunk(b"zTXt", b"k%d\0\0" % n + zeros) for n in range(100)] + [
        png_chunk(b"iCCP", b"p\0\0" + zeros)
    ] * 99
    data = save(draw("RGB"), "png")
    at = data.index(b"IDAT") - 4
    picture = decoded(data[:at] + b"".join(bombs) + data[at:])
    np.testing.assert_array_equal(picture.rgb, np.asarray(draw("RGB")))


@pytest.mark.parametrize("hiding", [b"", b"\xff\xfe\0\4\xff\xd9"], ids=["open", "behind a comment"])
def test_a_jpeg_of_endless_scans_costs_little(hiding):
    """Each scan of a progressive JPEG walks the whole picture, however few bytes it has; none passes uncounted.

    What stands behind an end mark, were it that of a comment, is not decoded.
    """
    data = save(draw("RGB", 900, 900), "jpeg", progressive=True)
    last_scan, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    bomb = data[:end] + hiding + data[last_scan:end] * 1000 + data[end:]
    start = perf_counter()
    if hiding:
        np.testing.assert_array_equal(decoded(bomb).rgb, decoded(data).rgb)
    else:
        with pytest.raises(UndecodableImage):
            decoded(bomb)
    assert perf_counter() - start < 1


@pytest.mark.parametrize(
    "layout",
    [
        {"rowsperstrip": 7},
        {"tile": (64, 64)},
        {"tile": (512, 512)},
        {"planarconfig": "separate", "rowsperstrip": 7},
        {"compression": "deflate", "predictor": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("byteorder", "<>")
def test_another_writer_s_tiffs_are_read(layout, byteorder):
    """Strips, tiles, planes and both byte orders, as tifffile lays them out."""
    tifffile = pytest.importorskip("tifffile")
    pixels, file = np.asarray(draw("RGB", 200, 300)), BytesIO()
    stored = pixels.transpose(2, 0, 1) if "planarconfig" in layout else pixels
    with tifffile.TiffWriter(file, byteorder=byteorder) as writer:
        writer.write(np.ascontiguousarray(stored), photometric="rgb", **layout)
    np.testing.assert_array_equal(decoded(file.getvalue()).rgb, pixels)


def test_strips_of_a_tiff_that_overlap_are_refused():
    """Pillow would read each a byte at a time, and a file of 30 MB would take minutes."""
    count = 100_000
    numbers = {256: [1666], 257: [30_000], 258: [8], 262: [1], 273: range(8, 8 + count), 278: [1]}
    fields = {tag: Field(4, len(n), struct.pack(f"<{len(n)}I", *n)) for tag, n in numbers.items()}
    data = b"II*\0" + struct.pack("<I", 3_000_000) + bytes(3_000_000 - 8) + write_fields(fields, 3_000_000)
    start = perf_counter()
    with pytest.raises(UndecodableImage, match="overlap"):
        decoded(data)
    assert perf_counter() - start < 1


def test_camera_junk_between_jpeg_segments_is_tolerated():
    data = save(draw("RGB"), "jpeg")
    at = data.index(b"\xff\xdb")
    picture = decoded(data[:at] + b"\0junk\0" + b"\xff" * 30 + data[at:])
    np.testing.assert_array_equal(picture.rgb, np.asarray(Image.open(BytesIO(data))))
