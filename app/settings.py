"""Every DMSR_* variable: the only place that reads the environment.

One frozen group for each part of the service, so that a part is given its own settings and no others. A variable is
DMSR_<GROUP>_<FIELD>; a misspelt one stops the start, because silence would mean a limit nobody set.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "DMSR_"

_ORIGIN = re.compile(r"(https?)://[a-z0-9._-]+(?::([1-9][0-9]*))?|(https?)://\[[0-9a-f:]+\](?::[1-9][0-9]*)?")
_HOST = re.compile(r"\*|[a-zA-Z0-9._-]+|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*")

Seconds = Annotated[float, Field(gt=0)]


# The tests hold it against app.imaging.
FORMATS = ("jpeg", "png", "webp", "tiff", "bmp", "avif", "gif", "heic", "jxl")


class SettingsError(ValueError):
    """Settings that cannot be used; the message names each variable and what is wrong with it."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WeightsSettings(_Group):
    """Choose the weights files."""

    derain: Path | Literal["off"] | None = Field(
        None, description="weights file for /derain, or off to serve without it; default: the manifest's choice"
    )
    dehaze: Path | Literal["off"] | None = Field(
        None, description="weights file for /dehaze, or off to serve without it; default: the manifest's choice"
    )


class RunnerSettings(_Group):
    """Choose how the network runs."""

    precision: Literal["auto", "fp32"] = Field(
        "auto",
        description="`auto` takes the fastest precision that the device multiplies in hardware and the weights bear",
    )
    max_tiles: int = Field(
        64, ge=1, le=1024, description="cap on the tiles a device takes at a time; the warm-up picks the best number"
    )


class LimitsSettings(_Group):
    """Bound what one request may bring."""

    body_bytes: int = Field(32 * 2**20, ge=1024, description="largest body in bytes")
    body_seconds: Seconds = Field(60, description="time in which a whole body must arrive")
    buffered_bytes: int = Field(512 * 2**20, ge=1024, description="bytes of all bodies held at once")
    answer_bytes: int = Field(256 * 2**20, ge=1024, description="bytes of all answers that their callers have not read")
    answer_seconds: Seconds = Field(30, description="time in which a caller must read more of an answer")
    refused_cores: float = Field(
        0.1,
        ge=0,
        allow_inf_nan=False,
        description="cores that uploads which are refused may keep busy: past half a second of work, their answers "
        "wait for up to 1.5 s; 0: any number",
    )
    pixels: int = Field(50_000_000, ge=1, description="largest picture in pixels")
    side: int = Field(30_000, ge=1, description="longest side of a picture in pixels")
    formats: str = Field(",".join(FORMATS), description="formats that are read, with commas between")

    @field_validator("formats")
    @classmethod
    def _known(cls, formats: str) -> str:
        names = [name.strip() for name in formats.split(",")]
        if unknown := sorted(set(names) - set(FORMATS)):
            raise ValueError(f"{', '.join(map(repr, unknown))}: known are {', '.join(FORMATS)}")
        return ",".join(names)


class QueueSettings(_Group):
    """Bound what may wait."""

    tiles: int = Field(12_000, ge=1, description="tiles admitted and not yet done, all requests together")
    decoded_pixels: int = Field(400_000_000, ge=1, description="pixels of all pictures admitted at once")
    deadline_seconds: Seconds = Field(600, description="time a request is given unless X-Request-Timeout asks for less")
    max_deadline_seconds: Seconds = Field(3600, description="largest X-Request-Timeout")
    caller_requests: int = Field(
        0, ge=0, description="pictures of one key, or without keys of one address, in flight; 0: any number"
    )


class ServerSettings(_Group):
    """Choose where the server listens and how it stops."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    hosts: str = Field(
        "",
        description="names in `Host` that are answered, with commas between, or `*`; empty: this machine's own on a "
        "loopback address, else any",
    )
    head_seconds: Seconds = Field(20, description="time in which the head of a request must arrive")
    drain_seconds: Seconds = Field(30, description="time after SIGTERM in which work in flight may finish")
    codec_threads: int = Field(
        0, ge=0, description="pictures decoded at once, and threads that encode; 0: one for each CPU"
    )

    @field_validator("hosts")
    @classmethod
    def _as_compared(cls, hosts: str) -> str:
        """Refuse what no name in a Host header ever equals."""
        for host in filter(None, map(str.strip, hosts.split(","))):
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a name alone: no http://, no port, no / and no * within")
        return hosts


class AuthSettings(_Group):
    """Choose who may call."""

    keys_file: Path | None = Field(
        None, description="file of API keys, one sha256 in hex a line; default: nobody needs a key"
    )
    metrics: bool = Field(False, description="whether `/metrics` needs a key too, where there are keys")
    wrong_keys: int = Field(
        30, ge=0, description="wrong keys that may come from one address within a minute; 0: any number"
    )


class CorsSettings(_Group):
    """Choose which web pages may call from a browser."""

    origins: str = Field(
        "", description="origins such as `https://example.org`, with commas between, or `*`; empty: none"
    )

    @field_validator("origins")
    @classmethod
    def _as_browsers_write_them(cls, origins: str) -> str:
        """Refuse what no browser ever sends as an Origin: it would silently never match."""
        for origin in filter(None, map(str.strip, origins.split(","))):
            found = _ORIGIN.fullmatch(origin)
            usual = found and (found[1], found[2]) in (("http", "80"), ("https", "443"))
            if origin != "*" and (not found or usual):
                raise ValueError(
                    f"{origin!r} is not an origin as browsers write it: http:// or https://, the host in small "
                    "letters, and a port only if it is not the usual one; no path and no / at the end"
                )
        return origins


class LogSettings(_Group):
    """Choose how the log looks."""

    format: Literal["auto", "json", "console"] = Field("auto", description="`auto` is JSON when not on a terminal")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least serious line to log")


class Settings(BaseSettings):
    """Hold every setting of the service."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
    )

    devices: str = Field("auto", description="`auto`, `cpu`, or CUDA devices such as `cuda:0,cuda:1`")
    weights: WeightsSettings = WeightsSettings()
    runner: RunnerSettings = RunnerSettings()
    limits: LimitsSettings = LimitsSettings()
    queue: QueueSettings = QueueSettings()
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    cors: CorsSettings = CorsSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the DMSR_* variables; raises SettingsError naming every wrong or unknown one."""
        known = variables()
        unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
        if unknown:
            raise SettingsError(f"unknown variables: {', '.join(unknown)}; docs/settings.md lists those there are")
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("; ".join(_explain(item["loc"], item["msg"]) for item in error.errors())) from error


def variables() -> dict[str, tuple[object, str]]:
    """List every variable with its default and its effect, in the order of the docs."""
    found: dict[str, tuple[object, str]] = {}
    for name, group in Settings.model_fields.items():
        if isinstance(group.default, _Group):
            for field, info in type(group.default).model_fields.items():
                found[f"{PREFIX}{name}_{field}".upper()] = (info.default, info.description or "")
        else:
            found[f"{PREFIX}{name}".upper()] = (group.default, group.description or "")
    return found


def _explain(location: tuple[int | str, ...], message: str) -> str:
    name = PREFIX + "_".join(str(part) for part in location).upper()
    return f"{name}={os.environ.get(name, '')!r}: {message}"
