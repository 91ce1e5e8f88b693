"""Every picture of the corpus goes in and comes back: eight orientations, every mode, with a profile and without."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from app.imaging.decode import decode
from app.imaging.encode import check_format, encode
from app.imaging.picture import ImageLimits
from app.imaging.probe import probe

from .corpus import STORABLE, TAGGED, camera_exif, draw, save, srgb_profile

LIMITS = ImageLimits()
CASES = [(format, mode) for format, modes in STORABLE.items() for mode in modes]
TAGGED_CASES = [(format, mode) for format, mode in CASES if format in TAGGED]


def pillow_view(data: bytes, mode: str) -> np.ndarray:
    """What a viewer that knows orientation tags would show."""
    with Image.open(BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA").convert(mode))


def there_and_back(data: bytes, format: str = "png"):
    picture = decode(data, probe(data, LIMITS))
    answer = encode(picture, picture.rgb, format)
    return picture, probe(answer, LIMITS), decode(answer, probe(answer, LIMITS))


@pytest.mark.parametrize("profile", [None, srgb_profile()], ids=["plain", "icc"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("format", "mode"), TAGGED_CASES)
def test_a_tagged_picture_comes_back_upright_and_whole(format, mode, orientation, profile):
    """Pixels, alpha, depth, profile and camera data survive; the orientation is in the pixels and not in the tag."""
    if mode == "CMYK":
        profile = None  # test_decode has the CMYK profiles
    data = save(draw(mode), format, exif=camera_exif(orientation), icc_profile=profile)
    first = probe(data, LIMITS)
    picture, second, again = there_and_back(data)

    assert first.orientation == orientation
    assert (first.width, first.height) == (picture.width, picture.height)
    assert first.alpha == (picture.alpha is not None)
    assert (second.orientation, second.width, second.height) == (1, first.width, first.height)
    assert picture.rgb.flags.c_contiguous
    assert picture.grey == (mode in ("1", "L", "LA", "I;16"))
    assert picture.bits == (16 if mode == "I;16" else 8)
    assert picture.icc == profile
    if mode != "I;16":
        np.testing.assert_array_equal(picture.rgb, pillow_view(data, "RGB"))
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, pillow_view(data, "RGBA")[..., 3])
    # A grey PNG with a profile for RGB is none, and grey that means sRGB needs no other.
    assert again.icc == (None if picture.grey else picture.icc)
    for kept in ("rgb", "alpha", "deep", "grey", "exif", "dpi"):
        np.testing.assert_equal(getattr(again, kept), getattr(picture, kept), err_msg=kept)


@pytest.mark.parametrize("mode", STORABLE["bmp"])
def test_a_bmp_comes_back_as_png(mode):
    data = save(draw(mode), "bmp")
    picture, _, again = there_and_back(data)
    np.testing.assert_array_equal(picture.rgb, pillow_view(data, "RGB"))
    np.testing.assert_array_equal(again.rgb, picture.rgb)
    assert again.grey == (mode in ("1", "L"))


@pytest.mark.parametrize("out", ["tiff", "webp", "jpeg"])
@pytest.mark.parametrize(("format", "mode"), CASES)
def test_every_format_that_takes_the_picture_keeps_what_belongs_to_it(format, mode, out):
    """TIFF loses nothing at all; WebP and JPEG keep size, profile and camera data, and WebP every bit of alpha."""
    tags = {"exif": camera_exif(6), "icc_profile": srgb_profile() if mode != "CMYK" else None}
    data = save(draw(mode), format, **(tags if format in TAGGED else {}))
    if (out == "jpeg" and mode in ("LA", "RGBA", "P+key", "I;16")) or (out == "webp" and mode == "I;16"):
        pytest.skip("406, see test_encode")
    check_format(probe(data, LIMITS), out)
    picture, second, again = there_and_back(data, out)
    assert (second.format, second.orientation) == (out, 1)
    assert again.rgb.shape == picture.rgb.shape
    assert again.icc == (None if picture.grey and out != "webp" else picture.icc)
    np.testing.assert_equal(again.alpha, picture.alpha)
    assert (b"Rainmaker" in again.exif) == (b"2024:05:06" in again.exif) == (format in TAGGED)
    if out == "tiff":
        np.testing.assert_equal([again.rgb, again.deep], [picture.rgb, picture.deep])


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (63, 2000)])
@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff"])
def test_any_size_comes_back_in_its_own_size(format, size):
    data = save(draw("RGB", *size), format)
    picture, second, _ = there_and_back(data, format)
    assert picture.rgb.shape == (size[1], size[0], 3)
    assert (second.width, second.height) == size


def test_threads_and_other_people_s_pillow_are_undisturbed():
    """Many pictures at once give the same bytes as one after another, without a warning; Pillow's limits stay put."""
    files = [save(draw(mode, 90, 70), format) for format, mode in CASES]

    def answer(data: bytes) -> bytes:
        picture = decode(data, probe(data, LIMITS))
        return encode(picture, 255 - picture.rgb, "png")

    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool:
        warnings.simplefilter("error")
        together = list(pool.map(answer, files * 4))
    assert together == [answer(data) for data in files] * 4
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("format", ["jpeg", "png", "bmp", "avif"])
def test_the_limits_given_are_the_only_ones(format, monkeypatch):
    """Pillow's own guard, which warns and then stops, does not speak where ours has."""
    data = save(draw("RGB"), format)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(data, probe(data, LIMITS)).width > 1
