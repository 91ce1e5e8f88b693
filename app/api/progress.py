"""GET /progress/{request_id}: how far a picture is on its road, for whoever chose or was told its id."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, Request, Response
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
    """Know the passages under way by their caller and the id of their request; of two with one id, the earlier."""

    def __init__(self) -> None:
        self._traces: dict[tuple[str, str], RestoreTrace] = {}

    @contextmanager
    def follow(self, caller: str, request_id: str) -> Iterator[RestoreTrace]:
        """Start a trace that its caller can ask about while the block runs."""
        mine = RestoreTrace()
        trace = self._traces.setdefault((caller, request_id), mine)
        try:
            yield mine
        finally:
            if trace is mine:
                del self._traces[caller, request_id]

    def progress(self, caller: str, request_id: str) -> Progress:
        """Tell how far a request is; raises NotFound when none of that id and caller is under way."""
        trace = self._traces.get((caller, request_id))
        if trace is None:
            raise NotFound("No request of this id is under way: it has ended, or has not begun.")
        return Progress(tiles_done=trace.tiles_done, tiles_total=trace.tiles)


def caller_of(request: Request) -> str:
    """Return who calls, by the hash of their key; "" where there are no keys."""
    return str(getattr(request.state, "caller", ""))


def router(running: Running) -> APIRouter:
    """Build the route."""
    routes = APIRouter(tags=["service"])

    @routes.get("/progress/{request_id}", responses=failures(NotFound))
    async def progress(request: Request, request_id: str, response: Response) -> Progress:
        """Tell how many of a request's tiles are done; give it an id of your own in `X-Request-ID`.

        Where there are keys, it takes the key that the request came with.
        """
        response.headers["Cache-Control"] = "no-store"
        return running.progress(caller_of(request), request_id)

    return routes
