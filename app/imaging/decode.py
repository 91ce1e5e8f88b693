"""Bytes to an upright picture. Knows nothing of limits: what it is given has been probed."""

import math
from collections.abc import Iterator
from typing import Literal, NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import DTypeLike
from PIL.Image import Image

from app.errors import UndecodableImage
from app.imaging import color, profile
from app.imaging.fault import picture_at_fault
from app.imaging.formats import READERS
from app.imaging.formats.header import Samples
from app.imaging.metadata import read_resolution
from app.imaging.picture import Picture, Probe

# Display and printer profiles stay under 4 MB; a JPEG holds 16 MB at most.
MAX_ICC_BYTES = 8 << 20

# By orientation, rows and columns already swapped from 5 on: the axes along which the stored picture runs against the
# displayed one (EXIF 2.32, 4.6.5.1).
_REVERSED_AXES = ((), (1,), (0, 1), (0,), (), (0,), (0, 1), (1,))


class NewArray(Protocol):
    """Make an array for `rgb`, `deep` or `alpha` of a picture, whatever is in it."""

    def __call__(self, name: str, shape: tuple[int, ...], kind: DTypeLike, /) -> np.ndarray: ...


class _Pixels(TypedDict):
    """The arrays of a Picture, by their names there."""

    rgb: np.ndarray
    grey: bool
    alpha: np.ndarray | None
    deep: NotRequired[np.ndarray | None]


def _new_array(_: str, shape: tuple[int, ...], kind: DTypeLike) -> np.ndarray:
    return np.empty(shape, kind)


def decode(
    data: bytes, probe: Probe, damaged: Literal["refuse", "accept"] = "refuse", new_array: NewArray = _new_array
) -> Picture:
    """Return the picture upright; raise UndecodableImage when the data is not what the probe says.

    damaged: what becomes of a picture of which a part is missing; "accept" returns it and says how much.
    new_array: where the pixels go. Peak memory,
    input aside, is Pillow's image (4 bytes a pixel) and the picture's own arrays (3 to 6, twice as much for 16 bits),
    beside what the codec itself holds.
    """
    reader = READERS[probe.format]
    with picture_at_fault(probe.format):
        data, missing = reader.complete(data) if hasattr(reader, "complete") else (data, 0.0)
        if missing and damaged == "refuse":
            raise UndecodableImage(
                f"{_percent(missing)} of the {probe.format.upper()} is missing. Send the whole file, or ask with "
                "damaged=accept for what there is.",
                observed=round(missing, 4),
            )
        samples = reader.read_deep(data) if hasattr(reader, "read_deep") else None
        if samples is None:
            with reader.open_image(data) as image:
                return _picture(probe, data, missing, *_pillow_pixels(image, probe, new_array))
        return _picture(probe, data, missing, *_sample_pixels(samples, probe, new_array))


def _picture(
    probe: Probe,
    data: bytes,
    missing: float,
    pixels: _Pixels,
    icc: bytes | None,
    dpi: tuple[float, float] | None,
) -> Picture:
    if icc and len(icc) > MAX_ICC_BYTES:
        raise UndecodableImage("The colour profile is too large.", limit=MAX_ICC_BYTES, observed=len(icc))
    dpi = _plausible(dpi[::-1] if dpi and probe.orientation >= 5 else dpi)
    reader = READERS[probe.format]
    # In AVIF and HEIC a profile goes before numbers (MIAF, 7.3.6.4); in PNG it is the other way round.
    numbers = hasattr(reader, "colour_chunks") and (probe.format == "png" or not icc)
    chunks = reader.colour_chunks(data) if numbers else ()
    icc = None if probe.mode == "cmyk" else icc or None
    untold = profile.untold(icc, dict(chunks), pixels["grey"])
    return Picture(
        **pixels,
        icc=icc,
        exif=probe.exif,
        dpi=dpi or _plausible(read_resolution(probe.exif)),
        png_colour=chunks,
        warnings=(*_warnings(probe, data, missing), *([untold] if untold else [])),
    )


def _warnings(probe: Probe, data: bytes, missing: float) -> Iterator[str]:
    reader = READERS[probe.format]
    if missing:
        yield f"{_percent(missing)} of the {probe.format.upper()} was missing."
    if hasattr(reader, "narrowing") and (narrowed := reader.narrowing(data)):
        yield narrowed


