"""EXIF: what travels on, what does not, and that no bytes whatever can break the cleaning."""

import random
import struct
import tracemalloc
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from app.errors import DmsrError
from app.imaging.decode import decode
from app.imaging.encode import OUT_FORMATS, encode
from app.imaging.metadata import clean_exif, read_orientation
from app.imaging.picture import ImageLimits, Picture
from app.imaging.probe import probe

from .corpus import camera_exif, draw, save

EXIF = camera_exif(6)


def read_back(exif: bytes) -> tuple[Image.Exif, dict]:
    block = Image.Exif()
    block.load(exif)
    return block, block.get_ifd(ExifTags.IFD.Exif)


def test_camera_and_exposure_stay_and_the_size_follows_the_picture():
    main, exposure = read_back(clean_exif(EXIF, 17, 23))
    assert main[ExifTags.Base.Make] == "Rainmaker"
    assert main[ExifTags.Base.Orientation] == 1
    assert exposure[ExifTags.Base.DateTimeOriginal] == "2024:05:06 07:08:09"
    assert float(exposure[ExifTags.Base.ExposureTime]) == pytest.approx(0.008)
    assert (exposure[ExifTags.Base.ExifImageWidth], exposure[ExifTags.Base.ExifImageHeight]) == (17, 23)


def test_position_maker_note_and_thumbnail_are_gone():
    cleaned = clean_exif(EXIF, 17, 23)
    main, exposure = read_back(cleaned)
    assert ExifTags.IFD.GPSInfo not in main
    assert ExifTags.Base.MakerNote not in exposure
    assert b"serial number" not in cleaned
    assert main.get_ifd(ExifTags.IFD.IFD1) == {}


@pytest.mark.parametrize("format", OUT_FORMATS)
def test_no_position_leaves_in_any_format(format):
    """Neither from EXIF nor from XMP, which can hold a position too."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">exif:GPSLatitude="48,8N"</x:xmpmeta>'
    data = save(draw("RGB"), "jpeg", exif=EXIF, xmp=xmp)
    picture = decode(*_probed(data))
    answer = encode(picture, picture.rgb, format)
    with Image.open(BytesIO(answer)) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.GPSInfo) == {}
    assert b"GPSLatitude" not in answer
    assert b"serial number" not in answer


@given(
    st.binary(max_size=400), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"Exif\0\0II*\0\x08\0\0\0"])
)
def test_any_bytes_can_be_cleaned(body, start):
    cleaned = clean_exif(start + body, 5, 4)
    assert 1 <= read_orientation(start + body) <= 8
    assert cleaned == b"" or clean_exif(cleaned, 5, 4) == cleaned


def broken_exif(kind: str) -> bytes:
    """An EXIF block of maker, date and one fault."""
    entries = struct.pack("<HHI4s", 0x010F, 2, 4, b"Cam\0") + struct.pack("<HHII", 0x0132, 2, 20, 50)
    date = b"2024:01:02 03:04:05\0"
    count, more = {
        "pointer beyond the end": (3, struct.pack("<HHII", 0x8769, 4, 1, 60_000)),
        "pointer to itself": (3, struct.pack("<HHII", 0x8769, 4, 1, 8)),
        "pointer of a wrong type": (3, struct.pack("<HHII", 0x8769, 2, 1, 60)),
        "position beyond the end": (3, struct.pack("<HHII", 0x8825, 4, 1, 2**32 - 1)),
        "value beyond the end": (3, struct.pack("<HHII", 0x0131, 2, 5000, 60)),
        "value of an unknown type": (3, struct.pack("<HHII", 0x0131, 99, 1, 60)),
        "fewer fields than said": (900, struct.pack("<HHII", 0, 0, 0, 0)),
    }[kind]
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + more + bytes(4) + date


@pytest.mark.parametrize(
    "kind",
    [
        "pointer beyond the end",
        "pointer to itself",
        "pointer of a wrong type",
        "position beyond the end",
        "value beyond the end",
        "value of an unknown type",
        "fewer fields than said",
    ],
)
def test_one_fault_does_not_cost_the_readable_rest(kind):
    main, _ = read_back(clean_exif(broken_exif(kind), 5, 4))
    assert (main[0x010F], main[0x0132]) == ("Cam", "2024:01:02 03:04:05")


@pytest.mark.parametrize(("unit", "dpi"), [(2, 300), (3, 762), (None, 300)])
@pytest.mark.parametrize("format", ["jpeg", "webp", "png"])
def test_a_resolution_that_stands_in_the_exif_only_comes_back(format, unit, dpi):
    exif = Image.Exif()
    exif[282], exif[283] = 300.0, 300.0
    if unit:
        exif[296] = unit
    data = save(draw("RGB"), format, exif=exif.tobytes())
    if format == "jpeg":  # without its JFIF header, which has a resolution of its own
        at = data.index(b"\xff\xe0")
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    picture = decode(*_probed(data))
    for out in ("png", "jpeg", "tiff"):
        for metadata in ("keep", "strip"):
            answer = encode(picture, picture.rgb, out, metadata=metadata)
            assert decode(*_probed(answer)).dpi == pytest.approx((dpi, dpi), rel=1e-3)


@pytest.mark.parametrize("exif", [b"", EXIF], ids=["without EXIF", "with EXIF"])
def test_a_resolution_beside_the_exif_comes_back_in_a_webp(exif):
    picture = decode(*_probed(save(draw("RGB"), "png", dpi=(300.5, 150), exif=exif)))
    answer = encode(picture, picture.rgb, "webp")
    assert decode(*_probed(answer)).dpi == pytest.approx(picture.dpi, rel=1e-3)
    assert read_back(picture.exif)[1] == read_back(decode(*_probed(answer)).exif)[1]
    with Image.open(BytesIO(encode(picture, picture.rgb, "webp", metadata="strip"))) as stripped:
        assert "exif" not in stripped.info


def test_two_resolutions_turn_with_the_picture():
    exif = Image.Exif()
    exif[282], exif[283], exif[296], exif[0x0112] = 300.0, 150.0, 2, 6
    picture = decode(*_probed(save(draw("RGB"), "webp", exif=exif.tobytes())))
    assert picture.dpi == (150, 300)
    main, _ = read_back(picture.exif)
    assert (main[282], main[283]) == (150, 300)


def test_an_endless_value_does_not_grow():
    """Fields that all claim the same bytes are taken while they fit a JPEG's one segment."""
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {tag: b"x" * 30_000 for tag in range(0xC000, 0xC010)}
    assert len(clean_exif(exif.tobytes(), 5, 4)) < 60_000


