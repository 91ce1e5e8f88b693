"""TIFF's samples as they are: 16 bits, planes, any kind of alpha, which Pillow narrows, mixes up or does not take.

Pillow undoes the compression only, of what it is told is a grey picture of bytes; numpy makes samples of them.
"""

from typing import NamedTuple

import numpy as np

from app.errors import UndecodableImage
from app.imaging import color
from app.imaging.formats.tiff_directory import Directory, Tag, longs, open_with
from app.imaging.ifd import Field

_DIFFERENCES, _CODED_WITH_THEM = 2, (5, 8, 32946)
_INVERTED, _RGB = 0, 2
_ALPHA = frozenset((1, 2, 999))  # associated, unassociated, Corel's
_ASSOCIATED, _UNASSOCIATED = 1, 2


class Layout(NamedTuple):
    """Say which samples a pixel has, and their bits: colours, then others, of which that at `alpha_at` is alpha."""

    colours: int
    alpha_at: int | None
    associated: bool
    samples: int
    bits: int
    planes: int

    @property
    def alpha(self) -> bool:
        return self.alpha_at is not None

    @property
    def plain(self) -> bool:
        """Tell whether Pillow reads such samples as they are."""
        return self.bits < 8 or (self.bits == 8 and self.samples == self.colours)


def layout(page: Directory) -> Layout:
    """Read the layout of a grey or RGB picture."""
    samples, extra = page.value(Tag.SAMPLES, 1), page.values(Tag.EXTRA_SAMPLES)
    colours = 3 if page.value(Tag.PHOTOMETRIC, 0) == _RGB else 1
    if colours == 3 and samples == 4 and not extra:
        extra = (_UNASSOCIATED,)
    found = [(colours + place, kind) for place, kind in enumerate(extra[: samples - colours]) if kind in _ALPHA]
    alpha_at, kind = found[0] if found else (None, None)
    planes = samples if page.value(Tag.PLANES, 1) == 2 else 1
    return Layout(colours, alpha_at, kind == _ASSOCIATED, samples, max(page.values(Tag.BITS, (1,))), planes)


def read_samples(data: bytes, page: Directory) -> np.ndarray:
    """Return the samples, uint8 or uint16 (H, W, colours and alpha), colours not premultiplied, black being zero."""
    found = layout(page)
    if found.samples < found.colours:
        raise UndecodableImage(f"The TIFF has {found.samples} samples a pixel; its colours need {found.colours}.")
    width, height = page.value(Tag.WIDTH, 0), page.value(Tag.HEIGHT, 0)
    kept = [*range(found.colours), *([] if found.alpha_at is None else [found.alpha_at])]
    result = np.empty((height, width, len(kept)), np.uint16 if found.bits == 16 else np.uint8)
    if found.planes == 1:
        result[:] = _plane(data, page, found, 0)[..., kept]
    else:
        for place, plane in enumerate(kept):
            result[..., place] = _plane(data, page, found, plane)[..., 0]
    if page.value(Tag.PHOTOMETRIC, 0) == _INVERTED:
        colours = result[..., : found.colours]
        np.subtract(np.iinfo(result.dtype).max, colours, out=colours)
    if found.associated:
        color.unmultiply(result)
    return result


def _plane(data: bytes, page: Directory, found: Layout, plane: int) -> np.ndarray:
    """Return the samples (H, W, samples of the plane) of one plane, in the machine's byte order."""
    per_pixel = found.samples if found.planes == 1 else 1
    width, height = page.value(Tag.WIDTH, 0), page.value(Tag.HEIGHT, 0)
    pixel_bytes = per_pixel * found.bits // 8
    fields: dict[int, Field] = {}
    if Tag.FILL_ORDER in page.fields:
        fields[Tag.FILL_ORDER] = page.fields[Tag.FILL_ORDER].little_endian(page.order)
    fields |= {Tag.WIDTH: longs(width * pixel_bytes), Tag.HEIGHT: longs(height), Tag.BITS: longs(8)}
    fields |= {Tag.COMPRESSION: longs(page.value(Tag.COMPRESSION, 1)), Tag.PHOTOMETRIC: longs(1)}
    tiled = Tag.TILE_OFFSETS in page.fields
    if tiled:
        columns = page.value(Tag.TILE_WIDTH, width)
        rows = {Tag.TILE_WIDTH: columns * pixel_bytes, Tag.TILE_HEIGHT: page.value(Tag.TILE_HEIGHT, height)}
        tags = (Tag.TILE_OFFSETS, Tag.TILE_BYTES)
    else:
        columns, rows = width, {Tag.ROWS_PER_STRIP: min(page.value(Tag.ROWS_PER_STRIP, height), height)}
        tags = (Tag.STRIP_OFFSETS, Tag.STRIP_BYTES)
    fields |= {tag: longs(value) for tag, value in rows.items()}
    for tag in tags:
        values = page.values(tag)
        count = len(values) // found.planes
        if not count or len(values) % found.planes:
            raise UndecodableImage("The TIFF's strips or tiles are not those of its planes.")
        fields[tag] = longs(*values[plane * count : (plane + 1) * count])
    with open_with(data, fields) as image:
        packed = np.asarray(image)
    stored = np.dtype(np.uint8) if found.bits == 8 else np.dtype(f"{page.order}u2")
    samples = packed.view(stored).reshape(height, width, per_pixel)
    samples = samples.astype(stored.newbyteorder("="), copy=False)
    if page.value(Tag.PREDICTOR, 1) == _DIFFERENCES and page.value(Tag.COMPRESSION, 1) in _CODED_WITH_THEM:
        # Each row holds differences to the pixel on its left, anew in every tile.
        parts = [samples[:, left : left + columns] for left in range(0, width, columns)]
        samples = np.concatenate([np.cumsum(part, axis=1, dtype=samples.dtype) for part in parts], axis=1)
    return samples
