"""16 bits in colour and with transparency, in PNG and TIFF: in, out, and held against other libraries."""

import struct
import zlib
from io import BytesIO
from itertools import product

import numpy as np
import pytest
import tifffile

from app.errors import UndecodableImage, UnsupportedImage
from app.imaging.color import unmultiply
from app.imaging.decode import decode
from app.imaging.encode import encode
from app.imaging.picture import ImageLimits
from app.imaging.probe import probe

from .corpus import camera_exif, deep_png, deep_samples, srgb_profile
from .test_probe import png, png_chunk

LIMITS = ImageLimits()
LAYOUTS = list(
    product(
        (None, "zlib", "lzw", "packbits"), (False, True), ("contig", "separate"), (None, (16, 32)), (False, True), "<>"
    )
)


def decoded(data):
    return decode(data, probe(data, LIMITS))


def samples_of(picture):
    return picture.deep if picture.alpha is None else np.dstack([picture.deep, picture.alpha])


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_bit_of_a_png_is_read(channels, interlaced):
    samples = deep_samples(channels)
    picture = decoded(deep_png(samples, interlaced))
    np.testing.assert_array_equal(samples_of(picture), samples)
    assert (picture.bits, picture.grey) == (16, channels <= 2)
    assert np.abs(picture.rgb * 257.0 - picture.deep).max() <= 128.5


@pytest.mark.parametrize("format", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_bit_comes_back_with_what_belongs_to_it(format, channels):
    samples = deep_samples(channels)
    extra = [png_chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1)), png_chunk(b"eXIf", camera_exif(1)[6:])]
    if channels > 2:
        extra.append(png_chunk(b"iCCP", b"p\0\0" + zlib.compress(srgb_profile())))
    picture = decoded(deep_png(samples, False, *extra))
    answer = encode(picture, picture.rgb, format)
    again = decoded(answer)
    np.testing.assert_array_equal(samples_of(again), samples)
    assert again.icc == picture.icc
    assert again.dpi == pytest.approx((300, 150), rel=1e-3)
    assert b"Rainmaker" in again.exif
    assert b"Rainmaker" not in encode(picture, picture.rgb, format, metadata="strip")
    if format == "tiff":
        np.testing.assert_array_equal(tifffile.imread(BytesIO(answer)).reshape(samples.shape), samples)


def test_what_the_network_changed_is_added_in_all_channels():
    picture = decoded(deep_png(deep_samples(3), False))
    restored = np.clip(picture.rgb + np.array([-3, 0, 5]), 0, 255).astype(np.uint8)
    moved = (restored.astype(int) - picture.rgb) * 257
    after = decoded(encode(picture, restored, "png")).deep
    np.testing.assert_array_equal(after, np.clip(picture.deep + moved, 0, 65_535))
    residual = decoded(encode(picture, restored, "tiff", output="residual")).deep
    np.testing.assert_array_equal(residual, np.abs(after.astype(int) - picture.deep))


@pytest.mark.parametrize("colour_type", [0, 2])
def test_a_transparent_value_of_16_bits_becomes_alpha(colour_type):
    channels = 1 if colour_type == 0 else 3
    samples = deep_samples(channels)
    key = samples[3, 4]
    picture = decoded(deep_png(samples, False, png_chunk(b"tRNS", key.astype(">u2").tobytes())))
    np.testing.assert_array_equal(picture.alpha, np.where((samples == key).all(axis=2), 0, 65_535))


@pytest.mark.parametrize(("compression", "predictor", "planes", "tile", "big", "order"), LAYOUTS)
def test_every_layout_of_a_tiff_is_read(compression, predictor, planes, tile, big, order):
    """Strips, tiles, planes, both byte orders, classic and Big, as tifffile lays them out."""
    if predictor and compression in (None, "packbits"):
        pytest.skip("differences need a compression")
    for channels, kind in product((1, 2, 3, 4), (np.uint16, np.uint8)):
        samples = (deep_samples(channels) >> (0 if kind == np.uint16 else 8)).astype(kind)
        stored = samples[..., 0] if channels == 1 else samples
        if planes == "separate" and channels > 1:
            stored = np.ascontiguousarray(np.moveaxis(samples, -1, 0))
        file = BytesIO()
        with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as writer:
            writer.write(
                stored,
                photometric="rgb" if channels > 2 else "minisblack",
                planarconfig=planes if channels > 1 else None,
                extrasamples=["unassalpha"] if channels in (2, 4) else None,
                compression=compression,
                predictor=predictor,
                tile=tile,
                rowsperstrip=None if tile else 7,
            )
        picture = decoded(file.getvalue())
        colours = picture.deep if kind == np.uint16 else picture.rgb[..., : min(channels, 1 + 2 * (channels > 2))]
        np.testing.assert_array_equal(colours, samples[..., : colours.shape[2]])
        if channels in (2, 4):
            np.testing.assert_array_equal(picture.alpha, samples[..., -1])


