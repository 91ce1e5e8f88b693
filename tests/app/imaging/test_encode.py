"""The way out: which format holds what, and what the numbers in the file are."""

import numpy as np
import pytest
from PIL import Image

from app.errors import NotAcceptable
from app.imaging.decode import decode
from app.imaging.encode import OUT_FORMATS, check_format, encode
from app.imaging.picture import ImageLimits, Picture
from app.imaging.probe import probe

from .corpus import camera_exif, draw, save, srgb_profile

LIMITS = ImageLimits()


def decoded(data: bytes) -> Picture:
    return decode(data, probe(data, LIMITS))


@pytest.mark.parametrize("format", OUT_FORMATS)
@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA", "I;16"])
def test_the_probe_tells_what_a_format_cannot_hold(mode, format):
    """Header and picture give the same verdict, so that the header's can be asked before any work."""
    data = save(draw(mode), "png")
    seen, picture = probe(data, LIMITS), decoded(data)
    refused = {"jpeg": ("LA", "RGBA", "I;16"), "webp": ("I;16",)}.get(format, ())
    for known in (seen, picture):
        if known is seen and format == "jpeg" and "A" in mode:
            check_format(known, format)  # the pixels may be opaque, which only they tell
        elif mode in refused:
            with pytest.raises(NotAcceptable, match="PNG or TIFF"):
                check_format(known, format)
        else:
            check_format(known, format)
    if mode in refused:
        with pytest.raises(NotAcceptable):
            encode(picture, picture.rgb, format)


def test_webp_ends_at_16383_pixels():
    for width in (16_383, 16_384):
        seen = probe(save(Image.new("L", (width, 1)), "png"), LIMITS)
        if width == 16_383:
            check_format(seen, "webp")
            continue
        with pytest.raises(NotAcceptable) as refusal:
            check_format(seen, "webp")
        assert refusal.value.extra == {"limit": 16_383, "observed": 16_384}


def test_sixteen_bits_move_by_257_for_each_step_of_eight():
    before = np.array([[0, 1000, 40_000, 65_000, 65_535]], np.uint16)
    picture = decoded(save(Image.fromarray(before), "png"))
    steps = np.array([[-1, 3, -20, 5, 0]])
    restored = np.clip(picture.rgb.astype(int) + steps[..., None], 0, 255).astype(np.uint8)
    made = (restored[..., 0].astype(int) - picture.rgb[..., 0]) * 257
    for format in ("png", "tiff"):
        after = decoded(encode(picture, restored, format)).deep[..., 0]
        assert after.tolist() == np.clip(before + made, 0, 65_535).tolist()
    residual = decoded(encode(picture, restored, "png", output="residual")).deep[..., 0]
    np.testing.assert_array_equal(residual, np.abs(after.astype(int) - before))


def test_grey_is_the_rounded_mean_of_the_three_channels():
    picture = decoded(save(Image.new("L", (3, 1), 100), "png"))
    restored = np.array([[[10, 10, 11], [10, 11, 11], [0, 0, 255]]], np.uint8)
    again = decoded(encode(picture, restored, "png"))
    assert again.grey
    assert again.rgb[0, :, 0].tolist() == [10, 11, 85]


def test_the_residual_is_what_was_removed_and_keeps_alpha():
    picture = decoded(save(draw("RGBA"), "png"))
    restored = picture.rgb // 2
    residual = decoded(encode(picture, restored, "png", output="residual"))
    np.testing.assert_array_equal(residual.rgb, picture.rgb - restored)
    np.testing.assert_array_equal(residual.alpha, picture.alpha)
    rising = decoded(encode(picture, 255 - restored, "png", output="residual"))
    np.testing.assert_array_equal(rising.rgb, np.abs(255 - restored.astype(int) - picture.rgb))


@pytest.mark.parametrize("format", OUT_FORMATS)
def test_strip_leaves_the_camera_out_and_the_colours_in(format):
    picture = decoded(save(draw("RGB"), "jpeg", exif=camera_exif(3), icc_profile=srgb_profile()))
    kept = decoded(encode(picture, picture.rgb, format))
    stripped_bytes = encode(picture, picture.rgb, format, metadata="strip")
    stripped = decoded(stripped_bytes)
    assert b"Rainmaker" in kept.exif
    assert b"Rainmaker" not in stripped_bytes
    assert stripped.exif == b""
    assert stripped.icc == kept.icc == picture.icc


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_quality_trades_bytes_for_likeness(format):
    picture = decoded(save(draw("RGB", 200, 200), "png"))
    sizes = [len(encode(picture, picture.rgb, format, quality=quality)) for quality in (10, 60, 98)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


def test_colours_under_full_transparency_survive_in_png_tiff():
    picture = decoded(save(draw("RGB"), "png"))
    hidden = Picture(rgb=picture.rgb, alpha=np.zeros(picture.rgb.shape[:2], np.uint8))
    for format in ("png", "tiff"):
        np.testing.assert_array_equal(decoded(encode(hidden, hidden.rgb, format)).rgb, picture.rgb)


def test_the_inputs_are_left_alone():
    picture = decoded(save(draw("RGBA"), "png"))
    restored = 255 - picture.rgb
    copies = picture.rgb.copy(), picture.alpha.copy(), restored.copy()
    for format in ("png", "webp", "tiff"):
        encode(picture, restored, format, output="residual")
    np.testing.assert_equal((picture.rgb, picture.alpha, restored), copies)