def test_fields_that_claim_the_whole_file_are_not_copied():
    """In a big-endian directory, a thousand fields claim the same megabyte. Their copies would fill the memory."""
    body, count = bytes(2**20), 1000
    entries = b"".join(struct.pack(">HHII", 0x9C9B + n, 3, len(body) // 2, 64) for n in range(count))
    directory = struct.pack(">H", count) + entries + bytes(4)
    data = b"MM\0*" + struct.pack(">I", 64 + len(body)) + bytes(56) + body + directory
    tracemalloc.start()
    cleaned = clean_exif(data, 5, 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cleaned == b""
    assert peak < 2**21


def test_whatever_survives_cleaning_can_be_written_everywhere():
    """Mutated EXIF blocks, cleaned, never stop an encoder, and the file can be read again."""
    dice, picture = random.Random(3), decode(*_probed(save(draw("RGB", 5, 4), "png")))
    for _ in range(150):
        block = bytearray(EXIF)
        for _ in range(dice.choice((1, 2, 6))):
            block[dice.randrange(6, len(block))] = dice.choice(
                (0, 1, 2, 3, 4, 5, 7, 10, 12, 13, 255, dice.randrange(256))
            )
        tagged = Picture(picture.rgb, exif=clean_exif(bytes(block), 5, 4))
        for format in OUT_FORMATS:
            try:
                decode(*_probed(encode(tagged, tagged.rgb, format)))
            except DmsrError as fault:
                pytest.fail(f"{format}: {fault!r} from {fault.__cause__!r} with {bytes(block)!r}")


def _probed(data: bytes):
    return data, probe(data, ImageLimits())


@pytest.mark.parametrize("offset", [1 << 20, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_directory_behind_any_end_is_none(offset):
    """Past 2^63 the offset is no index, and that was no error that anyone expected."""
    exif = b"II+\0" + struct.pack("<HHQ", 8, 0, offset)
    assert (read_orientation(exif), clean_exif(exif, 4, 3)) == (1, b"")
    pointing = b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<QHHQQQ", 1, 0x8769, 16, 1, offset, 0)
    assert clean_exif(pointing, 4, 3) == b""
    assert probe(save(draw("RGB"), "jpeg", exif=b"Exif\0\0" + exif), ImageLimits()).orientation == 1
