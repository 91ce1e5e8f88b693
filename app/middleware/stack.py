"""What every request passes on its way to a route, and in which order."""

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware

from app.api import page, reference
from app.api.health import METRICS_PATH, OPEN_PATHS
from app.api.problems import Problems
from app.middleware.answer_limit import AnswerLimit
from app.middleware.api_keys import ApiKeys, KeysFile, WrongKeys
from app.middleware.body_limit import BodyLimit
from app.middleware.caller_limit import CallerLimit
from app.middleware.own_callers import OwnCallers, allowed_hosts
from app.middleware.refusal_pace import RefusalPace
from app.middleware.request_log import RequestLog
from app.middleware.request_target import RequestTarget
from app.middleware.safe_headers import SafeHeaders
from app.settings import Settings
from app.telemetry.metrics import Metrics

# What a page of another origin may read.
_READ = (
    "X-Request-ID",
    "Server-Timing",
    "X-DMSR-Weights",
    "X-DMSR-Scale",
    "X-DMSR-Change",
    "X-DMSR-Warning",
    "Content-Disposition",
    "Retry-After",
)


def install(app: Starlette, settings: Settings, metrics: Metrics) -> None:
    """Put the middlewares around the routes, from the inside out. Raises KeysError for the keys file."""
    origins = [origin.strip() for origin in settings.cors.origins.split(",") if origin.strip()]
    if settings.queue.caller_requests:
        app.add_middleware(CallerLimit, requests=settings.queue.caller_requests)
    if settings.auth.keys_file:
        open_paths = (
            OPEN_PATHS
            | page.open_paths()
            | reference.open_paths()
            | (set() if settings.auth.metrics else {METRICS_PATH})
        )
        wrong_keys = WrongKeys(settings.auth.wrong_keys)
        keys = KeysFile(settings.auth.keys_file)
        app.add_middleware(ApiKeys, keys=keys, wrong_keys=wrong_keys, open_paths=open_paths)
    app.add_middleware(OwnCallers, hosts=allowed_hosts(settings.server.host, settings.server.hosts), origins=origins)
    app.add_middleware(Problems)
    # Outside Problems, to see whether the answer, which may be a problem, comes before the body's end.
    app.add_middleware(BodyLimit, limits=settings.limits)
    if settings.limits.refused_cores:
        # Outside BodyLimit, which has let go of the body when the answer begins.
        app.add_middleware(RefusalPace, cores=settings.limits.refused_cores)
    app.add_middleware(AnswerLimit, limits=settings.limits, metrics=metrics)
    app.add_middleware(SafeHeaders)
    if origins:
        # Outside the keys: a browser's preflight carries none.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST"],
            # Any: a header that is not known here changes nothing, and a list would forbid those of tracing tools.
            allow_headers=["*"],
            expose_headers=_READ,
            # Chrome asks this before a page of the web calls a service at home; the operator has named the page.
            allow_private_network=True,
        )
    app.add_middleware(RequestTarget)
    app.add_middleware(RequestLog, metrics=metrics)
