"""Where a picture's rain is and at which size it is best restored, by what the network does to a few windows of it.

Pure numpy: windows before and after in, a judgement out. Three measured facts tell rain and its size. Rain lies over
most of a picture, while detail that is mistaken for it fills few places: `Response.amount`. The removed light is as
fine as the streaks: `Response.fineness`. And streaks become finer by as much as the picture becomes smaller, which
drops and detail do not. `python -m benchmarks.scales --parts responses` measures the first two for other weights.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.inference.tiling import Pixels

OCTAVES = (1, 2, 4, 8, 16)
"""By how much a picture is made smaller for a survey."""

SMALLEST = 1 / OCTAVES[-1]
"""The smallest scale: there, streaks of 50 pixels look like those that the network knows."""

_LEAST_AMOUNT = 0.15
"""Rain is found from here on. Rain12's lightest has 1.0, sparse drops and flakes 0.1 to 0.5, and four of five clear
photos stay below 0.1."""

_FINE = 0.28
"""Streaks up to 1.7 times as wide as the narrowest known are this fine; twice as wide, 0.21 to 0.26. Of these the next
octave takes a twelfth more. It is always an octave: half way to the next, sharp rain leaves its edges."""

_TORN = 0.05
"""Rain that the network tears, adding light on the way, is judged at the next octave: its squares were 0.08 to 0.17 of
those of the removed light in weights that knew narrow streaks only, and are below 0.01 where streaks go whole."""

_SAME_AMOUNT, _FINER = 0.8, 2.4
"""One rain at two octaves: about as much goes at the second, or what goes is so much finer there, for each octave
between. Rain12 enlarged has 0.6 to 2.8 times as much and is 2.2 to 4.1 times as fine; drops, dashes and flakes have 0.4
to 0.8 and are 0.8 to 2.4 times as fine."""

_LEAST_DROPS, _LEAST_DROPS_FINENESS, _LEFT, _MORE = 0.8, 0.07, 0.4, 1.5
"""Where drops are, at least so much goes, it is no smooth slope, and at the next octave so much of it still goes; where
there is no next, so much more than at the octave before. Of clear photos none of 50 of up to a megapixel was taken for
drops, and one of Kodak24's 24, enlarged by 2."""

_BLOCK = 16
"""Side in pixels of the squares in which light and detail are counted."""


@dataclass(frozen=True)
class Response:
    """Hold what the network did to windows of a picture.

    amount: light removed from typical blocks, in steps of 8 bits, less twice the light added; rain only adds light.
    fineness: squared slopes of the removed light by its squares; about 0.67 for streaks as wide as known.
    added: squares of the light added by those of the light removed.
    """

    amount: float
    fineness: float
    added: float

    @property
    def found(self) -> bool:
        """Tell whether there is rain."""
        return self.amount >= _LEAST_AMOUNT

    @property
    def fine(self) -> bool:
        """Tell whether the streaks are about as wide as known."""
        return self.fineness >= _FINE

    @property
    def torn(self) -> bool:
        """Tell whether the streaks were torn, not removed whole."""
        return self.added > _TORN

    @property
    def like_drops(self) -> bool:
        """Tell whether this could be drops, taken off whole."""
        return self.amount >= _LEAST_DROPS and self.fineness >= _LEAST_DROPS_FINENESS and not self.torn

    @classmethod
    def measure(cls, before: Pixels, after: Pixels) -> "Response":
        """Compare windows before and after, uint8 (n, H, W, 3)."""
        change = before.mean(axis=-1, dtype=np.float32) - after.mean(axis=-1, dtype=np.float32)
        removed, added = np.maximum(change, 0), np.maximum(-change, 0)
        energy = float((removed * removed).sum()) or 1.0
        slopes = sum(float((np.diff(removed, axis=axis) ** 2).sum()) for axis in (1, 2))
        amount = _typical(removed) - 2 * _typical(added)
        return cls(amount, slopes / energy, float((added * added).sum()) / energy)


def choose(responses: dict[int, Response], coarsest: int) -> int | None:
    """Return by how much to make the picture smaller for the finest rain found, an octave; None for no rain.

    What is too large at a scale and gone at the next was detail.
    coarsest: the picture's last octave, after which there is no next.
    """
    found = {at: response for at, response in sorted(responses.items()) if response.found}
    streaks = _octave_of_streaks(found, coarsest)
    drops = _octave_of_drops(found, streaks, coarsest)
    return streaks if drops is None else drops


