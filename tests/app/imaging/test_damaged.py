"""What a file does not have is judged by what is decoded: nothing missing, or how much."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.errors import UndecodableImage
from app.imaging.decode import decode
from app.imaging.picture import ImageLimits
from app.imaging.probe import probe
from tests.pictures import drawn

from .corpus import save
from .test_probe import png_chunk

LIMITS = ImageLimits()
JPEGS = [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"quality": 15}]


def photo(mode="RGB"):
    return Image.fromarray(drawn(160, 200)).convert(mode)


def decoded(data, damaged="refuse"):
    return decode(data, probe(data, LIMITS), damaged)


def scan(data):
    return data.index(b"\xff\xda") + 14


@pytest.mark.parametrize("options", JPEGS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_whole_jpeg_without_its_end_is_whole(mode, options):
    data = save(photo(mode), "jpeg", **options)
    whole = decoded(data).rgb
    for odd in (data[:-2], data[:-1], data[:-2] + bytes(300), data + b"more", data[:-2] + bytes(2)):
        picture = decoded(odd)
        assert picture.warnings == ()
        np.testing.assert_array_equal(picture.rgb, whole)


@pytest.mark.parametrize("options", JPEGS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("end", ["nothing", "mark", "zeros"])
def test_a_part_of_a_jpeg_is_refused_or_said(mode, options, part, end):
    """Cut off, cut off and closed by a repair, or cut off and filled up by a download."""
    data = save(photo(mode), "jpeg", **options)
    cut = scan(data) + int((len(data) - scan(data)) * part)
    ends = {"nothing": b"", "mark": b"\xff\xd9", "zeros": bytes(len(data) - cut)}
    damaged = data[:cut] + ends[end]
    with pytest.raises(UndecodableImage, match=r"\d% of the JPEG is missing.*damaged=accept") as refusal:
        decoded(damaged)
    assert 0 < refusal.value.extra["observed"] <= 1
    picture = decoded(damaged, "accept")
    assert picture.rgb.shape == (160, 200, 3)
    assert "of the JPEG was missing" in picture.warnings[0]


def test_the_missing_part_of_a_jpeg_is_that_of_its_rows():
    data = save(photo(), "jpeg")
    whole = decoded(data).rgb
    for part in (0.2, 0.5, 0.8):
        cut = scan(data) + int((len(data) - scan(data)) * part)
        with pytest.raises(UndecodableImage) as refusal:
            decoded(data[:cut])
        missing = refusal.value.extra["observed"]
        assert missing == pytest.approx(1 - part, abs=0.15)
        there = int(160 * (1 - missing)) - 16
        np.testing.assert_array_equal(decoded(data[:cut], "accept").rgb[:there], whole[:there])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["nothing", "mark"])
def test_scans_that_never_came_are_missing(mode, end):
    """A progressive picture that ends between two scans, or within the tables of one, decodes without a fault."""
    data = save(photo(mode), "jpeg", progressive=True)
    heads = [at for at in range(len(data)) if data.startswith((b"\xff\xda", b"\xff\xc4"), at)]
    begin = data.index(b"\xff\xda")
    for at in [head + more for head in heads if head > begin for more in (0, 3, 8)]:
        with pytest.raises(UndecodableImage, match="% of the JPEG is missing"):
            decoded(data[:at] + end)
        assert decoded(data[:at] + end, "accept").warnings
    assert decoded(data).warnings == ()


@pytest.mark.parametrize("kind", ["left out", "emptied", "cut short"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=str)
def test_a_hole_between_the_marks_of_a_jpeg_is_missing(kind, options):
    """Where a decoder starts again, it goes over what is not there."""
    data = save(photo(), "jpeg", restart_marker_rows=1, **options)
    marks = [at for at in range(len(data)) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7]
    begin, end = marks[2] + 2, marks[3]
    holes = {"left out": (begin, end + 2), "emptied": (begin, end), "cut short": (begin + (end - begin) // 2, end)}
    start, stop = holes[kind]
    with pytest.raises(UndecodableImage, match="% of the JPEG is missing"):
        decoded(data[:start] + data[stop:])
    assert decoded(data).warnings == ()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_a_png_keeps_the_rows_it_has(mode):
    data = save(photo(mode), "png")
    whole = decoded(data)
    np.testing.assert_array_equal(decoded(data[:-12]).rgb, whole.rgb)  # without its end chunk
    start = data.index(b"IDAT")
    cut = data[: start + (len(data) - start) // 2]
    with pytest.raises(UndecodableImage, match="of the PNG is missing") as refusal:
        decoded(cut)
    picture = decoded(cut, "accept")
    there = int(160 * (1 - refusal.value.extra["observed"])) - 1
    assert 8 < there < 155
    np.testing.assert_array_equal(picture.rgb[:there], whole.rgb[:there])


def test_a_png_with_a_broken_byte_keeps_the_rows_before_it():
    data = bytearray(save(photo(), "png"))
    at = data.index(b"IDAT") + (len(data) - data.index(b"IDAT")) // 2
    data[at] ^= 255
    with pytest.raises(UndecodableImage, match="damaged=accept"):
        decoded(bytes(data))
    whole = decoded(save(photo(), "png")).rgb
    np.testing.assert_array_equal(decoded(bytes(data), "accept").rgb[:40], whole[:40])


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_png_is_judged_by_what_can_be_unpacked_not_by_its_checksums(mode):
    """A repair may put sound chunks around half a stream, and a broken sum may stand behind a whole one."""
    data = save(photo(mode), "png")
    whole = decoded(data)
    begin, end = data.index(b"IDAT"), len(data) - 12
    packed = data[begin + 4 : end - 4]

    def with_stream(stream):
        return data[: begin - 4] + png_chunk(b"IDAT", stream) + data[end:]

    for stream in (packed[:-4] + bytes(4), packed[:-4], packed + b"more"):
        picture = decoded(with_stream(stream))
        np.testing.assert_array_equal(picture.rgb, whole.rgb)
        assert picture.warnings == ()
    with pytest.raises(UndecodableImage, match="% of the PNG is missing"):
        decoded(with_stream(packed[: len(packed) // 2]))
    assert "of the PNG was missing" in decoded(with_stream(packed[: len(packed) // 2]), "accept").warnings[0]


def test_a_png_without_its_palette_has_no_colours():
    data = save(photo("P"), "png")
    begin = data.index(b"PLTE")
    end = begin + 8 + int.from_bytes(data[begin - 4 : begin], "big")
    wrong = data[:begin] + b"PLTE" + bytes(end - begin - 4) + data[end:]
    for damaged in (data[: begin - 4] + data[end:], wrong):
        with pytest.raises(UndecodableImage, match="palette is missing"):
            decoded(damaged, "accept")


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_webp_whose_pixels_are_there_is_whole(mode, lossless):
    """Whatever its first line says of its length, and if what is cut off comes behind the pixels."""
    exif = Image.Exif()
    exif[0x010F] = "Rainmaker"
    data = save(photo(mode), "webp", lossless=lossless, exif=exif.tobytes())
    whole = decoded(data).rgb
    for length in (0, len(data) - 10, len(data) + 99, 2**32 - 1):
        np.testing.assert_array_equal(decoded(data[:4] + length.to_bytes(4, "little") + data[8:]).rgb, whole)
    for cut in (data[:-5], data[: data.index(b"EXIF")], data[: data.index(b"EXIF") + 6], data + b"more"):
        np.testing.assert_array_equal(decoded(cut).rgb, whole)


def test_a_gif_whose_frame_is_there_is_whole():
    data = save(photo("P"), "gif")
    whole = decoded(data).rgb
    for odd in (data[:-1], data[:-2], data[:-1] + bytes(9), data + b"more"):
        np.testing.assert_array_equal(decoded(odd).rgb, whole)


@pytest.mark.parametrize("format", ["webp", "tiff", "bmp", "gif"])
def test_other_formats_are_refused_whole(format):
    data = save(photo("P" if format == "gif" else "RGB"), format)
    for damaged in ("refuse", "accept"):
        with pytest.raises(UndecodableImage):
            decoded(data[: len(data) * 2 // 3], damaged)


def test_a_cut_off_adam7_png_is_measured_too():
    from .corpus import deep_png, deep_samples

    data = deep_png(deep_samples(3), True)
    picture = decoded(data[: len(data) * 3 // 4], "accept")
    assert picture.bits == 16
    assert "of the PNG was missing" in picture.warnings[0]
    assert BytesIO(data).getvalue() == data
