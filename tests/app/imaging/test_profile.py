"""What the numbers of a picture mean, in whatever way a file says it, comes back in every format."""

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from app.imaging import profile
from app.imaging.decode import decode
from app.imaging.encode import OUT_FORMATS, encode
from app.imaging.picture import ImageLimits
from app.imaging.probe import probe

from .corpus import cmyk_profile, draw, save, srgb_profile

LIMITS = ImageLimits()
P3, P3_PQ, HLG, SRGB = (12, 13), (9, 16), (9, 18), (1, 13)
P3_PROFILE = profile.from_code_points(*P3)
PRESS = cmyk_profile((255, 128, 128), (0, 128, 128))


def decoded(data):
    return decode(data, probe(data, LIMITS))


def avif(primaries, transfer):
    data = bytearray(save(draw("RGB", 40, 30), "avif"))
    at = data.index(b"colrnclx") + 8
    data[at : at + 4] = struct.pack(">HH", primaries, transfer)
    return bytes(data)


def with_chunks(mode="RGB", **chunks):
    info = PngInfo()
    for name, content in chunks.items():
        info.add(name.encode(), content)
    return save(draw(mode), "png", pnginfo=info)


def in_srgb(icc, pixel):
    """What a viewer shows for a pixel with a profile."""
    mode = "L" if isinstance(pixel, int) else "RGB"
    given = ImageCms.ImageCmsProfile(BytesIO(icc))
    shown = ImageCms.profileToProfile(
        Image.new(mode, (1, 1), pixel), given, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    return np.array(shown.getpixel((0, 0)), int)


@pytest.mark.parametrize("points", [P3, P3_PQ, HLG])
def test_the_colours_an_avif_names_by_numbers_come_back(points):
    picture = decoded(avif(*points))
    assert picture.png_colour == ((b"cICP", bytes((*points, 0, 1))),)
    assert decoded(encode(picture, picture.rgb, "png")).png_colour == picture.png_colour
    for format in ("jpeg", "webp", "tiff"):
        again = decoded(encode(picture, picture.rgb, format))
        assert again.icc == profile.from_code_points(*points)
        assert b"cicp" in again.icc


@pytest.mark.parametrize("format", ["jpeg", "webp", "tiff"])
def test_of_numbers_and_a_profile_a_png_means_the_numbers(format):
    info = PngInfo()
    info.add(b"cICP", bytes((*P3, 0, 1)))
    picture = decoded(save(draw("RGB"), "png", pnginfo=info, icc_profile=srgb_profile()))
    assert decoded(encode(picture, picture.rgb, format)).icc == P3_PROFILE
    again = decoded(encode(picture, picture.rgb, "png"))
    assert (again.icc, again.png_colour) == (picture.icc, picture.png_colour)


def test_of_numbers_and_a_profile_an_avif_means_the_profile():
    data = bytearray(save(draw("RGB", 40, 30), "avif", icc_profile=srgb_profile()))
    at = data.index(b"colrnclx") + 8
    data[at : at + 4] = struct.pack(">HH", *P3)
    picture = decoded(bytes(data))
    assert (picture.icc, picture.png_colour) == (srgb_profile(), ())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (with_chunks(cICP=bytes((10, 17, 0, 1))), "named by numbers (10, 17)"),
        (avif(9, 9), "named by numbers (9, 9)"),
        (save(draw("L"), "png", icc_profile=PRESS.replace(b"CMYK", b"RGB ")), "nothing of grey pixels"),
        (save(draw("RGB"), "png", icc_profile=PRESS), "nothing of RGB pixels"),
    ],
    ids=["a PNG's numbers", "an AVIF's numbers", "grey", "RGB"],
)
def test_a_meaning_that_is_lost_is_said(data, words):
    (warning,) = decoded(data).warnings
    assert words in warning


@pytest.mark.parametrize(
    "data", [with_chunks(cICP=bytes((*P3, 0, 1))), save(draw("L"), "png", icc_profile=srgb_profile())]
)
def test_a_meaning_that_comes_back_is_not_said_to_be_lost(data):
    assert decoded(data).warnings == ()


@pytest.mark.parametrize("points", [SRGB, (1, 1), (2, 2), (1, 2)])
def test_what_is_usual_needs_no_words(points):
    picture = decoded(avif(*points))
    assert (picture.png_colour, picture.icc) == ((), None)
    assert decoded(encode(picture, picture.rgb, "jpeg")).icc is None


