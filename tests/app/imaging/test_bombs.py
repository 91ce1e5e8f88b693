"""Files that are made to do harm: each is refused, or read as the small picture it is, in bounded work."""

import sys

import numpy as np
import pytest
from PIL import Image

from app.errors import AnimatedImage, DmsrError, NotAnImage, UndecodableImage
from app.imaging.decode import decode
from app.imaging.formats import READERS, avif, heic, isobmff, tiff_directory
from app.imaging.picture import ImageLimits
from app.imaging.probe import probe
from app.imaging.profile import for_transform
from app.settings import FORMATS
from tests import bombs
from tests.app.imaging.corpus import cmyk_profile, draw, save
from tests.pictures import drawn, encoded


def steps(function, *arguments):
    """Count the lines of Python that a call runs, whatever becomes of it."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event == "line"
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        function(*arguments)
    except DmsrError:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bombs.avif_of_many_items(160_000), "bytes of description"),
        (bombs.avif_of_many_items(1025), "items"),
        (bombs.avif_of_many_frames(9, 32, 32), "frames in one picture"),
        (bombs.tiff_of_shared_strips(300, 1000), "overlap"),
        (bombs.tiff_of_pages_in_a_circle(10), "no end"),
        (bombs.png_of_empty_blocks(70_000), "compressed bytes"),
    ],
    ids=["AVIF items", "fewer AVIF items", "AVIF frames", "TIFF strips", "TIFF pages", "PNG blocks"],
)
def test_a_bomb_is_refused_by_its_header(data, words):
    with pytest.raises(UndecodableImage, match=words):
        probe(data, ImageLimits())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_a_png_of_noise_that_is_not_compressed_passes(mode):
    """No sound picture takes more: nothing is saved, and the smallest rows have a byte of filter for each of pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 300, 4), np.uint8)
    picture = Image.fromarray(noise).convert("RGB" if mode in ("P", "1", "I;16") else mode).convert(mode)
    for image in (picture, picture.resize((1, 5000))):
        data = save(image, "png", compress_level=0)
        assert probe(data, ImageLimits()).width == image.width


def test_a_library_does_not_see_boxes_that_are_too_many(monkeypatch):
    for reader in (avif, heic):
        monkeypatch.setattr(reader, "open_image", lambda data: pytest.fail("it was opened"))
        monkeypatch.setattr(reader, "_primary", lambda data: pytest.fail("it was opened"), raising=False)
        with pytest.raises(UndecodableImage):
            reader.read(bombs.avif_of_many_items(160_000))


@pytest.mark.parametrize("items", [2000, 20_000])
def test_the_walk_of_boxes_does_not_grow_with_the_items(items):
    assert steps(isobmff.check_boxes, bombs.avif_of_many_items(items)) < 1000


def test_pages_are_read_to_the_second_full_one():
    one = bombs.tiff_of_pages_in_a_circle(100)
    assert steps(probe, one, ImageLimits()) < 5000
    pages = save(draw("RGB"), "tiff", save_all=True, append_images=[draw("RGB")] * 50)
    page = tiff_directory.first_directory(pages)
    assert tiff_directory.count_pages(pages, page) == 2
    with pytest.raises(AnimatedImage):
        probe(pages, ImageLimits())


@pytest.mark.parametrize("format", ["avif", "heic"])
def test_sound_pictures_of_many_kinds_pass(format):
    for data in (
        encoded(drawn(40, 50), format, quality=80),
        encoded(drawn(700, 900), format, quality=30),
        save(draw("RGBA"), "heif" if format == "heic" else format),
    ):
        assert probe(data, ImageLimits()).format == format


def test_an_avif_that_is_rebuilt_by_the_tests_is_sound():
    """So that a bomb of one frame is refused for nothing else."""
    data = bombs.avif_of_many_frames(1, 32, 48)
    picture = decode(data, probe(data, ImageLimits()))
    assert (picture.height, picture.width) == (32, 48)


def test_a_sequence_is_refused_as_one():
    data = save(draw("RGB"), "avif", save_all=True, append_images=[draw("RGB").rotate(180)])
    with pytest.raises(AnimatedImage):
        probe(data, ImageLimits())


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_boxes_that_are_cut_off_are_refused_as_such(cut):
    whole = encoded(drawn(16, 16), "avif")
    with pytest.raises(DmsrError):
        probe(whole[: len(whole) - 1 - cut % len(whole)][: max(len(whole) - 10 * cut, 40)], ImageLimits())


@pytest.mark.parametrize("channels", [4, 15])
def test_pipelines_of_a_profile_are_not_read(channels):
    """Thousands of elements in a profile change nothing: the pixels are those of one without."""
    few, many = (bombs.jpeg_of_many_elements(count, channels) for count in (1, 400))
    assert steps(decode, many, probe(many, ImageLimits())) < 2 * steps(decode, few, probe(few, ImageLimits()))
    for data in (few, many):
        assert b"mpet" in data
    profile = cmyk_profile((255, 255, 255), (0, 0, 0))
    assert b"A2B0" in for_transform(profile)
    assert b"D2B" not in for_transform(profile)


def test_a_profile_of_too_many_tags_is_refused():
    profile = bytearray(cmyk_profile((255, 255, 255), (0, 0, 0)))
    profile[128:132] = (101).to_bytes(4, "big")
    with pytest.raises(UndecodableImage, match="tags"):
        for_transform(bytes(profile))


def test_formats_can_be_switched_off():
    data = encoded(drawn(8, 8), "webp")
    assert probe(data, ImageLimits(formats=("webp",))).format == "webp"
    with pytest.raises(NotAnImage, match=r"does not read WEBP\. It reads JPEG, PNG\."):
        probe(data, ImageLimits(formats=("jpeg", "png")))


def test_the_settings_know_all_formats():
    assert set(FORMATS) == set(READERS)
