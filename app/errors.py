"""Every way a request can fail: the class decides status, problem type, metric category and public words.

    DmsrError
    ├── RequestError                the caller can do something about it (4xx)
    │   ├── MalformedRequest        400  malformed-request
    │   ├── Unauthorized            401  unauthorized
    │   ├── Forbidden               403  forbidden
    │   ├── NotFound                404  not-found
    │   ├── MethodNotAllowed        405  method-not-allowed
    │   ├── NotAcceptable           406  not-acceptable
    │   ├── BodyTimeout             408  body-timeout
    │   ├── BodyTooLarge            413  body-too-large
    │   ├── ImageTooLarge           413  image-too-large
    │   ├── NotAnImage              415  not-an-image
    │   ├── CompressedBody          415  compressed-body
    │   ├── InvalidParameter        422  invalid-parameter
    │   ├── UndecodableImage        422  undecodable-image
    │   ├── AnimatedImage           422  animated-image
    │   ├── UnsupportedImage        422  unsupported-image
    │   ├── TooManyWrongKeys        429  too-many-wrong-keys carries Retry-After
    │   └── Overloaded              429  overloaded          carries Retry-After
    └── ServiceError                the caller can only come back later (5xx)
        ├── RestorationFailed       500  restoration-failed  the network or the device, not the picture
        ├── InternalError           500  internal-error      our own fault
        ├── Unavailable             503  (below)             carries Retry-After
        │   ├── Warming             503  warming
        │   ├── Draining            503  draining
        │   ├── BuffersFull         503  buffers-full
        │   └── DeviceLost          503  device-lost
        ├── TaskUnavailable         503  task-unavailable    no weights for this task, now or later
        └── DeadlineExceeded        504  deadline-exceeded

`detail` is what the caller reads, so it never holds a path, a file name or a trace; `extra` members (limit, observed,
…) travel beside it. What operators should know goes into the exception's cause and the log.
Knows nothing of HTTP beyond the status numbers.
"""

from typing import Any, ClassVar


class DmsrError(Exception):
    """Stand for a failure with a public message.

    detail: one sentence that names the value and, where there is one, the remedy.
    extra: further public members of the problem document, such as limit and observed.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong on our side"
    category: ClassVar[str] = "internal"

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra

    @property
    def retry_after_seconds(self) -> int | None:
        """Return after how many whole seconds another try makes sense, if it does."""
        return self.extra.get("retry_after_seconds")

    @property
    def refusal(self) -> str | None:
        """Return the metric's word for why the request was turned away at the door, if it was."""
        return None


class RequestError(DmsrError):
    """Stand for what the caller can mend."""

    status = 400
    category = "request"


class MalformedRequest(RequestError):
    """The body or a header cannot be parsed."""

    slug, title = "malformed-request", "The request cannot be read"


class Unauthorized(RequestError):
    """A key is needed and none, or a wrong one, was sent."""

    status, slug, title, category = 401, "unauthorized", "A valid API key is needed", "unauthorized"


class Forbidden(RequestError):
    """A page of another site sent the request, or it is for another name than ours."""

    status, slug, title = 403, "forbidden", "This request is not for this service"


class NotFound(RequestError):
    """There is no such route or resource."""

    status, slug, title = 404, "not-found", "There is nothing at this address"


class MethodNotAllowed(RequestError):
    """The route exists for another method."""

    status, slug, title = 405, "method-not-allowed", "This address takes another method"


class NotAcceptable(RequestError):
    """The format asked for does not exist or cannot hold the picture."""

    status, slug, title = 406, "not-acceptable", "The picture cannot be returned in that format"


class BodyTimeout(RequestError):
    """The body did not arrive in time."""

    status, slug, title = 408, "body-timeout", "The body took too long to arrive"


class BodyTooLarge(RequestError):
    """The body has more bytes than the limit."""

    status, slug, title, category = 413, "body-too-large", "The body is too large", "too_large"


