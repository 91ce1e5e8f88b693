"""Batches drawn ahead of the trainer: in a thread beside a processor that trains, in processes beside a GPU.

Knows nothing of networks: a mixture and what to draw at each step in, pictures out.
"""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from model.data.mixture import Mixture
from model.training.recipe import Phase

PREFETCHED = 2
"""Batches that each process has ready."""


class _Steps:
    """Name what is to be drawn, step by step without end; a step's phase is asked for when it is handed out."""

    def __init__(self, phase_of: Callable[[int], Phase], first: int) -> None:
        self._phase_of, self._first = phase_of, first

    def __iter__(self) -> Iterator[tuple[int, Phase]]:
        step = self._first
        while True:
            yield step, self._phase_of(step)
            step += 1


class _Drawn(Dataset[Any]):
    def __init__(self, mixture: Mixture) -> None:
        self._mixture = mixture

    def __getitem__(self, wanted: tuple[int, Phase]) -> tuple[Phase, Any, Any]:
        step, phase = wanted
        return phase, *self._mixture.batch(step, phase.batch, phase.crop)


def batches(
    mixture: Mixture, phase_of: Callable[[int], Phase], first: int, workers: int, pinned: bool = False
) -> Generator[tuple[Phase, Any, Any]]:
    """Yield each step's phase and its degraded and clean crops, uint8 (N, H, W, 3), as arrays or tensors, without end.

    workers: processes that draw; 0 draws one batch ahead in a thread, which takes 2% of a step on two cores but would
    starve a GPU. What is drawn depends on the step alone. pinned: into memory from which a GPU copies by itself.
    """
    drawn = _Drawn(mixture)
    steps = _Steps(phase_of, first)
    if workers:
        yield from DataLoader(
            drawn,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            prefetch_factor=PREFETCHED,
            pin_memory=pinned,
            collate_fn=_as_it_is,  # type: ignore[arg-type]  # without a batch size it is given one item, not a list
        )
        return
    with ThreadPoolExecutor(1, "batches") as pool:
        wanted = iter(steps)
        upcoming = pool.submit(drawn.__getitem__, next(wanted))
        while True:
            phase, degraded, clean = upcoming.result()
            upcoming = pool.submit(drawn.__getitem__, next(wanted))
            yield phase, degraded, clean


def _as_it_is(batch: tuple[Phase, Any, Any]) -> tuple[Phase, Any, Any]:
    phase, degraded, clean = batch
    return phase, torch.from_numpy(degraded), torch.from_numpy(clean)
