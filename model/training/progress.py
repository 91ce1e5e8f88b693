"""How far a run is: what the trainer reports after each step, and the same as a file of JSON lines.

Knows nothing of networks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from model.checkpoints.checkpoint import write_atomically
from model.evaluation.protocol import Report
from model.training.recipe import Phase
from model.training.state import Counters


@dataclass(frozen=True)
class Progress:
    """Tell how far a run is after a step, the loss and rate of that step, and the scores if it was validated."""

    counters: Counters
    fraction: float
    loss: float
    rate: float
    phase: Phase
    reports: Mapping[str, Report] | None = None


class ProgressLog:
    """Append a JSON line a step to `progress.jsonl` of a run's folder, as a context manager.

    step: where the run begins or goes on. Lines beyond it are of steps that were lost with the state, and go.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / "progress.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True) if self._path.exists() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        write_atomically(self._path, "".join(kept).encode())

    def __enter__(self) -> Self:
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, progress: Progress) -> None:
        """Write a step's loss and rate, or the scores of a validation, and hand the line to the system at once."""
        counters, phase = progress.counters, progress.phase
        line: dict[str, object] = {"step": counters.step, "seconds": round(counters.elapsed_seconds, 2)}
        if progress.reports is None:
            line |= {"loss": progress.loss, "rate": progress.rate, "crop": phase.crop, "batch": phase.batch}
            line |= {"skipped": counters.skipped, "frozen": counters.frozen}
        else:
            line["scores"] = {
                name: {"psnr_y": r.mean.psnr_y, "input_psnr_y": r.mean.input_psnr_y, "worse": len(r.worse)}
                for name, r in progress.reports.items()
            }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
