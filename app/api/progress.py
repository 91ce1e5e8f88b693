"""GET /progress/{request_id}: how far a picture is on its road, for whoever chose or was told its id."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.api.openapi import failures
from app.errors import NotFound
from app.pipeline import RestoreTrace


class Progress(BaseModel):
    """Count the tiles of a request; tiles_total is 0 until its header has been read, and falls as it proves too many.

    At first it is the most that a picture of this size can need; the survey mostly finds that far fewer do.
    """

    tiles_done: int = Field(ge=0, examples=[12])
    tiles_total: int = Field(ge=0, examples=[88])


class Running:
    """Know the passages under way by the id of their request; of two with one id, the later."""

    def __init__(self) -> None:
        self._traces: dict[str, RestoreTrace] = {}

    @contextmanager
    def follow(self, request_id: str) -> Iterator[RestoreTrace]:
        """Start a trace that can be asked about while the block runs."""
        trace = self._traces[request_id] = RestoreTrace()
        try:
            yield trace
        finally:
            if self._traces.get(request_id) is trace:
                del self._traces[request_id]

    def progress(self, request_id: str) -> Progress:
        """Tell how far a request is; raises NotFound when none of that id is under way."""
        trace = self._traces.get(request_id)
        if trace is None:
            raise NotFound("No request of this id is under way: it has ended, or has not begun.")
        return Progress(tiles_done=trace.tiles_done, tiles_total=trace.tiles)


def router(running: Running) -> APIRouter:
    """Build the route."""
    routes = APIRouter(tags=["service"])

    @routes.get("/progress/{request_id}", responses=failures(NotFound))
    async def progress(request_id: str, response: Response) -> Progress:
        """Tell how many of a request's tiles are done; give it an id of your own in `X-Request-ID`."""
        response.headers["Cache-Control"] = "no-store"
        return running.progress(request_id)

    return routes