class ImageTooLarge(RequestError):
    """The picture has more pixels, or needs more tiles, than the limit."""

    status, slug, title, category = 413, "image-too-large", "The picture is too large", "too_large"


class NotAnImage(RequestError):
    """The bytes are no picture in a format we read."""

    status, slug, title, category = 415, "not-an-image", "This is not a picture in a format we read", "image"


class CompressedBody(RequestError):
    """The body has a Content-Encoding, such as gzip."""

    status, slug, title = 415, "compressed-body", "The body has a content encoding"


class InvalidParameter(RequestError):
    """A query parameter or header has a value outside its range."""

    status, slug, title = 422, "invalid-parameter", "A parameter has an impossible value"


class UndecodableImage(RequestError):
    """The picture is damaged."""

    status, slug, title, category = 422, "undecodable-image", "The picture is damaged", "image"


class AnimatedImage(RequestError):
    """The file holds more than one picture."""

    status, slug, title, category = 422, "animated-image", "The file holds several pictures", "image"


class UnsupportedImage(RequestError):
    """The picture is of a kind that could not be returned faithfully."""

    status, slug, title, category = 422, "unsupported-image", "This kind of picture is not supported", "image"


class TooManyWrongKeys(RequestError):
    """Wrong keys have come from the caller's address so often that no further one is looked at for a while."""

    status, slug, title, category = 429, "too-many-wrong-keys", "Too many wrong API keys", "unauthorized"

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds)


class Overloaded(RequestError):
    """The queue is full, the deadline cannot be met, or the caller has as many pictures in flight as one may have.

    reason: which limit stood in the way, one of `reasons`.
    """

    status, slug, title, category = 429, "overloaded", "The queue is full", "overloaded"
    reasons: ClassVar[tuple[str, ...]] = ("tiles", "pixels", "deadline", "caller")

    def __init__(self, detail: str, *, retry_after_seconds: int, reason: str = "tiles", **extra: Any) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds, **extra)
        self.reason = reason

    @property
    def refusal(self) -> str:
        return self.reason


class ServiceError(DmsrError):
    """Stand for what the caller cannot mend."""


class RestorationFailed(ServiceError):
    """The network gave no usable answer for this picture."""

    slug, title, category = "restoration-failed", "The picture could not be restored", "device"


class InternalError(ServiceError):
    """An exception nobody foresaw; the log has it, the answer does not."""


class Unavailable(ServiceError):
    """The service cannot take work just now."""

    status, category = 503, "unavailable"

    def __init__(self, detail: str, *, retry_after_seconds: int = 5, **extra: Any) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds, **extra)

    @property
    def refusal(self) -> str:
        return self.slug


class Warming(Unavailable):
    """The weights are being loaded."""

    slug, title = "warming", "The service is starting"


class Draining(Unavailable):
    """The service is stopping."""

    slug, title = "draining", "The service is stopping"


class BuffersFull(Unavailable):
    """Too many bytes of bodies are being held."""

    slug, title = "buffers-full", "Too many uploads at once"


class TaskUnavailable(ServiceError):
    """The service runs without weights for this task; no other try changes that."""

    status, slug, title, category = 503, "task-unavailable", "This service has no weights for the task", "unavailable"


class DeviceLost(Unavailable):
    """The device failed for good; the process is about to be restarted."""

    slug, title, category = "device-lost", "The device failed", "device"


class DeadlineExceeded(ServiceError):
    """The time allowed ran out before the last tile was done."""

    status, slug, title, category = 504, "deadline-exceeded", "The time allowed ran out", "deadline"


def causes(kind: type[DmsrError] = DmsrError) -> list[type[DmsrError]]:
    """List every failure that has a type of its own: the leaves of the tree."""
    children = kind.__subclasses__()
    return [leaf for child in children for leaf in causes(child)] if children else [kind]


class StartError(RuntimeError):
    """The service cannot start; the message, for the operator, names the cause and the remedy."""
