"""The restorer a verb asks for: a weights file by name, or the manifest's choice for task and device."""

from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.failure import fail

if TYPE_CHECKING:
    from model.inference.restorer import Restorer
    from model.inference.scales import Scale


def parse_scale(text: str, strength: float, tiling: str = "blend") -> "Scale":
    """Read "auto" or a number, or end the command with the reason why that or the strength cannot be used."""
    from model.inference.scales import check_scale

    try:
        scale: Scale = "auto" if text == "auto" else float(text)
        check_scale(scale, strength)
    except ValueError:
        fail(f"--scale {text} --strength {strength:g}: a scale is auto or from 0.0625 to 1, a strength from 0 to 1.5")
    if tiling == "reference" and scale not in ("auto", 1):
        fail(f"--scale {text}: --tiling reference is the authors' protocol, whose scale is 1")
    return scale


def load_restorer(
    task: str, weights: Path | None, device: str, tiling: str = "blend", precision: str = "auto"
) -> "Restorer":
    """Load a restorer, or end the command with the reason."""
    from model.checkpoints.checkpoint import TASKS, WeightsError
    from model.inference.restorer import Restorer

    if weights is None and task not in TASKS:
        fail(f"there are no weights for {task!r}; --weights names a file")
    try:
        return Restorer.load(weights or task, device, tiling, precision)
    except (WeightsError, ValueError) as error:
        fail(str(error))
