"""Scenes drawn by code whose contents look like rain and are none: to train on, to judge by, and to test with.

Knows nothing of files or of the network: a kind and a random generator in, a clean picture out. Everything is drawn at
twice its size, so that edges come out smooth. Trained on photos alone, the network blurred a facade of small windows
and wiped out a car's chrome grille. The file is long because it has a function for each of thirteen kinds; none needs
another.
"""

import string
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from model.data.fields import WHOLE, Field
from model.data.picture import Picture, quantise, to_float

DRAWN = 2
"""Drawn so many times larger than asked for."""

Colour = tuple[int, int, int]
Painter = Callable[[Image.Image, np.random.Generator], None]


def draw_scene(rng: np.random.Generator, kind: str | None = None, height: int = 384, width: int = 512) -> Picture:
    """Draw one scene of a kind of SCENES, a random one unless given; raises ValueError for another."""
    kind = kind or str(rng.choice(list(SCENES)))
    if kind not in SCENES:
        raise ValueError(f"scene is {kind!r}; it must be one of {', '.join(SCENES)}")
    image = Image.new("RGB", (DRAWN * width, DRAWN * height), _colour(rng, 40, 200))
    SCENES[kind](image, rng)
    if kind not in FLAT and rng.random() < 0.5:
        image = _seen_from_the_side(image, rng)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    light = rng.uniform(0.65, 1) + rng.uniform(0, 0.5) * (Field.draw(rng).over(WHOLE, height, width) - 0.5)
    grain = rng.normal(0, rng.uniform(0, 0.025), (height, width, 1)).astype(np.float32)
    return quantise(to_float(np.asarray(image)) * light[..., None].astype(np.float32) + grain)


def draw_scenes(count: int, seed: int, kinds: Sequence[str] = ()) -> list[Picture]:
    """Draw so many scenes, the kinds in turn, every one unless some are named; the same seed gives the same ones."""
    kinds = kinds or list(SCENES)
    return [draw_scene(np.random.default_rng((seed, index)), kinds[index % len(kinds)]) for index in range(count)]


def _facade(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint rows of windows, from a distant tower block to a house across the street."""
    pen, (width, height) = ImageDraw.Draw(image), image.size
    image.paste(_colour(rng, 60, 220), (0, 0, width, height))
    if rng.random() < 0.4:
        _bricks(image, rng)
    across = _size(rng, 10, 160)
    down = across * rng.uniform(0.8, 1.8)
    pane_width, pane_height = across * rng.uniform(0.3, 0.75), down * rng.uniform(0.35, 0.8)
    frame = None if rng.random() < 0.3 else _colour(rng, 90, 255)
    dark = int(rng.integers(10, 90))
    mullions = rng.integers(0, 3) if across > 40 else 0
    for top in np.arange(down * rng.random() - down, height, down):
        if rng.random() < 0.2:
            pen.rectangle((0, top - down * 0.12, width, top - down * 0.04), fill=_colour(rng, 90, 240))
        for left in np.arange(across * rng.random() - across, width, across):
            box = (left, top, left + pane_width, top + pane_height)
            lit = rng.random() < 0.12
            glass = _colour(rng, 170, 255) if lit else _near(rng, (dark, dark + 6, dark + 14), 14)
            pen.rectangle(box, fill=glass, outline=frame, width=max(1, int(across * 0.05)))
            for bar in range(1, mullions + 1):
                at = left + pane_width * bar / (mullions + 1)
                pen.line(
                    (at, top, at, top + pane_height), fill=frame or (200, 200, 200), width=max(1, int(across / 30))
                )


def _bricks(image: Image.Image, rng: np.random.Generator) -> None:
    pen, (width, height) = ImageDraw.Draw(image), image.size
    down = _size(rng, 6, 40)
    across, joint = down * rng.uniform(2, 3.2), max(1.0, down * rng.uniform(0.08, 0.25))
    image.paste(_colour(rng, 120, 220), (0, 0, width, height))
    brick = np.array([rng.integers(90, 190), rng.integers(50, 120), rng.integers(40, 110)])
    for row, top in enumerate(np.arange(0, height, down)):
        for left in np.arange(-across * (row % 2) / 2, width, across):
            pen.rectangle((left, top, left + across - joint, top + down - joint), fill=_near(rng, brick, 14))


def _slats(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint blinds, shutters, corrugated walls and striped cloth: even bars, lying or upright."""
    width, height = image.size
    upright = rng.random() < 0.5
    period, share = _size(rng, 5, 60), rng.uniform(0.2, 0.8)
    along = np.arange(width if upright else height, dtype=np.float32) / period % 1
    edge = np.clip((share - along) * period / 2, 0, 1) * np.clip(along * period / 2, 0, 1)
    shade = edge if rng.random() < 0.5 else np.sin(2 * np.pi * along) * 0.5 + 0.5
    first, second = (np.asarray(_colour(rng, low, high), np.float32) for low, high in ((20, 140), (120, 255)))
    bars = first + shade[:, None] * (second - first)
    image.paste(Image.fromarray(_spread(bars, upright, width, height)))


def _railing(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint bars before a blurred scene: railings, pickets, the grille of a car."""
    _background(image, rng)
    pen, (width, height) = ImageDraw.Draw(image), image.size
    pitch = _size(rng, 10, 120)
    bar = max(1.0, pitch * rng.uniform(0.08, 0.45))
    colour = _colour(rng, 150, 255) if rng.random() < 0.65 else _colour(rng, 0, 90)
    lean = rng.uniform(-0.4, 0.4) * (rng.random() < 0.4)
    top, bottom = height * rng.uniform(0, 0.4), height * rng.uniform(0.6, 1)
    for left in np.arange(-pitch, width + pitch, pitch):
        foot = left + lean * (bottom - top)
        pen.polygon([(left, top), (left + bar, top), (foot + bar, bottom), (foot, bottom)], fill=_near(rng, colour, 6))
        pen.line(
            (left + bar * 0.75, top, foot + bar * 0.75, bottom), fill=_near(rng, colour, 40), width=max(1, int(bar / 4))
        )
    for level in (top, bottom):
        pen.rectangle((0, level - bar, width, level + bar * 0.5), fill=colour)


def _grille(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint chrome: glossy bars, lying or upright, over black."""
    width, height = image.size
    upright = rng.random() < 0.7
    period, share = _size(rng, 8, 80), rng.uniform(0.25, 0.6)
    along = np.arange(width if upright else height, dtype=np.float32) / period % 1
    gloss = np.sin(np.pi * np.minimum(along / share, 1)).clip(0) ** rng.uniform(0.5, 3)
    bars = rng.uniform(8, 50) + gloss[:, None] * np.asarray(_near(rng, (190, 195, 205), 30), np.float32)
    image.paste(Image.fromarray(_spread(bars, upright, width, height)))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 3)):
        level = rng.uniform(0, height)
        pen.rectangle((0, level, width, level + rng.uniform(10, 60)), fill=_colour(rng, 120, 240))