def _percent(part: float) -> str:
    return f"{max(part, 0.001):.1%}"


def _pillow_pixels(
    image: Image, probe: Probe, new_array: NewArray
) -> tuple[_Pixels, bytes | None, tuple[float, float] | None]:
    """Return the arrays of a Picture from one that Pillow reads as it is, its profile and its resolution."""
    _check_agreement(image.size, color.has_alpha(image), probe)
    if image.mode.startswith(("I", "F")) or probe.bits > 8:  # values beyond 8 bits come from read_deep
        raise UndecodableImage(f"The {probe.format.upper()} header contradicts itself.")
    icc, dpi = image.info.get("icc_profile"), image.info.get("dpi")
    if icc and len(icc) > MAX_ICC_BYTES:
        raise UndecodableImage("The colour profile is too large.", limit=MAX_ICC_BYTES, observed=len(icc))
    image.load()
    rgb = new_array("rgb", (probe.height, probe.width, 3), np.uint8)
    stored = _as_stored(rgb, probe.orientation)
    alpha = new_array("alpha", (probe.height, probe.width), np.uint8) if color.has_alpha(image) else None
    stored_alpha = None if alpha is None else _as_stored(alpha, probe.orientation)
    convert = color.band_converter(image)
    for rows in color.row_bands(image.height, image.width):
        samples = np.asarray(convert(image.crop((0, rows.start, image.width, rows.stop))))
        samples = samples.reshape(*samples.shape[:2], -1)
        stored[rows] = samples[..., :3] if samples.shape[2] >= 3 else samples[..., :1]
        if stored_alpha is not None:
            stored_alpha[rows] = samples[..., -1]
    return {"rgb": rgb, "grey": color.is_grey(image), "alpha": alpha}, icc, dpi


def _sample_pixels(
    samples: Samples, probe: Probe, new_array: NewArray
) -> tuple[_Pixels, bytes | None, tuple[float, float] | None]:
    """Return the arrays of a Picture from samples of 8 or 16 bits, their profile and their resolution."""
    values = samples.values
    height, width, channels = values.shape
    deep = values.dtype == np.uint16
    _check_agreement((width, height), channels in (2, 4), probe)
    if deep != (probe.bits > 8):
        raise UndecodableImage(f"The {probe.format.upper()} header contradicts itself.")
    colours = 1 if channels <= 2 else 3
    rgb = new_array("rgb", (probe.height, probe.width, 3), np.uint8)
    kept = new_array("deep", (probe.height, probe.width, colours), np.uint16) if deep else None
    alpha = new_array("alpha", (probe.height, probe.width), values.dtype) if channels in (2, 4) else None
    stored_rgb = _as_stored(rgb, probe.orientation)
    stored = None if kept is None else _as_stored(kept, probe.orientation)
    for rows in color.row_bands(height, width):
        band = values[rows][..., :colours]
        stored_rgb[rows] = color.narrow(band) if deep else band
        if stored is not None:
            stored[rows] = band
    if alpha is not None:
        _as_stored(alpha, probe.orientation)[:] = values[..., -1]
    pixels: _Pixels = {"rgb": rgb, "grey": colours == 1, "alpha": alpha, "deep": kept}
    return pixels, samples.icc, samples.dpi


def _check_agreement(size: tuple[int, int], alpha: bool, probe: Probe) -> None:
    """Make sure that the codec, which reads headers its own way, makes what the probe has promised."""
    promised = (probe.height, probe.width) if probe.orientation >= 5 else (probe.width, probe.height)
    if size != promised or (alpha and not probe.alpha):
        raise UndecodableImage(f"The {probe.format.upper()} header contradicts itself.")


def _as_stored(displayed: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of an upright array whose rows and columns are those of the file."""
    view = displayed.swapaxes(0, 1) if orientation >= 5 else displayed
    return np.flip(view, _REVERSED_AXES[orientation - 1])


def _plausible(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return a resolution that every format can write, or None."""
    if not dpi or not all(math.isfinite(value) and 1 < value <= 65_535 for value in dpi):
        return None
    return float(dpi[0]), float(dpi[1])
