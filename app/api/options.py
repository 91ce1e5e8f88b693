"""What a caller asks for, in query, body and headers, as RestoreOptions. Knows nothing of the picture."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema

from app.errors import InvalidParameter, NotAcceptable
from app.imaging.encode import OUT_FORMATS
from app.pipeline import RestoreOptions
from model.inference.scales import LARGEST_STRENGTH
from model.inference.survey import SMALLEST

# More than RFC 9110 allows: Java sends `*; q=.2`, others more digits, spaces or quotes.
_QUALITY_VALUE = re.compile(r'q\s*=\s*"?(\d*\.?\d*)"?')
_OTHER_NAMES = {"jpg": "jpeg", "jpe": "jpeg", "jfif": "jpeg", "pjpeg": "jpeg", "tif": "tiff", "x-png": "png"}
_JSON = "application/json"
# Kinds that browsers list whatever they ask for and that are not made here.
_LISTED_BY_BROWSERS = frozenset(("text/html", "image/avif", "image/apng", "image/svg+xml"))
_QUOTED_CHARACTERS = 80


def _usual_name(value: object) -> object:
    """Understand capitals, image/ before a format, and its other usual names."""
    if not isinstance(value, str):
        return value
    name = value.strip().lower().removeprefix("image/").removeprefix(".")
    return _OTHER_NAMES.get(name, name)


def _small(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


class Parameters(BaseModel):
    """The query of /derain and /dehaze; a misspelt parameter is refused, because silence would mean the default."""

    model_config = ConfigDict(extra="forbid")

    format: Annotated[
        Literal[*OUT_FORMATS] | SkipJsonSchema[None],  # type: ignore[valid-type]  # pydantic reads it at run time
        BeforeValidator(_usual_name),
        Field(description="Format of the answer. It goes before `Accept`; without either it is PNG."),
    ] = None
    quality: Annotated[
        Annotated[int, Field(ge=1, le=100)] | SkipJsonSchema[None],
        Field(description="Quality of a JPEG or WebP; 92 if not given. PNG and TIFF lose nothing and ignore it."),
    ] = None
    metadata: Annotated[
        Literal["keep", "strip"],
        BeforeValidator(_small),
        Field(description="`keep` EXIF but for position, maker notes and thumbnail, or `strip` it all."),
    ] = "keep"
    scale: Annotated[
        Annotated[float, Field(ge=SMALLEST, le=1)] | Literal["auto"],
        BeforeValidator(_small),
        Field(description="At which part of its size the picture is restored; `auto` finds where its rain is."),
    ] = "auto"
    strength: Annotated[
        float, Field(ge=0, le=LARGEST_STRENGTH, description="How much of the difference is applied; 1 is all of it.")
    ] = 1.0
    output: Annotated[
        Literal["restored", "residual"],
        BeforeValidator(_small),
        Field(description="The `restored` picture, or the `residual`: what was removed from it."),
    ] = "restored"
    damaged: Annotated[
        Literal["refuse", "accept"],
        BeforeValidator(_small),
        Field(description="`refuse` a picture of which a part is missing, or `accept` it and say how much."),
    ] = "refuse"

    def with_fields(self, fields: Mapping[str, object]) -> "Parameters":
        """Add the options that came in the body; raises InvalidParameter for wrong ones and contradictions.

        An empty field of a form is one that was not filled in.
        """
        filled = {name: value for name, value in fields.items() if value not in ("", None)}
        unknown = [name for name in fields if name not in Parameters.model_fields]
        try:
            found = Parameters(**filled | dict.fromkeys(unknown))
        except ValidationError as error:
            first = error.errors()[0]
            name, observed = str(first["loc"][0])[:_QUOTED_CHARACTERS], str(first.get("input"))[:_QUOTED_CHARACTERS]
            if first["type"] == "extra_forbidden":
                raise InvalidParameter(f"There is no parameter {name!r}.", parameter=name) from None
            raise InvalidParameter(f"{name}: {first['msg']}.", parameter=name, observed=observed) from None
        for name in found.model_fields_set & self.model_fields_set:
            if getattr(found, name) != getattr(self, name):
                raise InvalidParameter(f"{name} says one thing in the query and another in the body.", parameter=name)
        return self.model_copy(update={name: getattr(found, name) for name in found.model_fields_set})

    def restore_options(self, task: str, seconds: float, accept: str) -> RestoreOptions:
        """Join the parameters with what the headers say; raises NotAcceptable."""
        formats = (self.format,) if self.format else negotiate(accept)
        return RestoreOptions(
            task,
            seconds,
            formats,
            self.quality,
            self.metadata,
            self.output,
            self.damaged,
            scale=self.scale,
            strength=self.strength,
        )


def negotiate(accept: str) -> tuple[str, ...]:
    """Return the formats that an Accept header takes, best liked first (RFC 9110, section 12.5.1), PNG among equals.

    A browser lists kinds it can show whatever it asks for. A header that takes anything and lists kinds that are not
    made here is read as such, and gets the same answer as curl. Raises NotAcceptable if it takes none; a header that
    takes JSON alone gets PNG, in JSON.
    """
    weights = _weights(accept)
    if not weights:
        return tuple(OUT_FORMATS)
    liked = {format: _weight(weights, format) for format in OUT_FORMATS}
    taken = [format for format in OUT_FORMATS if liked[format]]
    if not taken and weights.get(_JSON):
        return tuple(OUT_FORMATS)
    if not taken:
        offered = ", ".join(format.media_type for format in OUT_FORMATS.values())
        raise NotAcceptable(f"The Accept header takes none of the formats there are: {offered}.")
    if weights.get("*/*") and _LISTED_BY_BROWSERS & weights.keys():
        return tuple(taken)
    return tuple(sorted(taken, key=liked.__getitem__, reverse=True))  # stable: PNG first among equals


def wants_json(accept: str, asked_in_json: bool) -> bool:
    """Tell whether the answer is to be JSON: what was asked in JSON is, unless the header likes a picture better."""
    weights = _weights(accept)
    json = weights.get(_JSON, weights.get("application/*", 0.0))
    if not weights or not (json or asked_in_json):
        return asked_in_json
    pictures = max(_weight(weights, format) for format in OUT_FORMATS)
    return max(json, weights.get("*/*", 0.0)) >= pictures if asked_in_json else json > pictures


def _weights(accept: str) -> dict[str, float]:
    """Read an Accept header: the weight of each media range, the usual other names of a type made one."""
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        media_range, *parameters = (part.strip() for part in item.split(";"))
        if not media_range:
            continue
        if media_range == "*":
            media_range = "*/*"
        kind, _, name = media_range.partition("/")
        if kind == "image":
            media_range = f"image/{_OTHER_NAMES.get(name, name)}"
        found = [match[1] for match in map(_QUALITY_VALUE.fullmatch, parameters) if match and match[1].strip(".")]
        weights[media_range] = min(float(found[0]), 1.0) if found else 1.0
    return weights


def _weight(weights: dict[str, float], format: str) -> float:
    ranges = (OUT_FORMATS[format].media_type, "image/*", "*/*")
    return next((weights[media_range] for media_range in ranges if media_range in weights), 0.0)
