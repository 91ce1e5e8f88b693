"""GET /models: which networks this service runs, on which devices, and what they are worth."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.openapi import failures
from model.inference.contract import Runner


class ModelCard(BaseModel):
    """Describe one network on one device; scores as measured when it was trained.

    tile, overlap: in pixels. overview: a picture larger than a tile takes those of itself made smaller, too.
    """

    task: str = Field(examples=["derain"])
    weights: str = Field(examples=["derain-w16d4"])
    sha256: str
    width: int
    depth: int
    tile: int
    overlap: int
    overview: bool
    device: str = Field(examples=["cuda:0"])
    precision: str = Field(examples=["bfloat16"])
    scores: dict[str, Any]
    licence: str = Field(examples=["CC-BY-NC-4.0"])


def describe(runner: Runner) -> ModelCard:
    """Write the card of a runner."""
    info = runner.info
    return ModelCard(
        task=info.task,
        weights=runner.weights,
        sha256=runner.sha256,
        width=info.config.width,
        depth=info.config.depth,
        tile=info.tile,
        overlap=info.overlap,
        overview=info.overview,
        device=str(runner.device),
        precision=runner.precision,
        scores=info.scores,
        licence=info.licence,
    )


def signature(runner: Runner) -> str:
    """Return what X-DMSR-Weights says of a runner: its weights' name, fit for a header, and short sha256."""
    return f"{quote(runner.weights)}; sha256={runner.sha256[:12]}"


def router(runners: Sequence[Runner]) -> APIRouter:
    """Build the route."""
    routes = APIRouter(tags=["service"])

    @routes.get("/models", responses=failures())
    async def models() -> list[ModelCard]:
        """List the networks that are loaded, one entry for each device."""
        return [describe(runner) for runner in runners]

    return routes
