"""The DMSR network and its science: architecture, weights, tiling, training, evaluation. Never imports the service.

from model import Restorer
restored = Restorer.load("weights/derain-w16d4.safetensors").restore(rgb)
"""

from model.inference.restorer import Restorer

__all__ = ["Restorer"]
