"""HEIC, JPEG XL and GIF: what phones, new tools and old ones make."""

import builtins
from io import BytesIO

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from app.errors import AnimatedImage, ImageTooLarge, UndecodableImage, UnsupportedImage
from app.imaging.decode import decode
from app.imaging.encode import encode
from app.imaging.picture import ImageLimits
from app.imaging.probe import probe
from tests.pictures import drawn, encoded

from .corpus import draw, save

LIMITS = ImageLimits()
RGB = drawn(61, 90)


def decoded(data):
    return decode(data, probe(data, LIMITS))


def heic(pixels, **options):
    file = BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(file, **{"quality": 95, **options})
    return file.getvalue()


def test_a_heic_is_read():
    picture = decoded(heic(RGB))
    assert np.abs(picture.rgb.astype(int) - RGB).mean() < 6
    assert (picture.bits, picture.grey, picture.alpha) == (8, False, None)
    assert decoded(encode(picture, picture.rgb, "jpeg")).rgb.shape == RGB.shape


def test_a_heic_keeps_alpha_grey_and_camera_but_no_position():
    see_through = decoded(heic(np.dstack([RGB, RGB[..., 0]])))
    assert np.abs(see_through.alpha.astype(int) - RGB[..., 0]).mean() < 3
    assert decoded(heic(RGB[..., 0])).grey
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Rainmaker", 6
    picture = decoded(heic(RGB, exif=exif.tobytes()))
    assert b"Rainmaker" in picture.exif
    assert picture.rgb.shape in (RGB.shape, (RGB.shape[1], RGB.shape[0], 3))


def test_ten_bits_of_a_heic_come_back_as_sixteen():
    deep = np.linspace(0, 65_535, 61 * 90 * 3).reshape(61, 90, 3).astype(np.uint16)
    file = BytesIO()
    pillow_heif.from_bytes("RGB;16", (90, 61), deep.tobytes()).save(file, quality=-1)
    picture = decoded(file.getvalue())
    assert picture.bits == 16
    assert np.abs(picture.deep.astype(int) - deep).mean() < 600
    assert len(np.unique(picture.deep >> 6)) > 300, "more levels than 8 bits have"


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_jpeg_xl_is_read(mode):
    image = Image.fromarray(np.dstack([RGB, RGB[..., 0]])).convert(mode)
    picture = decoded(encoded(np.asarray(image), "jxl", lossless=True))
    np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    assert (picture.grey, picture.alpha is not None) == (mode[0] == "L", "A" in mode)


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (100, 77), (640, 360), (3001, 17), (1000, 1250)])
@pytest.mark.parametrize("lossless", [True, False])
def test_the_header_of_a_jpeg_xl_tells_its_size(size, lossless):
    seen = probe(encoded(np.zeros((size[1], size[0], 3), np.uint8), "jxl", lossless=lossless), LIMITS)
    assert (seen.width, seen.height) == size


def test_a_jpeg_xl_that_promises_too_much_is_not_decoded():
    data = encoded(RGB, "jxl", lossless=True)
    with pytest.raises(ImageTooLarge):
        probe(data, ImageLimits(max_pixels=5000))


@pytest.mark.parametrize("orientation", [None, 1, 3, 6])
def test_a_jpeg_in_a_jpeg_xl_is_that_jpeg(tmp_path, orientation):
    """Its orientation stands in the codestream too, but the JPEG comes out of it as it went in."""
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    path.write_bytes(encoded(RGB, "jpeg", exif=exif.tobytes()))
    file = BytesIO()
    import pillow_jxl  # noqa: F401 - registers itself

    with pytest.warns(UserWarning, match="lossless JXL"), Image.open(path) as image:
        image.save(file, "jxl")
    np.testing.assert_array_equal(decoded(file.getvalue()).rgb, decoded(path.read_bytes()).rgb)


