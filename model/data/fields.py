"""Smooth random fields over a whole scene, of which a training crop sees its part.

Knows nothing of pictures. A field invented for each crop would be far too uneven.
"""

from dataclasses import dataclass

import numpy as np

Corner = tuple[float, float, float, float]
"""Where a crop lies in its picture: top, bottom, left, right as parts of its sides."""

WHOLE: Corner = (0.0, 1.0, 0.0, 1.0)


@dataclass(frozen=True)
class Field:
    """Hold random values on a coarse grid over a scene, interpolated by smoothstep; mostly in [0, 1]."""

    grid: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, knots: int = 4) -> "Field":
        """Draw knots × knots values from 0 to 1: with four, at most some three hills across a scene."""
        return cls(rng.random((knots, knots)).astype(np.float32))

    def over(self, place: Corner, height: int, width: int) -> np.ndarray:
        """Return the part at a place of the scene as (height, width) float32; beyond the scene its border goes on."""
        across = self._weights(place[2], place[3], width)
        values: np.ndarray = self._weights(place[0], place[1], height) @ self.grid @ across.T
        return values

    def _weights(self, begin: float, end: float, count: int) -> np.ndarray:
        knots = len(self.grid)
        place = np.clip(np.linspace(begin, end, count), 0, 1) * (knots - 1)
        low = np.minimum(place.astype(int), knots - 2)
        part = place - low
        part = part * part * (3 - 2 * part)
        matrix = np.zeros((count, knots), np.float32)
        matrix[np.arange(count), low] = 1 - part
        matrix[np.arange(count), low + 1] = part
        return matrix
