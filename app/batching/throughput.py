"""How long a batch takes, learnt while running: seconds = per_tile · n + per_batch, for one device and task.

Knows nothing of queues. admission.py turns the throughput into promises.
"""

import threading
from collections import deque
from statistics import fmean, linear_regression


class BatchTime:
    """Fit batch times by least squares over the last batches.

    A window forgets how busy the machine once was: 64 batches are minutes on a CPU and under a second on a GPU.
    """

    def __init__(self, window: int = 64) -> None:
        self._seen: deque[tuple[int, float]] = deque(maxlen=window)
        self._learning = threading.Lock()
        self.per_tile_seconds = 0.0
        self.per_batch_seconds = 0.0

    def observe(self, tiles: int, seconds: float) -> None:
        """Learn from one batch; from any thread."""
        with self._learning:
            self._seen.append((tiles, seconds))
            sizes, times = zip(*self._seen, strict=True)
            most = fmean(times) / fmean(sizes)  # a tile's seconds if a batch itself took none
            slope = linear_regression(sizes, times).slope if len(set(sizes)) > 1 else most
            # Noise must not make a tile or a batch cost less than nothing, so both terms stay at or above zero.
            self.per_tile_seconds = min(max(slope, 0.0), most)
            self.per_batch_seconds = fmean(times) - self.per_tile_seconds * fmean(sizes)

    def tiles_per_second(self, batch: int) -> float:
        """Return the throughput at a batch size; 0 before the first batch."""
        seconds = self.per_tile_seconds * batch + self.per_batch_seconds
        return batch / seconds if seconds else 0.0
