"""Bytes to an upright picture. Knows nothing of limits: what it is given has been probed."""

import math

import numpy as np
from PIL.Image import Image

from app.errors import UndecodableImage
from app.imaging import color
from app.imaging.fault import picture_at_fault
from app.imaging.formats import READERS
from app.imaging.formats.png import colour_chunks
from app.imaging.picture import Picture, Probe

# Display and printer profiles stay under 4 MB; a JPEG holds 16 MB at most.
MAX_ICC_BYTES = 8 << 20

# By orientation, rows and columns already swapped from 5 on: the axes along which the stored picture runs against the
# displayed one (EXIF 2.32, 4.6.5.1).
_REVERSED_AXES = ((), (1,), (0, 1), (0,), (), (0,), (0, 1), (1,))


def decode(data: bytes, probe: Probe) -> Picture:
    """Return the picture upright; raise UndecodableImage when the data is not what the probe says.

    Peak memory, input aside, is Pillow's image (4 bytes a pixel) and the picture's own arrays (3 to 6), beside what the
    codec itself holds.
    """
    with picture_at_fault(probe.format), READERS[probe.format].open_image(data) as image:
        _check_agreement(image, probe)
        icc = image.info.get("icc_profile") or None
        if icc and len(icc) > MAX_ICC_BYTES:
            raise UndecodableImage("The colour profile is too large.", limit=MAX_ICC_BYTES, observed=len(icc))
        dpi = _plausible(image.info.get("dpi"))
        image.load()
        rgb, alpha, grey16 = _pixels(image, probe)
        return Picture(
            rgb=rgb,
            grey=color.is_grey(image),
            alpha=alpha,
            grey16=grey16,
            icc=None if image.mode == "CMYK" else icc,
            exif=probe.exif,
            dpi=dpi[::-1] if dpi and probe.orientation >= 5 else dpi,
            png_colour=colour_chunks(data) if probe.format == "png" else (),
        )


def _check_agreement(image: Image, probe: Probe) -> None:
    """Make sure that Pillow, which reads headers its own way, is about to make what the probe has promised."""
    size = (probe.height, probe.width) if probe.orientation >= 5 else (probe.width, probe.height)
    deep = image.mode.startswith("I;16")
    if image.size != size or deep != (probe.bits == 16) or (color.has_alpha(image) and not probe.alpha):
        raise UndecodableImage(f"The {probe.format.upper()} header contradicts itself.")


def _pixels(image: Image, probe: Probe) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    rgb = np.empty((probe.height, probe.width, 3), np.uint8)
    stored = _as_stored(rgb, probe.orientation)
    if image.mode.startswith("I;16"):
        grey16 = np.empty((probe.height, probe.width), np.uint16)
        stored16 = _as_stored(grey16, probe.orientation)
        for rows in color.row_bands(image.height, image.width):
            stored16[rows] = np.asarray(_band(image, rows))
            stored[rows] = color.narrow(stored16[rows])[..., None]
        return rgb, None, grey16
    alpha = np.empty((probe.height, probe.width), np.uint8) if color.has_alpha(image) else None
    stored_alpha = None if alpha is None else _as_stored(alpha, probe.orientation)
    convert = color.band_converter(image)
    for rows in color.row_bands(image.height, image.width):
        samples = np.asarray(convert(_band(image, rows)))
        samples = samples.reshape(*samples.shape[:2], -1)
        stored[rows] = samples[..., :3] if samples.shape[2] >= 3 else samples[..., :1]
        if stored_alpha is not None:
            stored_alpha[rows] = samples[..., -1]
    return rgb, alpha, None


def _as_stored(displayed: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of an upright array whose rows and columns are those of the file."""
    view = displayed.swapaxes(0, 1) if orientation >= 5 else displayed
    return np.flip(view, _REVERSED_AXES[orientation - 1])


def _band(image: Image, rows: slice) -> Image:
    return image.crop((0, rows.start, image.width, rows.stop))


def _plausible(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return a resolution that every format can write, or None."""
    if not dpi or not all(math.isfinite(value) and 1 < value <= 65_535 for value in dpi):
        return None
    return float(dpi[0]), float(dpi[1])
