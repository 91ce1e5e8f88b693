"""Draw the icons under which phones and desktops install the page: streaks of rain on one side, sun on the other.

Run `python docs/icons.py` after changing it; it writes app/web/pictures/icon-*.png.
"""

from pathlib import Path

from PIL import Image, ImageDraw

PICTURES = Path(__file__).parent.parent / "app" / "web" / "pictures"
GROUND, RAIN, SUN, LINE = (20, 86, 109), (159, 211, 230), (243, 199, 102), (255, 255, 255)
# The streaks of icon.svg, which is 32 units wide.
STREAKS = ((6, 15, 9, 5), (7, 27, 10, 17), (12.5, 21, 15.5, 11), (13, 28, 14, 24.5))
OVERSAMPLED = 4


def icon(side: int, round_corners: bool = True) -> Image.Image:
    """Draw the icon, side × side pixels; a mask of the system's own needs square corners."""
    scale = side * OVERSAMPLED / 32
    image = Image.new("RGBA", (side * OVERSAMPLED,) * 2, GROUND)
    draw = ImageDraw.Draw(image)
    for streak in STREAKS:
        x0, y0, x1, y1 = (value * scale for value in streak)
        radius = 1.2 * scale
        draw.line((x0, y0, x1, y1), RAIN, round(2 * radius))
        for x, y in ((x0, y0), (x1, y1)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), RAIN)
    draw.rectangle((17.5 * scale, 0, 32 * scale, 32 * scale), SUN)
    draw.rectangle((16.5 * scale, 4 * scale, 18.5 * scale, 28 * scale), LINE)
    if round_corners:
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, *image.size), 7 * scale, 255)
        image.putalpha(mask)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def main() -> None:
    """Write the icons."""
    for side in (192, 512):
        icon(side).save(PICTURES / f"icon-{side}.png", optimize=True)
    icon(180, round_corners=False).convert("RGB").save(PICTURES / "icon-180.png", optimize=True)
    # Systems cut away up to a tenth at each edge; the drawing stands within, on its own ground.
    masked = Image.new("RGB", (512, 512), GROUND)
    inner = icon(400, round_corners=True)
    masked.paste(inner, (56, 56), inner)
    masked.save(PICTURES / "icon-maskable.png", optimize=True)


if __name__ == "__main__":
    main()
