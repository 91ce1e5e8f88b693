"""What a caller asks for, in the query and in two headers, as RestoreOptions. Knows nothing of the picture."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from app.errors import NotAcceptable
from app.imaging.encode import OUT_FORMATS
from app.pipeline import RestoreOptions

_QUALITY_VALUE = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


class Parameters(BaseModel):
    """The query of /derain and /dehaze; a misspelt parameter is refused, because silence would mean the default."""

    model_config = ConfigDict(extra="forbid")

    format: Annotated[
        Literal[*OUT_FORMATS] | SkipJsonSchema[None],
        Field(description="Format of the answer. It goes before `Accept`; without either it is PNG."),
    ] = None
    quality: Annotated[
        Annotated[int, Field(ge=1, le=100)] | SkipJsonSchema[None],
        Field(description="Quality of a JPEG or WebP; 92 if not given. PNG and TIFF lose nothing and ignore it."),
    ] = None
    metadata: Annotated[
        Literal["keep", "strip"],
        Field(description="`keep` EXIF but for position, maker notes and thumbnail, or `strip` it all."),
    ] = "keep"
    output: Annotated[
        Literal["restored", "residual"],
        Field(description="The `restored` picture, or the `residual`: what was removed from it."),
    ] = "restored"

    def restore_options(self, task: str, seconds: float, accept: str) -> RestoreOptions:
        """Join the parameters with what the headers say; raises NotAcceptable."""
        return RestoreOptions(task, seconds, self.format or negotiate(accept), self.quality, self.metadata, self.output)


def negotiate(accept: str) -> str:
    """Choose the format that an Accept header likes best (RFC 9110, section 12.5.1), PNG among equals.

    Raises NotAcceptable if it likes none.
    """
    weights = {}
    for item in accept.lower().split(","):
        media_range, *parameters = (part.strip() for part in item.split(";"))
        found = [float(match[1]) for match in map(_QUALITY_VALUE.fullmatch, parameters) if match]
        weights[media_range] = found[0] if found else 1.0

    def weight(format: str) -> float:
        ranges = (OUT_FORMATS[format].media_type, "image/*", "*/*")
        return next((weights[media_range] for media_range in ranges if media_range in weights), 0.0)

    best = max(OUT_FORMATS, key=weight)
    if accept.strip() and not weight(best):
        offered = ", ".join(format.media_type for format in OUT_FORMATS.values())
        raise NotAcceptable(f"The Accept header takes none of the formats there are: {offered}.")
    return best