def _octave_of_streaks(found: dict[int, Response], coarsest: int) -> int | None:
    """Return the finest octave where streaks are about as wide as known and removed whole.

    Where they are torn at every such octave, it is the finest of these with half the most that was removed at any. At
    the coarsest they may be wider, if they have become finer as streaks do.
    """
    known = {
        at: response
        for at, response in found.items()
        if response.fine or (at == coarsest and _as_much_finer(found, at // 2, at))
    }
    enough = max((response.amount for response in known.values()), default=0.0) / 2
    fallback = next((at for at, response in known.items() if response.amount >= enough), None)
    return next((at for at, response in known.items() if not response.torn), fallback)


def _octave_of_drops(found: dict[int, Response], streaks: int | None, coarsest: int) -> int | None:
    """Return the finest octave with drops, unless streaks are finer, or are the same rain.

    Drops are less fine than streaks as wide, so they look too large, but they go best where they are found first. Rain
    that is too large at every octave goes best at full size. Where the coarsest octave comes alone, the one before had
    nothing or has just been restored.
    """
    at = next((at for at, response in found.items() if response.like_drops), None)
    if at is None or (streaks is not None and streaks <= at):
        return None
    if at == coarsest > 1:
        return at if at // 2 not in found or found[at].amount >= _MORE * found[at // 2].amount else None
    if 2 * at not in found or found[2 * at].amount < _LEFT * found[at].amount:
        return None  # it was detail
    other = streaks if streaks is not None and streaks > at else 2 * at
    same = found[other].amount >= _SAME_AMOUNT * found[at].amount or _as_much_finer(found, at, other)
    return None if same and (streaks is not None or at > 1) else at


def _as_much_finer(found: dict[int, Response], at: int, coarser: int) -> bool:
    """Tell whether what is removed at a coarser octave is finer by as much as one rain would be."""
    if at not in found:
        return False
    finer: float = _FINER ** math.log2(coarser / at)
    return found[coarser].fineness >= finer * found[at].fineness


def ordinary_windows(image: Pixels, tile: int, count: int) -> Pixels:
    """Cut windows, (n, tile, tile, 3): of each part of the picture one that is as rich in detail as most of it.

    Rain is there as well as anywhere, and a fence or a page of text, which could be mistaken for it, mostly is not.
    """
    height, width = image.shape[:2]
    parts = math.isqrt(count)
    edges = [
        [(length * part // parts, length * (part + 1) // parts) for part in range(parts)] for length in (height, width)
    ]
    places = {_ordinary(image, tile, rows, columns) for rows in edges[0] for columns in edges[1]}
    return np.stack([image[top : top + tile, left : left + tile] for top, left in sorted(places)])


def _ordinary(image: Pixels, tile: int, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[int, int]:
    """Return (top, left) of the window within rows and columns, or around them, with the median of slopes."""

    def starts(first: int, end: int, length: int) -> list[int]:
        # Eight places along a side are enough to know what is ordinary.
        last = max(min(end, length) - tile, 0)
        return sorted({round(place) for place in np.linspace(min(first, last), last, 8)})

    def detail(place: tuple[int, int]) -> tuple[float, tuple[int, int]]:
        top, left = place
        green = image[top : top + tile, left : left + tile, 1].astype(np.float32)
        return _typical(np.abs(np.diff(green, axis=1))[None]), place

    places = [(top, left) for top in starts(*rows, image.shape[0]) for left in starts(*columns, image.shape[1])]
    return sorted(places, key=detail)[len(places) // 2]


def _typical(light: NDArray[np.float32]) -> float:
    """Return the squared mean root of the blocks' means: their mean if light is spread evenly, far less if not."""
    count, height, width = light.shape
    rows, columns = max(height // _BLOCK, 1), max(width // _BLOCK, 1)
    light = light[:, : height // rows * rows, : width // columns * columns]
    blocks = light.reshape(count, rows, light.shape[1] // rows, columns, light.shape[2] // columns).mean(axis=(2, 4))
    return float(np.sqrt(blocks).mean() ** 2)
