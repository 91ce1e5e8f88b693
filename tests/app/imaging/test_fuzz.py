"""Mutated files: every one is decoded or refused with a RequestError, and none takes long."""

import random
import struct
import zlib
from collections import Counter
from io import BytesIO
from time import perf_counter

import numpy as np
import pytest
import tifffile

from app.errors import RequestError
from app.imaging.decode import decode
from app.imaging.encode import OUT_FORMATS, encode
from app.imaging.picture import ImageLimits
from app.imaging.probe import probe
from tests.pictures import drawn, encoded

from .corpus import STORABLE, TAGGED, camera_exif, deep_png, deep_samples, draw, save, srgb_profile

LIMITS = ImageLimits(max_pixels=4_000_000)
SECONDS_A_CASE = 2


def seeds() -> list[bytes]:
    files = []
    for format, modes in STORABLE.items():
        for mode in modes:
            profile = None if mode == "CMYK" else srgb_profile()
            tags = {"exif": camera_exif(6), "icc_profile": profile} if format in TAGGED else {}
            files.append(save(draw(mode, 40, 30), format, **tags))
    files += [save(draw("RGB", 40, 30), "tiff", compression=name) for name in ("tiff_lzw", "jpeg", "packbits")]
    files += [deep_png(deep_samples(channels), interlaced) for channels in (2, 3, 4) for interlaced in (False, True)]
    for samples in (deep_samples(2), deep_samples(3), deep_samples(4)):
        for big, planes in ((False, "contig"), (True, "separate")):
            file, stored = BytesIO(), samples if planes == "contig" else np.moveaxis(samples, -1, 0).copy()
            with tifffile.TiffWriter(file, bigtiff=big, byteorder=">" if big else "<") as writer:
                colours = {"photometric": "rgb" if samples.shape[2] > 2 else "minisblack", "planarconfig": planes}
                extra = {"extrasamples": ["assocalpha"]} if samples.shape[2] != 3 else {}
                writer.write(stored, compression="zlib", predictor=True, **colours, **extra)
            files.append(file.getvalue())
    files += [encoded(drawn(30, 40), format) for format in ("heic", "jxl")]
    files += [save(draw("P", 40, 30), "gif"), save(draw("P", 40, 30), "gif", transparency=2)]
    return [*files, save(draw("RGB", 40, 30), "jpeg", progressive=True), save(draw("RGBA"), "webp", lossless=True)]


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Change, insert, remove or cut a few bytes, most often in the header, and mend the checksums of half the PNGs."""
    mutant = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 12))):
        at = dice.randrange(min(len(mutant), dice.choice((64, 400, 10**9))))
        kind = dice.randrange(6)
        if kind == 0:
            mutant[at] = dice.randrange(256)
        elif kind == 1:
            mutant[at] ^= 1 << dice.randrange(8)
        elif kind == 2:
            mutant[at : at + 4] = dice.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", dice.randbytes(4)))
        elif kind == 3:
            mutant[at:at] = mutant[at : at + dice.randrange(1, 60)]
        elif kind == 4:
            del mutant[at : at + dice.randrange(1, 40)]
        else:
            del mutant[max(at, 4) :]
        mutant = mutant or bytearray(1)
    return mend_checksums(mutant) if dice.random() < 0.5 else bytes(mutant)


def mend_checksums(data: bytearray) -> bytes:
    """Make a mutated PNG's chunks pass their checksums, so that what they say is believed."""
    at = 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        end = at + 8 + struct.unpack_from(">I", data, at)[0]
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(data)


def outcome(data: bytes, format: str) -> str:
    """Name how the way in and out ended; anything but a refusal passes through."""
    try:
        seen = probe(data, LIMITS)
        picture = decode(data, seen, "accept")
        assert picture.rgb.shape == (seen.height, seen.width, 3)
        assert picture.alpha is None or seen.alpha
        assert (picture.bits == 16) == (seen.bits > 8)
        encode(picture, 255 - picture.rgb, format)
    except RequestError as refusal:
        return type(refusal).__name__
    return "ok"


def run(cases: int, seed: int) -> Counter:
    dice, files, outcomes = random.Random(seed), seeds(), Counter()
    for _ in range(cases):
        mutant, format = mutate(dice.choice(files), dice), dice.choice(list(OUT_FORMATS))
        start = perf_counter()
        try:
            outcomes[outcome(mutant, format)] += 1
        except Exception as crash:
            raise AssertionError(f"{crash!r} for {format} from {mutant!r}") from crash
        assert perf_counter() - start < SECONDS_A_CASE, mutant
    return outcomes


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_five_hundred_mutants():
    outcomes = run(500, seed=1)
    assert outcomes["ok"] > 25
    assert outcomes["UndecodableImage"] > 100


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(10))
def test_three_thousand_mutants_more(seed):
    run(3000, seed=100 + seed)