def test_a_tiff_with_too_few_samples_a_pixel_is_refused():
    """Its planes would be none, by which the strips are divided."""
    file = BytesIO()
    stored = np.ascontiguousarray(np.moveaxis(deep_samples(3), -1, 0))
    tifffile.imwrite(file, stored, photometric="rgb", planarconfig="separate", byteorder="<", compression="zlib")
    samples_per_pixel = struct.pack("<HHI", 277, 3, 1)
    assert file.getvalue().count(samples_per_pixel) == 1
    at = file.getvalue().index(samples_per_pixel) + len(samples_per_pixel)
    data = file.getvalue()[:at] + struct.pack("<H", 0) + file.getvalue()[at + 2 :]
    with pytest.raises(UndecodableImage, match="0 samples a pixel"):
        decoded(data)


def test_premultiplied_colours_come_back_plain_and_none_is_lost():
    """Where the label cannot be true, the colours are taken as they stand: dividing would clip them."""
    plain = np.array([[[200, 100, 0, 128], [30, 60, 90, 255], [0, 0, 0, 0]]], np.uint8)
    multiplied = plain.copy()
    multiplied[..., :3] = np.round(plain[..., :3] * (plain[..., 3:] / 255))
    unmultiply(multiplied)
    assert np.abs(multiplied.astype(int) - plain).max() <= 1
    wrong = np.array([[[200, 100, 0, 100]]], np.uint8)
    unmultiply(wrong)
    assert wrong.tolist() == [[[200, 100, 0, 100]]]


@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_no_grey_tiff_with_alpha_becomes_invisible(extra, planes, compression):
    grey, alpha = np.full((20, 30), 90, np.uint8), np.full((20, 30), 200, np.uint8)
    file, axis = BytesIO(), -1 if planes == "contig" else 0
    stack = np.stack([grey, alpha], axis)
    tifffile.imwrite(
        file, stack, photometric="minisblack", planarconfig=planes, extrasamples=[extra], compression=compression
    )
    picture = decoded(file.getvalue())
    assert (picture.alpha == 200).all()
    assert np.abs(picture.rgb - (90.0 if extra == "unassalpha" else 90 * 255 / 200)).max() <= 0.5


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize(
    ("photometric", "extra", "alpha"),
    [
        ("minisblack", ["unspecified"] * 3, None),
        ("minisblack", ["unspecified", "unassalpha"], 2),
        ("miniswhite", ["unassalpha"], 1),
        ("rgb", ["unspecified"], None),
        ("rgb", ["unspecified", "unassalpha", "unspecified"], 4),
    ],
)
def test_further_channels_of_a_tiff_are_found_or_their_loss_said(photometric, extra, alpha, planes, kind):
    colours = 3 if photometric == "rgb" else 1
    samples = deep_samples(colours + len(extra)).astype(kind)
    stored = samples.copy()
    if photometric == "miniswhite":
        stored[..., 0] = np.iinfo(kind).max - stored[..., 0]
    if planes == "separate":
        stored = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    file = BytesIO()
    tifffile.imwrite(file, stored, photometric=photometric, planarconfig=planes, extrasamples=extra)
    picture = decoded(file.getvalue())
    found = picture.deep if kind == np.uint16 else picture.rgb[..., :colours]
    np.testing.assert_array_equal(found, samples[..., :colours])
    np.testing.assert_array_equal(picture.alpha, None if alpha is None else samples[..., alpha])
    lost = len(extra) - (alpha is not None)
    assert len(picture.warnings) == (lost > 0)
    assert all(f"{lost} of the TIFF's" in warning for warning in picture.warnings)


def test_a_sound_tiff_of_a_kind_that_is_not_read_is_not_called_damaged():
    file = BytesIO()
    tifffile.imwrite(file, deep_samples(5).astype(np.uint8), photometric="separated", extrasamples=["unassalpha"])
    with pytest.raises(UnsupportedImage, match="not read here"):
        decoded(file.getvalue())


def test_an_undefined_sample_format_is_unsigned():
    from PIL import Image, TiffImagePlugin

    fields = TiffImagePlugin.ImageFileDirectory_v2()
    fields[339] = (4, 4, 4)
    fields.tagtype[339] = 3
    file = BytesIO()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(file, "tiff", tiffinfo=fields)
    assert (decoded(file.getvalue()).rgb == (1, 2, 3)).all()


def test_a_png_is_checked_by_its_bytes_not_by_ours():
    """A picture written by hand, sample by sample."""
    row = b"\0" + struct.pack(">6H", 1, 256, 65_535, 513, 0, 40_000)
    picture = decoded(png(2, 1, 16, 2, png_chunk(b"IDAT", zlib.compress(row))))
    assert picture.deep.tolist() == [[[1, 256, 65_535], [513, 0, 40_000]]]
