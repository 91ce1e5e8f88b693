"""The DMSR network and its science: architecture, weights, tiling, training, evaluation. Never imports the service.

from model import Restorer
restored = Restorer.load("derain").restore(rgb)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.inference.restorer import Restorer

__all__ = ["Restorer", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import torch only when the Restorer is asked for: the tiling and the version do without."""
    if name == "Restorer":
        from model.inference.restorer import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