def test_made_profiles_mean_what_they_should():
    """Against littleCMS: sRGB's own numbers are themselves, and P3's green is none of sRGB."""
    made = profile._rgb_profile(profile.SRGB_PRIMARIES, profile._transfer_curve(13))
    for pixel in ((200, 100, 50), (0, 0, 0), (255, 255, 255), (10, 240, 128)):
        assert np.abs(in_srgb(made, pixel) - pixel).max() <= 1
    assert in_srgb(P3_PROFILE, (200, 100, 50))[0] > 205
    assert np.abs(in_srgb(P3_PROFILE, (90, 90, 90)) - 90).max() <= 1
    for points in (P3_PQ, HLG, (9, 14), (5, 5), (1, 4), (11, 13), (4, 4), (7, 1), (8, 8), (22, 13)):
        assert profile.color_space(profile.from_code_points(*points)) == "RGB"


@pytest.mark.parametrize("format", ["jpeg", "webp", "tiff"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_gamma_of_a_png_becomes_a_profile_elsewhere(mode, format):
    picture = decoded(with_chunks(mode, gAMA=struct.pack(">I", 100_000)))
    again = decoded(encode(picture, picture.rgb, format))
    pixel = 128 if mode == "L" and format != "webp" else (128, 128, 128)
    assert np.abs(in_srgb(again.icc, pixel) - 188).max() <= 1  # linear light of one half


def test_chromaticities_of_a_png_become_a_profile_elsewhere():
    p3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    chunks = {"cHRM": struct.pack(">8I", *p3), "gAMA": struct.pack(">I", 45_455)}
    picture = decoded(with_chunks(**chunks))
    again = decoded(encode(picture, picture.rgb, "jpeg"))
    assert np.abs(in_srgb(again.icc, (200, 100, 50)) - in_srgb(P3_PROFILE, (200, 100, 50))).max() <= 1


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": struct.pack(">I", 45_455)},
        {"sRGB": b"\0", "gAMA": struct.pack(">I", 100_000)},
        {"gAMA": bytes(4)},
        {"gAMA": b"\xff" * 4},
        {"cHRM": bytes(32)},
        {"cHRM": b"\xff" * 32},
        {"cHRM": b"short"},
        {"cICP": bytes((1, 13, 0, 1))},
        {"cICP": b"\xff" * 4},
    ],
    ids=str,
)
def test_srgb_and_nonsense_make_no_profile(chunks):
    picture = decoded(with_chunks(**chunks))
    assert decoded(encode(picture, picture.rgb, "jpeg")).icc is None


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P"])
@pytest.mark.parametrize(
    "icc", [srgb_profile(), P3_PROFILE, profile._rgb_profile(profile.SRGB_PRIMARIES, profile._parametric(1.8))]
)
def test_a_grey_result_never_carries_a_profile_for_rgb(mode, icc):
    image = draw("L").quantize(64) if mode == "P" else draw(mode)
    picture = decoded(save(image, "png", icc_profile=icc))
    for format in OUT_FORMATS:
        if format == "jpeg" and mode == "LA":
            continue
        again = decoded(encode(picture, picture.rgb, format))
        if again.icc:
            assert profile.color_space(again.icc) == ("RGB" if format == "webp" else "GRAY")
            if format != "webp":
                assert np.abs(in_srgb(again.icc, 100) - in_srgb(icc, (100, 100, 100))).max() <= 1
        else:
            assert np.abs(in_srgb(icc, (100, 100, 100)) - 100).max() <= 1


def test_a_grey_profile_fits_rgb_pixels_too():
    grey = profile._grey_profile(profile._parametric(1.8))
    picture = decoded(save(draw("L"), "jpeg", icc_profile=grey))
    assert decoded(encode(picture, picture.rgb, "png")).icc == grey
    webp = decoded(encode(picture, picture.rgb, "webp")).icc
    assert np.abs(in_srgb(webp, (100, 100, 100)) - in_srgb(grey, 100)).max() <= 1


def test_a_curve_that_no_colour_library_reads_does_not_end_a_grey_result():
    at = P3_PROFILE.index(b"para")
    broken = P3_PROFILE[: at + 8] + b"\xe0\xe0" + P3_PROFILE[at + 10 :]
    assert profile._tag(broken, b"gTRC") is not None
    assert profile.fit(broken, grey=True) is None
    picture = decoded(save(draw("L"), "png", icc_profile=broken))
    for format in OUT_FORMATS:
        assert decoded(encode(picture, picture.rgb, format)).grey or format == "webp"


@pytest.mark.parametrize("icc", [b"no profile" * 20, srgb_profile()[:200], b"", P3_PROFILE[:132] + bytes(400)])
def test_what_is_no_profile_is_none(icc):
    picture = decoded(save(draw("RGB"), "jpeg", icc_profile=icc))
    for format in OUT_FORMATS:
        answer = decoded(encode(picture, picture.rgb, format))
        assert answer.icc in (None, icc)
    assert profile.fit(icc, grey=True) is None
