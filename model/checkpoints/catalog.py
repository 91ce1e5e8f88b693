"""weights/manifest.toml: which files there are, what they are worth, and which one a task and device should use.

Knows nothing of tensors; checkpoint.py reads the files themselves.
"""

import json
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from model.checkpoints.checkpoint import TASKS, WeightsError

WEIGHTS_FOLDER = Path(__file__).resolve().parents[2] / "weights"
MANIFEST_NAME = "manifest.toml"


@dataclass(frozen=True)
class ManifestEntry:
    """Describe one weights file beside the manifest.

    device: which devices it is the default for: "any", "cpu", "cuda", or "none" where it must be named.
    recipe, revision, steps and seed say how to make it again. scores: figures by set, as `benchmarks.weights` measured
        them; the file's own metadata hold the same.
    """

    name: str
    task: str
    file: str
    sha256: str
    width: int
    depth: int
    tile: int
    overlap: int
    overview: bool = False
    device: str = "any"
    recipe: str = ""
    revision: str = ""
    steps: int = 0
    seed: int = 0
    licence: str = "CC-BY-NC-4.0"
    scores: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_toml(self) -> str:
        """Render as one `[[weights]]` table."""
        values = asdict(self)
        scores = values.pop("scores")
        # A JSON string or number is a TOML one.
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        for name, figures in scores.items():
            inline = ", ".join(f"{key} = {value}" for key, value in figures.items())
            lines.append(f"scores.{json.dumps(name, ensure_ascii=False)} = {{ {inline} }}")
        return "\n".join(["[[weights]]", *lines, ""])


class Catalog:
    """List the weights of one folder."""

    def __init__(self, folder: Path, entries: tuple[ManifestEntry, ...]) -> None:
        self.folder = folder
        self.entries = entries

    @classmethod
    def load(cls, folder: Path = WEIGHTS_FOLDER) -> "Catalog":
        """Read a folder's manifest; raises WeightsError naming file, entry and cause."""
        manifest = folder / MANIFEST_NAME
        try:
            tables = tomllib.loads(manifest.read_text(encoding="utf-8")).get("weights", [])
        except OSError as error:
            raise WeightsError(f"{manifest} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise WeightsError(f"{manifest} is not TOML: {error}") from error
        return cls(folder, tuple(_entry(manifest, table) for table in tables))

    def default(self, task: str, device_type: str) -> ManifestEntry | None:
        """Choose the entry for a task: one made for this device type ("cpu", "cuda") before one for any."""
        candidates = [entry for entry in self.entries if entry.task == task]
        for wanted in (device_type, "any"):
            for entry in candidates:
                if entry.device == wanted:
                    return entry
        return None

    def path(self, entry: ManifestEntry) -> Path:
        """Return where an entry's file lies."""
        return self.folder / entry.file


def shipped(task: str, device_type: str = "cpu") -> tuple[Path, str]:
    """Return the file of the weights that are shipped for a task and device type, and the sha256 that it must have.

    Raises WeightsError where there are none.
    """
    catalog = Catalog.load()
    entry = catalog.default(task, device_type)
    if entry is None:
        raise WeightsError(f"{catalog.folder} has no weights for {task!r}; name a file")
    return catalog.path(entry), entry.sha256


def _entry(manifest: Path, table: dict[str, Any]) -> ManifestEntry:
    name = table.get("name", "without a name")
    if unknown := table.keys() - {f.name for f in fields(ManifestEntry)}:
        raise WeightsError(f"{manifest}, entry {name}: unknown key {sorted(unknown)[0]!r}")
    try:
        entry = ManifestEntry(**table)
    except TypeError as error:
        raise WeightsError(f"{manifest}, entry {name}: {error}") from error
    if entry.task not in TASKS:
        raise WeightsError(f"{manifest}, entry {name}: task is {entry.task!r}, not one of {', '.join(TASKS)}")
    return entry