def _mesh(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint a wire fence, or nets and lattices: two families of slanted lines."""
    _background(image, rng)
    pen, (width, height) = ImageDraw.Draw(image), image.size
    pitch, slope = _size(rng, 14, 110), rng.uniform(0.6, 1.8)
    colour, thick = _colour(rng, 120, 255) if rng.random() < 0.7 else _colour(rng, 0, 70), int(rng.integers(1, 5))
    for side in (1, -1):
        for left in np.arange(-height / slope - pitch, width + height / slope + pitch, pitch):
            pen.line((left, 0, left + side * height / slope, height), fill=colour, width=thick)


def _wires(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint masts, wires, bare twigs and birches before the sky."""
    _background(image, rng)
    pen, (width, height) = ImageDraw.Draw(image), image.size
    for _ in range(rng.integers(6, 60)):
        x, y, angle = rng.uniform(0, width), rng.uniform(0, height), rng.normal(0, 0.5)
        length = rng.uniform(0.1, 1.2) * height
        colour = _colour(rng, 0, 80) if rng.random() < 0.5 else _colour(rng, 170, 255)
        end = (x + np.sin(angle) * length, y + np.cos(angle) * length)
        pen.line((x, y, *end), fill=colour, width=int(rng.integers(1, 9)))


def _letters(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint lines of letters in the font that comes with Pillow."""
    pen, (width, height) = ImageDraw.Draw(image), image.size
    ground, ink = _colour(rng, 150, 255), _colour(rng, 0, 110)
    if rng.random() < 0.5:
        ground, ink = ink, ground
    image.paste(ground, (0, 0, width, height))
    top = 0.0
    while top < height:
        size = _size(rng, 14, 150)
        font = ImageFont.load_default(size)
        # Letters made of upright strokes are the ones that rain resembles.
        text = "".join(rng.choice(list(string.ascii_letters + string.digits + "  Illi1|/Tt!"), int(3 * width / size)))
        pen.text(
            (-rng.uniform(0, size), top), text, fill=ink if rng.random() < 0.8 else _colour(rng, 0, 255), font=font
        )
        top += size * rng.uniform(1.0, 1.8)


def _blades(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint grass, reeds, straw, fur and hair: thousands of thin strokes that nearly share a direction."""
    pen, (width, height) = ImageDraw.Draw(image), image.size
    hair = rng.random() < 0.4
    base = np.array([[70, 95, 40], [150, 130, 70], [60, 45, 35], [200, 175, 130]][int(rng.integers(4))])
    image.paste(_near(rng, base * 0.5, 10), (0, 0, width, height))
    length, lean = (rng.uniform(150, 500), rng.normal(0, 0.5)) if hair else (_size(rng, 16, 160), rng.normal(0, 0.15))
    thick = int(rng.integers(1, 5))
    for _ in range(int(min(6000, 1.2 * width * height / (length * thick * 2)))):
        x, y, bend = rng.uniform(0, width), rng.uniform(0, height + length), rng.normal(lean, 0.08 if hair else 0.3)
        middle = (x + bend * length / 2, y - length / 2)
        end = (x + (bend + rng.normal(0, 0.15)) * length, y - length)
        pen.line([(x, y), middle, end], fill=_near(rng, base * rng.uniform(0.5, 1.6), 12), width=thick)


def _water(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint waves in perspective, with glints."""
    width, height = image.size
    rows = np.linspace(0.02, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    far, side = 1 / (rows + 0.08), columns / (rows + 0.08)
    waves = np.zeros((height, width), np.float32)
    for _ in range(9):
        pitch, drift = rng.uniform(4, 40), rng.normal(0, 12)
        waves += np.sin(pitch * far + drift * side + rng.uniform(0, 6.3), dtype=np.float32) / 3
    colour = np.asarray(_near(rng, (70, 105, 125), 35), np.float32)
    glints = np.clip(waves - rng.uniform(1.2, 2.2), 0, 1)[..., None] * 200
    image.paste(Image.fromarray((colour * (1 + 0.22 * waves[..., None]) + glints).clip(0, 255).astype(np.uint8)))


def _dots(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint flowers in a meadow, gravel, stars, confetti: small bright spots that belong to the scene."""
    _blades(image, rng) if rng.random() < 0.5 else _background(image, rng)
    pen, (width, height) = ImageDraw.Draw(image), image.size
    size, colour = _size(rng, 3, 30), _colour(rng, 170, 255)
    for _ in range(int(rng.integers(40, 700))):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), size * rng.uniform(0.3, 1)
        pen.ellipse((x - radius, y - radius * 0.8, x + radius, y + radius * 0.8), fill=_near(rng, colour, 25))


def _sky(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint an even sky, with clouds or without, and maybe a dark skyline or open land."""
    width, height = image.size
    low = np.asarray(_near(rng, (190, 205, 225), 35), np.float32)
    high = np.asarray(_near(rng, (80, 130, 200), 50), np.float32)
    blend = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    sky = np.broadcast_to(low + (high - low) * blend, (height, width, 3))
    if rng.random() < 0.6:
        clouds = sum(Field.draw(rng, knots).over(WHOLE, height, width) / knots for knots in (5, 9, 17)) * 2.2
        sky = sky + np.clip(clouds - 0.5, 0, 1)[..., None] * (np.asarray(_colour(rng, 150, 255), np.float32) - sky)
    image.paste(Image.fromarray(sky.clip(0, 255).astype(np.uint8)))
    if rng.random() < 0.4:
        pen, left = ImageDraw.Draw(image), 0.0
        while left < width:
            step, level = rng.uniform(20, 160), height * rng.uniform(0.6, 0.95)
            pen.rectangle((left, level, left + step, height), fill=_colour(rng, 15, 70))
            left += step
    elif rng.random() < 0.6:
        _land(image, rng)


def _land(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint fields, sand or snow up to a horizon, with trees along it and a road to it, or without."""
    width, height = image.size
    horizon = height * rng.uniform(0.35, 0.85)
    soil = np.array([[75, 100, 50], [110, 100, 60], [120, 95, 75], [205, 205, 210]][int(rng.integers(4))])
    patches = sum(Field.draw(rng, knots).over(WHOLE, height, width) - 0.5 for knots in (4, 13, 40))
    # Grain of two sizes: what lies at one's feet is coarser than what is drawn pixel by pixel.
    grain = (
        rng.normal(0, rng.uniform(3, 20), (height, width))
        + np.kron(rng.normal(0, rng.uniform(2, 10), (-(-height // 3), -(-width // 3))), np.ones((3, 3)))[
            :height, :width
        ]
    )
    land = np.asarray(_near(rng, soil, 20), np.float32) + (rng.uniform(15, 60) * patches + grain)[..., None]
    ridge = horizon + rng.uniform(0, 0.08) * height * (Field.draw(rng, 9).over(WHOLE, 1, width)[0] - 0.5)
    below = np.arange(height)[:, None] > ridge
    picture = np.where(below[..., None], land.clip(0, 255), np.asarray(image, np.float32))
    image.paste(Image.fromarray(picture.astype(np.uint8)))
    pen = ImageDraw.Draw(image)
    trees = rng.integers(1, 25) if rng.random() < 0.5 else 0  # without them nothing is dark, as in thin haze
    for _ in range(trees):
        x, radius = rng.uniform(0, width), rng.uniform(0.01, 0.06) * height
        crown = (x - radius, horizon - 1.5 * radius, x + radius, horizon + 0.3 * radius)
        pen.ellipse(crown, fill=_near(rng, soil * 0.45, 12))
    if rng.random() < 0.4:
        end, half = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.7) * width
        pen.polygon(((end, horizon), (end - half, height), (end + half, height)), fill=_colour(rng, 60, 130))
        for side in (-0.92, 0.92):
            foot = end + side * half
            pen.polygon(((end, horizon), (foot - half / 25, height), (foot + half / 25, height)), fill=(225, 225, 222))


def _night(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint a dark street: lamps, lit windows and their reflection."""
    width, height = image.size
    image.paste(_near(rng, (14, 16, 26), 10), (0, 0, width, height))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(3, 9)):
        left, top = rng.uniform(-100, width), height * rng.uniform(0.1, 0.6)
        right = left + rng.uniform(60, 320)
        pen.rectangle((left, top, right, height * 0.75), fill=_near(rng, (24, 24, 32), 12))
        pitch = rng.uniform(12, 44)
        for x in np.arange(left + 5, right - pitch * 0.6, pitch):
            for y in np.arange(top + 6, height * 0.72, pitch * 1.3):
                if rng.random() < 0.35:
                    pen.rectangle((x, y, x + pitch * 0.5, y + pitch * 0.7), fill=_near(rng, (230, 190, 110), 25))
    lamps = Image.new("RGB", image.size)
    glow = ImageDraw.Draw(lamps)
    for _ in range(rng.integers(3, 14)):
        x, y, radius = rng.uniform(0, width), height * rng.uniform(0.3, 0.75), rng.uniform(3, 14)
        colour = _near(rng, (255, 225, 170), 30)
        glow.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        glow.line((x, height * 0.8, x, height), fill=tuple(v // 3 for v in colour), width=int(radius))
    halo = np.asarray(lamps.filter(ImageFilter.GaussianBlur(24)), np.float32) * 3 + np.asarray(lamps, np.float32)
    image.paste(Image.fromarray((np.asarray(image, np.float32) + halo).clip(0, 255).astype(np.uint8)))


SCENES: dict[str, Painter] = {
    "facade": _facade,
    "brick": _bricks,
    "slats": _slats,
    "railing": _railing,
    "grille": _grille,
    "mesh": _mesh,
    "wires": _wires,
    "letters": _letters,
    "blades": _blades,
    "water": _water,
    "dots": _dots,
    "sky": _sky,
    "night": _night,
}
"""What can be drawn, by name."""

FLAT = ("sky", "night", "water")
"""Scenes that are not turned to the side: they have their own perspective."""


def _background(image: Image.Image, rng: np.random.Generator) -> None:
    """Paint what lies far behind: sky, wall, trees or water, out of focus."""
    painter = (_sky, _facade, _blades, _water)[int(rng.integers(4))]
    painter(image, rng)
    image.paste(image.filter(ImageFilter.GaussianBlur(float(rng.uniform(2, 14)))))


def _seen_from_the_side(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Look at a flat picture from a slant: its corners move inwards by up to a fifth."""
    width, height = image.size
    move = rng.uniform(0, 0.2, 8)
    left = (move[0] * width, move[1] * height, move[2] * width, (1 - move[3]) * height)
    right = ((1 - move[4]) * width, (1 - move[5]) * height, (1 - move[6]) * width, move[7] * height)
    return image.transform(image.size, Image.Transform.QUAD, left + right, Image.Resampling.BICUBIC)


def _spread(line: np.ndarray, upright: bool, width: int, height: int) -> Picture:
    bars = line[None] if upright else line[:, None]
    return np.broadcast_to(bars, (height, width, 3)).clip(0, 255).astype(np.uint8)


def _size(rng: np.random.Generator, smallest: float, largest: float) -> float:
    return float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))


def _colour(rng: np.random.Generator, darkest: int, brightest: int) -> Colour:
    return _near(rng, np.full(3, rng.integers(darkest, brightest + 1)), 18)


def _near(rng: np.random.Generator, colour: np.ndarray | Colour, spread: float) -> Colour:
    values = np.clip(np.asarray(colour) + rng.normal(0, 1) * spread * 0.7 + rng.normal(0, 0.4, 3) * spread, 0, 255)
    return int(values[0]), int(values[1]), int(values[2])
