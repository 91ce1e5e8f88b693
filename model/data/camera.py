"""What a camera and the net do to a picture: lens, sensor, sharpening, resizing, JPEG.

Knows nothing of rain or haze. A pair goes through the same camera with the same noise, input and target alike: the
network is to remove weather and to leave the rest. If only the input had noise and blocks of JPEG, it would learn to
smooth them away, and clear photos would lose their texture. Where nothing fell both pictures come out equal to the bit,
so the lesson there is "leave it".
"""

from dataclasses import dataclass

import numpy as np

from model.data.picture import Picture, blur, quantise, resize, through_jpeg, to_float


@dataclass(frozen=True)
class Camera:
    """Describe the road of a picture from the lens to the file.

    blur: σ of lens and focus in pixels, 0–1.2.
    noise: standard deviation at middle grey, in parts of white, 0–0.04; a quarter of its variance does not depend on
        the light, the rest grows with it (Foi et al., IEEE TIP 2008).
    grain: σ of the noise's own blur in pixels, 0–0.8, as demosaicing leaves it.
    sharpening: the part of what a blur of 1 pixel takes away that is added, 0–1.2.
    detail: the picture is shrunk to this part of its sides and enlarged again, 0.4–1: the net's resizing.
    quality: of JPEG, 60–95; 0 for none. coarse_colour: 4:2:0 instead of 4:4:4.
    """

    blur: float = 0.0
    noise: float = 0.0
    grain: float = 0.0
    sharpening: float = 0.0
    detail: float = 1.0
    quality: int = 0
    coarse_colour: bool = True

    def take(self, pictures: tuple[Picture, ...], rng: np.random.Generator) -> tuple[Picture, ...]:
        """Send pictures of one shape through the same camera; noise and the grid of blocks are drawn once."""
        noise = None
        if self.noise:
            noise = rng.standard_normal(pictures[0].shape, np.float32)
            if self.grain:
                noise = _soften(noise, self.grain)
        down, right = rng.integers(0, 8, 2).tolist()
        return tuple(self._take(picture, noise, (down, right)) for picture in pictures)

    def _take(self, picture: Picture, noise: np.ndarray | None, shift: tuple[int, int]) -> Picture:
        if self.blur:
            picture = blur(picture, self.blur)
        if noise is not None or self.sharpening:
            light = to_float(picture)
            if noise is not None:
                light = light + noise * self.noise * np.sqrt(0.25 + 1.5 * light)
            if self.sharpening:
                light = light + self.sharpening * (light - to_float(blur(quantise(light), 1.0)))
            picture = quantise(light)
        height, width = picture.shape[:2]
        if self.detail < 1:
            small = resize(picture, round(height * self.detail), round(width * self.detail))
            picture = resize(small, height, width)
        if self.quality:
            padded = np.pad(picture, ((shift[0], 0), (shift[1], 0), (0, 0)), "edge")
            stored = through_jpeg(padded, self.quality, "4:2:0" if self.coarse_colour else "4:4:4")
            picture = stored[shift[0] :, shift[1] :]
        return picture


def sample_camera(rng: np.random.Generator) -> Camera:
    """Draw one camera: nearly all pictures of the net are JPEG files, many have been resized or sharpened."""
    return Camera(
        blur=float(rng.uniform(0.3, 1.2)) if rng.random() < 0.25 else 0.0,
        noise=float(rng.uniform(0.003, 0.04)) if rng.random() < 0.4 else 0.0,
        grain=float(rng.uniform(0.3, 0.8)) if rng.random() < 0.5 else 0.0,
        sharpening=float(rng.uniform(0.2, 1.2)) if rng.random() < 0.3 else 0.0,
        detail=float(rng.uniform(0.4, 0.9)) if rng.random() < 0.25 else 1.0,
        quality=int(rng.integers(60, 96)) if rng.random() < 0.9 else 0,
        coarse_colour=bool(rng.random() < 0.7),
    )


def _soften(noise: np.ndarray, sigma: float) -> np.ndarray:
    """Blur noise by a 3×3 binomial-like kernel of about sigma pixels, and give it its strength back."""
    side = sigma**2 / 2 / (1 + sigma**2)
    kernel = np.array([side, 1 - 2 * side, side], np.float32)
    for axis in (0, 1):
        before, after = np.roll(noise, 1, axis), np.roll(noise, -1, axis)
        noise = kernel[0] * (before + after) + kernel[1] * noise
    return noise / np.float32((kernel**2).sum())
