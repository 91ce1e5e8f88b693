"""ICC profiles: for which colours one is, and profiles made for what a file says by numbers or chunks.

Sources: ICC.1:2022; ITU-T H.273 for code points (cICP, nclx); PNG third edition for gAMA and cHRM.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from app.errors import UndecodableImage

# Profiles of presses have a dozen tags; measurements may take as many again.
MAX_TAGS = 100

_HEADER_BYTES = 128
_TABLES = frozenset((b"A2B0", b"A2B1", b"A2B2", b"B2A0", b"B2A1", b"B2A2"))
_TABLE_TYPES = frozenset((b"mft1", b"mft2", b"mAB ", b"mBA "))
_FACTS = frozenset((b"wtpt", b"bkpt", b"chad", b"desc", b"cprt"))
_SPACES = {b"RGB ": "RGB", b"GRAY": "GRAY", b"CMYK": "CMYK"}
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D65 = (0.3127, 0.3290)
SRGB_GAMMA = 0.45455
SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
_ILLUMINANT_C = (0.310, 0.316)
_PRIMARIES = {
    1: SRGB_PRIMARIES,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _ILLUMINANT_C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _ILLUMINANT_C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_UNSPECIFIED = 2
_LINEAR, _SRGB, _PQ, _HLG = 8, 13, 16, 18
# By transfer code: the exponents of the plain power laws, and those whose curve is BT.709's.
_POWERS = {4: 2.2, 5: 2.8, _LINEAR: 1.0}
_BT709 = (1, 6, 14, 15)
_CURVE_POINTS = 1024

Primaries = Sequence[tuple[float, float]]


def color_space(icc: bytes) -> str | None:
    """Return "RGB", "GRAY" or "CMYK"; None for another space and for what is no whole profile."""
    whole = len(icc) > _HEADER_BYTES and icc[36:40] == b"acsp" and int.from_bytes(icc[:4], "big") <= len(icc)
    return _SPACES.get(icc[16:20]) if whole else None


def for_transform(icc: bytes) -> bytes:
    """Return a profile of only those tags that a transform from CMYK reads.

    Raise UndecodableImage for too many tags, and struct.error for a table that is cut off.

    Left out are pipelines of processing elements (D2B0 and its kin, of the type mpet), of which a small tag may have
    thousands that share their data; those who cannot read them take the tables beside them (ICC.1:2022, 9.2.17).
    """
    (count,) = struct.unpack_from(">I", icc, _HEADER_BYTES)
    if count > MAX_TAGS:
        raise UndecodableImage("The colour profile has more tags than one needs.", limit=MAX_TAGS, observed=count)
    kept = {}
    for at in range(_HEADER_BYTES + 4, _HEADER_BYTES + 4 + 12 * count, 12):
        name, start, size = struct.unpack_from(">4sII", icc, at)
        content = icc[start : start + size]
        if name in _FACTS or (name in _TABLES and content[:4] in _TABLE_TYPES):
            kept[name] = content
    if sum(map(len, set(kept.values()))) > len(icc):  # tags may be one, but not in part
        raise UndecodableImage("The colour profile's tags overlap.")
    return _lay_out(icc[:_HEADER_BYTES], list(kept.items()))


def fit(icc: bytes | None, grey: bool) -> bytes | None:
    """Return a profile for grey or for RGB pixels with the meaning of the given one; None when it has none for them.

    A grey pixel is an RGB pixel of three equal values, so the tone curve is all that such a profile says of it.
    """
    if not icc:
        return None
    space = color_space(icc)
    if space == ("GRAY" if grey else "RGB"):
        return icc
    if space == "RGB" and grey and (curve := _tag(icc, b"gTRC")):
        made = _grey_profile(curve)
        with suppress(ImageCms.PyCMSError):  # what no colour library reads has no meaning
            return None if _means_srgb(made) else made
    if space == "GRAY" and not grey and (curve := _tag(icc, b"kTRC")):
        return _rgb_profile(SRGB_PRIMARIES, curve)
    return None


def untold(icc: bytes | None, chunks: Mapping[bytes, bytes], grey: bool) -> str | None:
    """Say which meaning of the pixels is lost on the way, wholly or to most formats; None where nothing is."""
    if len(cicp := chunks.get(b"cICP", b"")) == 4:
        primaries, transfer = cicp[:2]
        sayable = usual_code_points(primaries, transfer) or from_code_points(primaries, transfer)
        words = f"The colours are named by numbers ({primaries}, {transfer}) that only a PNG can keep."
        return None if sayable else words
    wanted, other, curve = ("GRAY", "RGB", b"gTRC") if grey else ("RGB", "GRAY", b"kTRC")
    space = color_space(icc) if icc else wanted
    if icc is None or space == wanted or (space == other and _tag(icc, curve)):
        return None
    return f"The colour profile says nothing of {'grey' if grey else 'RGB'} pixels and is left out."


def from_chunks(chunks: Mapping[bytes, bytes], grey: bool = False) -> bytes | None:
    """Make the profile of a PNG's cICP, or gAMA and cHRM, in the order in which they count; None for sRGB.

    An sRGB chunk says that the others repeat it.
    """
    if len(cicp := chunks.get(b"cICP", b"")) == 4:
        return from_code_points(cicp[0], cicp[1], grey)
    gamma, chromaticities = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    if b"sRGB" in chunks or not (gamma or chromaticities):
        return None
    exponent = int.from_bytes(gamma, "big") / 100_000 if len(gamma) == 4 else SRGB_GAMMA
    primaries = SRGB_PRIMARIES
    if len(chromaticities) == 32:
        x_y = [number / 100_000 for number in struct.unpack(">8I", chromaticities)]
        white, *colours = zip(x_y[::2], x_y[1::2], strict=True)
        red, green, blue = colours
        primaries = (red, green, blue, white)
    usual = all(math.dist(*pair) < 0.002 for pair in zip(primaries, SRGB_PRIMARIES, strict=True))
    if usual and abs(exponent - SRGB_GAMMA) < 0.001:
        return None
    if not 0.01 < exponent < 10 or _degenerate(primaries):
        return None
    curve = _srgb_curve() if abs(exponent - SRGB_GAMMA) < 0.001 else _parametric(1 / exponent)
    return _grey_profile(curve) if grey else _rgb_profile(primaries, curve)


def usual_code_points(primaries: int, transfer: int) -> bool:
    """Tell whether H.273 code points mean sRGB, or what is taken for it where nothing is said."""
    return primaries in (1, _UNSPECIFIED) and transfer in (1, 6, _SRGB, _UNSPECIFIED)


def from_code_points(primaries: int, transfer: int, grey: bool = False) -> bytes | None:
    """Make the profile of H.273 code points; None for those that are sRGB, unspecified or unknown here."""
    if (primaries, transfer) in ((1, _SRGB), (1, 1)) or primaries not in _PRIMARIES:
        return None
    curve = _transfer_curve(transfer)
    if curve is None:
        return None
    cicp = b"cicp" + bytes(4) + bytes((primaries, transfer, 0, 1))
    return _grey_profile(curve) if grey else _rgb_profile(_PRIMARIES[primaries], curve, cicp)


def _degenerate(primaries: Primaries) -> bool:
    """Tell whether primaries span no colours, or lie so that no profile can hold them."""
    (rx, ry), (gx, gy), (bx, by), _ = primaries
    area = abs((gx - rx) * (by - ry) - (bx - rx) * (gy - ry))
    return area < 0.01 or any(not (0 <= x <= 1 and 0.001 <= y <= 1) for x, y in primaries)


def _transfer_curve(transfer: int) -> bytes | None:
    if transfer in _POWERS:
        return _parametric(_POWERS[transfer])
    if transfer in _BT709:
        return _parametric(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
    if transfer == _SRGB:
        return _srgb_curve()
    signal = np.linspace(0, 1, _CURVE_POINTS)
    if transfer == _PQ:  # SMPTE ST 2084: 1 is 10,000 cd/m²
        root = signal ** (32 / 2523)
        light = (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305)
    elif transfer == _HLG:  # ARIB STD-B67: light of the scene
        upper = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = np.where(signal <= 0.5, signal**2 / 3, upper)
    else:
        return None
    values = np.round(np.clip(light, 0, 1) * 65_535).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", _CURVE_POINTS) + values.tobytes()


def _srgb_curve() -> bytes:
    return _parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _parametric(*numbers: float) -> bytes:
    """Write a curve: exponent alone, or exponent, a, b, c, d of the IEC 61966-2-1 kind."""
    kind = 0 if len(numbers) == 1 else 3
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _fixed(numbers)


def _fixed(numbers: Sequence[float]) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(65_536 * number) for number in numbers))


def _xyz(numbers: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(numbers)


def _text(words: str) -> bytes:
    encoded = words.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _grey_profile(curve: bytes) -> bytes:
    return _profile(b"GRAY", [(b"kTRC", curve)])


def _rgb_profile(primaries: Primaries, curve: bytes, cicp: bytes = b"") -> bytes:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    white = columns[:, 3]
    scaled = columns[:, :3] * np.linalg.solve(columns[:, :3], white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white)) @ _BRADFORD
    tags = [(b"chad", b"sf32" + bytes(4) + _fixed(adapted.ravel()))]
    tags += [
        (name + b"XYZ", _xyz(column)) for name, column in zip((b"r", b"g", b"b"), (adapted @ scaled).T, strict=True)
    ]
    tags += [(name + b"TRC", curve) for name in (b"r", b"g", b"b")]
    return _profile(b"RGB ", tags + ([(b"cicp", cicp)] if cicp else []))


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    tags = [(b"desc", _text("As the file said")), (b"cprt", _text("CC0")), (b"wtpt", _xyz(_D50)), *tags]
    header = struct.pack(">I4xI4s4s4s", 0, 0x04400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp").ljust(68 - len(header), b"\0") + _fixed(_D50)
    return _lay_out(header.ljust(_HEADER_BYTES, b"\0"), tags)


def _lay_out(header: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    """Write a profile: the header with another size, the table of tags, and each different content once."""
    at = _HEADER_BYTES + 4 + 12 * len(tags)
    table, body, placed = struct.pack(">I", len(tags)), b"", {}
    for name, content in tags:
        if content not in placed:
            placed[content] = at + len(body)
            body += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, placed[content], len(content))
    return struct.pack(">I", at + len(body)) + header[4:] + table + body


def _means_srgb(grey_icc: bytes) -> bool:
    """Tell whether grey pixels mean with the profile what they mean without any, to one step of 255."""
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    profile = ImageCms.ImageCmsProfile(BytesIO(grey_icc))
    seen = ImageCms.profileToProfile(ramp, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return bool((np.abs(np.asarray(seen).astype(int)[0] - np.arange(256)[:, None]) <= 1).all())


def _tag(icc: bytes, wanted: bytes) -> bytes | None:
    """Return the content of a tag of a profile, if it is a tone curve that lies within it."""
    count = min(int.from_bytes(icc[128:132], "big"), 100)
    for at in range(132, min(132 + 12 * count, len(icc) - 11), 12):
        name, start, size = struct.unpack_from(">4sII", icc, at)
        if name == wanted and start + size <= len(icc) and icc[start : start + 4] in (b"curv", b"para"):
            return icc[start : start + size]
    return None