def rewritten(codestream, end, at, bits):
    """Put other bits in the place of one in the header of a JPEG XL, which has `end` bits and fills up a byte."""
    number = int.from_bytes(codestream[2:], "little")
    old = [number >> place & 1 for place in range(8 * (len(codestream) - 2))]
    head = [*old[:at], *bits, *old[at + 1 : end]]
    new = [*head, *[0] * (-len(head) % 8), *old[end + -end % 8 :]]
    return codestream[:2] + sum(bit << place for place, bit in enumerate(new)).to_bytes(len(new) // 8, "little")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_xl_says_how_it_is_turned(orientation):
    """In a header as usual, the ninth bit says that it is; size and ratio stand before it."""
    pixels = drawn(32, 64)
    fields = [0, 1, *((orientation - 1) >> bit & 1 for bit in range(3)), *[0] * 6, 1, 0, 0, 1, 1, 1, 0, 0]
    turned = rewritten(bytes(imagecodecs.jpegxl_encode(pixels, level=99)), 11, 9, fields)
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = decoded(save(Image.fromarray(pixels), "png", exif=exif.tobytes())).rgb
    assert np.abs(decoded(turned).rgb.astype(int) - expected).mean() < 6


def test_colours_of_a_jpeg_xl_that_hold_their_alpha_come_back_plain():
    plain = np.dstack([drawn(32, 64), np.full((32, 64), 128, np.uint8)])
    held = plain.copy()
    held[..., :3] = np.round(plain[..., :3] * (128 / 255))
    stream = bytes(imagecodecs.jpegxl_encode(held, lossless=True))
    picture = decoded(rewritten(stream, 23, 17, [*[0] * 10, 1]))
    assert np.abs(picture.rgb.astype(int) - plain[..., :3]).max() <= 1
    assert (picture.alpha == 128).all()


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_deep_jpeg_xl_is_read_and_its_narrowing_said(mode, bits):
    pixels = np.asarray(Image.fromarray(np.dstack([RGB, RGB[..., 0]])).convert(mode))
    deep = (pixels.astype(np.uint16) * 257) >> (16 - bits)
    picture = decoded(bytes(imagecodecs.jpegxl_encode(deep, lossless=True, bitspersample=bits)))
    assert np.abs(picture.rgb - (RGB if "RGB" in mode else pixels.reshape(61, 90, -1)[..., :1]).astype(int)).max() <= 1
    narrowed = f"The JPEG XL's {bits} bits a channel were narrowed to 8."
    assert (picture.bits, picture.warnings) == ((8, (narrowed,)) if "RGB" in mode else (16, ()))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
def test_the_camera_in_a_jpeg_xl_is_kept_or_its_loss_said(transparent, packed):
    """The plug-in parts the codestream within its header, and leaves out the offset before the EXIF."""
    exif = Image.Exif()
    exif[0x010F] = "Rainmaker"
    pixels = np.dstack([RGB, RGB[..., :1]]) if transparent else RGB
    picture = decoded(encoded(pixels, "jxl", lossless=True, exif=exif.tobytes(), compress_metadata=packed))
    assert (b"Rainmaker" in picture.exif) != packed
    assert any("EXIF is packed" in warning for warning in picture.warnings) == packed


@pytest.mark.parametrize("transparent", [False, True])
def test_a_gif_of_one_frame_is_read(transparent):
    image = draw("P")
    options = {"transparency": 3} if transparent else {}
    data = save(image, "gif", **options)
    picture = decoded(data)
    with Image.open(BytesIO(data)) as seen:
        np.testing.assert_array_equal(picture.rgb, np.asarray(seen.convert("RGB")))
        if transparent:
            np.testing.assert_array_equal(picture.alpha, np.asarray(seen.convert("RGBA"))[..., 3])
    assert (picture.alpha is not None) == transparent


def test_an_animated_gif_is_refused():
    data = save(draw("P"), "gif", save_all=True, append_images=[draw("P").rotate(180)])
    with pytest.raises(AnimatedImage):
        probe(data, LIMITS)


@pytest.mark.parametrize("bits", [10, 12])
def test_the_narrowing_of_a_deep_avif_is_said(bits):
    deep = RGB.astype(np.uint16) << (bits - 8)
    picture = decoded(imagecodecs.avif_encode(deep, level=95, bitspersample=bits))
    assert np.abs(picture.rgb.astype(int) - RGB).mean() < 6
    assert picture.warnings == (f"The AVIF's {bits} bits a channel were narrowed to 8.",)


@pytest.mark.parametrize("format", ["heic", "jxl"])
def test_without_its_library_a_format_is_refused_with_the_remedy(format, monkeypatch):
    data, real = encoded(RGB, format), builtins.__import__

    def failing(name, *more):
        if name.startswith(("pillow_heif", "pillow_jxl")):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(f"app.imaging.formats.{format}.import_module", failing)
    with pytest.raises(UnsupportedImage, match="install pillow-"):
        decoded(data)


@pytest.mark.parametrize("tail", [b"\n", bytes(7), b"trailing words of a camera", b"\0\0\0\x01mdatshort"])
@pytest.mark.parametrize("format", ["avif", "heic"])
def test_bytes_behind_the_last_box_do_no_harm(format, tail):
    data = heic(np.asarray(draw("RGB"))) if format == "heic" else save(draw("RGB"), "avif")
    np.testing.assert_array_equal(decoded(data + tail).rgb, decoded(data).rgb)


@pytest.mark.parametrize("format", ["avif", "heic"])
def test_a_file_of_boxes_without_its_end_is_said_to_be_cut_off(format):
    data = heic(np.asarray(draw("RGB"))) if format == "heic" else save(draw("RGB"), "avif")
    with pytest.raises(UndecodableImage, match="cut off"):
        probe(data[:-30], LIMITS)
