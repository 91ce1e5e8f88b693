"""The runner around real networks: what it returns, in which precision, and how it answers memory and bad values.

One file, because these are all answers of one small interface, and share its networks.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from model.checkpoints.checkpoint import CheckpointInfo
from model.inference.contract import TileResults
from model.inference.devices import resolve_device
from model.inference.onednn import can_fuse
from model.inference.precision import ladder
from model.inference.runner import TileRunner
from model.network.network import DMSR


class Fake(nn.Module):
    """A network whose output is a function of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return self.function(x), None, None


def runner(tiny_config, function, **kwargs):
    info = CheckpointInfo(tiny_config, "derain", tile=64)
    return TileRunner(Fake(function), info, device="cpu", **({"precision": "fp32"} | kwargs))


def whole_batches(subject):
    """Let a runner take batches whole, as a device does that is not this processor."""
    subject.threads = 0
    return subject


def tiles(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), np.uint8)


def test_the_identity_network_changes_nothing(tiny_config):
    batch = tiles(5)
    assert np.array_equal(runner(tiny_config, lambda x: x).run(batch).tiles, batch)


def test_values_are_rounded_and_clamped(tiny_config):
    """0.6 of a grey step rounds up, and nothing wraps around at black or white."""
    batch = np.full((1, 64, 64, 3), 100, np.uint8)
    assert (runner(tiny_config, lambda x: x + 0.6 / 255).run(batch).tiles == 101).all()
    assert (runner(tiny_config, lambda x: x + 9).run(batch).tiles == 255).all()
    assert (runner(tiny_config, lambda x: x - 9).run(batch).tiles == 0).all()


def test_the_network_sees_rgb_in_unit_range(tiny_config):
    seen = []

    def spy(x):
        seen.append(x.clone())
        return x

    batch = np.zeros((1, 64, 64, 3), np.uint8)
    batch[..., 0] = 255
    runner(tiny_config, spy).run(batch)
    assert seen[0].shape == (1, 3, 64, 64)
    assert seen[0][0, :, 0, 0].tolist() == [1, 0, 0]


def test_batches_obey_max_tiles(tiny_config):
    subject = whole_batches(runner(tiny_config, lambda x: x, max_tiles=3))
    batch = tiles(7)
    assert np.array_equal(subject.run(batch).tiles, batch)
    assert subject._fast.batches == [3, 3, 1]


def test_out_of_memory_halves_the_batch_and_remembers(tiny_config):
    """Nothing is lost when only two tiles fit, and the next call starts with the size that fitted."""

    def hungry(x):
        if len(x) > 2:
            raise torch.OutOfMemoryError("too many")
        return x

    subject = whole_batches(runner(tiny_config, hungry, max_tiles=8))
    batch = tiles(8)
    assert np.array_equal(subject.run(batch).tiles, batch)
    assert (subject.max_tiles, subject.memory_splits) == (2, 2)
    subject.run(batch)
    assert subject.memory_splits == 2


def test_out_of_memory_with_one_tile_is_raised(tiny_config):
    def starving(x):
        raise torch.OutOfMemoryError("none left")

    with pytest.raises(torch.OutOfMemoryError):
        whole_batches(runner(tiny_config, starving)).run(tiles(2))


def test_another_fault_is_not_taken_for_memory(tiny_config):
    def broken(x):
        raise RuntimeError("device-side assert")

    with pytest.raises(RuntimeError, match="device-side"):
        whole_batches(runner(tiny_config, broken)).run(tiles(4))


def test_tiles_that_are_not_finite_run_again_in_fp32(tiny_config):
    """Only they, only once, and the result is the float32 one."""

    def overflowing(x):
        x = x.clone()
        x[1] = float("inf")
        return x

    subject = whole_batches(runner(tiny_config, lambda x: x))
    subject.precision, subject._fast = "bf16", Fake(overflowing)
    batch = tiles(3)
    assert np.array_equal(subject.run(batch).tiles, batch)
    assert (subject._fast.batches, subject._network.batches) == ([3], [1])
    assert subject.fp32_retries == 1


def test_tiles_that_stay_not_finite_are_named(tiny_config):
    def poisoned(x):
        return torch.where(x.mean(dim=(1, 2, 3), keepdim=True) == 0, float("nan"), x)

    batch = tiles(5)
    batch[[1, 4]] = 0
    results = runner(tiny_config, poisoned, max_tiles=2).run(batch)
    assert (results.lost, results.kept) == ([1, 4], [])
    assert np.array_equal(np.delete(results.tiles, [1, 4], axis=0), np.delete(batch, [1, 4], axis=0))


def test_noise_in_bf16_runs_again_in_fp32(tiny_config):
    def exploding(x):
        return torch.where(x.mean(dim=(1, 2, 3), keepdim=True) > 0.6, torch.rand_like(x), x)

    batch = tiles(5)
    batch[[0, 3]] = 200
    subject = whole_batches(runner(tiny_config, lambda x: x))
    subject.precision, subject._fast = "bf16", Fake(exploding)
    results = subject.run(batch)
    assert np.array_equal(results.tiles, batch)
    assert (results.kept, subject.fp32_retries, subject._network.batches) == ([], 2, [2])


def test_noise_in_float32_leaves_the_tile_as_it_came(tiny_config):
    """Only that tile, and its place in the whole call is told, not that in its batch."""

    def exploding(x):
        return torch.where(x.mean(dim=(1, 2, 3), keepdim=True) > 0.6, torch.rand_like(x), x * 0.5)

    batch = tiles(5)
    batch[[0, 3]] = 200
    results = runner(tiny_config, exploding, max_tiles=2).run(batch)
    assert (results.kept, results.lost) == ([0, 3], [])
    assert (results.tiles[[0, 3]] == 200).all()
    assert np.abs(results.tiles[[1, 2, 4]].astype(int) - batch[[1, 2, 4]] / 2).max() <= 0.5


@pytest.mark.parametrize(
    ("cost", "best"),
    [
        ({1: 1.0, 2: 2.0}, 1),  # nothing to gain
        ({1: 1.0, 2: 1.2, 4: 1.6, 8: 3.1}, 4),  # doubling pays twice
        ({1: 1.0, 2: 1.2, 4: 2.3}, 2),  # four are 4% faster than two: not worth the wait
        ({1: 1.0, 2: 1.1, 4: 1.2, 8: 1.3, 16: 1.4}, 16),  # the cap ends the search
    ],
)
def test_warm_up_finds_the_smallest_batch_near_the_best_throughput(tiny_config, cost, best):
    """Judged by a clock that jumps by what each batch is said to cost."""
    now = 0.0

    def work(x):
        nonlocal now
        now += cost[len(x)]
        return x

    subject = whole_batches(runner(tiny_config, work, max_tiles=16))
    seconds = subject.warm_up(clock=lambda: now)
    assert all(taken == pytest.approx(cost[size]) for size, taken in seconds.items())
    assert subject.max_tiles == best


def test_on_a_processor_a_tile_for_each_thread_is_all_that_is_tried(tiny_config, monkeypatch):
    """All threads are busy while it is measured, as they are under load, and a tile's part of that time counts."""
    monkeypatch.setattr("model.inference.runner.prepare", lambda: 3)
    subject, ticks = runner(tiny_config, lambda x: x, max_tiles=64), iter((10.0, 16.0))
    assert subject.warm_up(clock=lambda: next(ticks)) == {1: 2.0}
    assert (subject.max_tiles, subject.batch_tiles, subject.threads) == (3, 1, 3)
    assert subject._fast.batches == [1] * 6


def test_the_cap_holds_for_tiles_side_by_side_as_for_batches(tiny_config, monkeypatch):
    monkeypatch.setattr("model.inference.runner.prepare", lambda: 3)
    subject = runner(tiny_config, lambda x: x, max_tiles=2)
    subject.warm_up()
    assert (subject.max_tiles, subject.batch_tiles) == (2, 1)


@pytest.mark.parametrize(("threads", "seen"), [(1, 1), (2, 2), (None, 3)])
def test_a_tile_has_the_threads_it_is_given_or_all(tiny_config, monkeypatch, threads, seen):
    monkeypatch.setattr("model.inference.runner.prepare", lambda: 3)
    counts = []

    def spy(x):
        counts.append(torch.get_num_threads())
        return x

    before = torch.get_num_threads()
    try:
        runner(tiny_config, spy).run(tiles(1), threads)
    finally:
        torch.set_num_threads(before)
    assert counts == [seen]


def test_two_calls_at_once_keep_their_counts(tiny_config, monkeypatch):
    """Every tile of both is finite in float32 only."""
    monkeypatch.setattr("model.inference.runner.prepare", lambda: 2)

    subject = runner(tiny_config, lambda x: x)
    subject.precision, subject._fast = "bf16", Fake(lambda x: torch.full_like(x, float("nan")))
    with ThreadPoolExecutor(2) as callers:
        ends = [callers.submit(subject.run, tiles(20, seed)) for seed in range(2)]
        assert all(np.array_equal(end.result(30).tiles, tiles(20, seed)) for seed, end in enumerate(ends))
    assert subject.fp32_retries == 40


def test_out_of_memory_in_one_call_does_not_undo_what_another_has_learnt(tiny_config, monkeypatch):
    """Both fail at eight tiles; the second to notice must not raise the limit that the first has lowered further."""
    monkeypatch.setattr("model.inference.runner.prepare", lambda: 2)
    subject = runner(tiny_config, lambda x: x)
    late, first = threading.Event(), threading.Event()

    def run_batch(batch, threads):
        if len(batch) == 8 and (batch == 1).all():
            late.set()
            assert first.wait(30)
        if len(batch) > 2:
            raise torch.OutOfMemoryError("too many")
        return TileResults(batch)

    monkeypatch.setattr(subject, "_run_batch", run_batch)
    with ThreadPoolExecutor(1) as callers:
        slow = callers.submit(subject.run, np.ones((8, 64, 64, 3), np.uint8))
        assert late.wait(30)
        subject.run(tiles(8))
        assert (subject.max_tiles, subject.memory_splits) == (2, 2)
        first.set()
        slow.result(30)
    assert (subject.max_tiles, subject.memory_splits) == (2, 3)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", "cpu:x"])
def test_impossible_devices_are_named(device):
    with pytest.raises(ValueError, match=device):
        resolve_device(device)


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match="fp8"):
        ladder("fp8", torch.device("cpu"))


@pytest.mark.skipif(not can_fuse(torch.bfloat16), reason="oneDNN's bfloat16 needs AVX-512")
def test_bf16_keeps_float32_beside_it(tiny_config, monkeypatch):
    """For what is not finite in bfloat16; and both give the same picture."""
    monkeypatch.setattr("model.inference.runner.ladder", lambda *_: ("bf16", "fp32"))
    torch.manual_seed(0)
    network, batch = DMSR(tiny_config), tiles(2)
    info = CheckpointInfo(tiny_config, "derain", tile=64)
    subject = TileRunner(network, info, device="cpu")
    assert {p.dtype for p in subject._network.parameters()} == {torch.float32}
    assert torch.bfloat16 in {p.dtype for p in subject._fast.parameters()}
    difference = np.abs(
        subject.run(batch).tiles.astype(int) - TileRunner(network, info, "cpu", "fp32").run(batch).tiles
    )
    assert difference.mean() < 1


@pytest.mark.parametrize(("by", "precision"), [(0.2, "bf16"), (0.9, "fp32")])
def test_weights_that_are_too_coarse_in_bf16_run_in_float32(tiny_config, monkeypatch, by, precision):
    """Judged at the warm-up, by the mean difference in 8-bit steps."""
    monkeypatch.setattr("model.inference.runner.ladder", lambda *_: ("bf16", "fp32"))
    subject = runner(tiny_config, lambda x: x)
    subject._fast = Fake(lambda x: x + by / 255)
    subject.warm_up()
    assert subject.precision == precision
    assert np.array_equal(subject.run(tiles(1)).tiles, tiles(1))


def test_without_onednn_the_network_runs_as_it_is(tiny_config, monkeypatch):
    monkeypatch.setattr("model.inference.precision.can_fuse", lambda: False)
    subject = TileRunner(DMSR(tiny_config), CheckpointInfo(tiny_config, "derain", tile=64), device="cpu")
    assert subject.precision == "fp32"
    assert subject._fast is subject._network


def test_fp32_is_fp32():
    assert ladder("fp32", torch.device("cpu")) == ("fp32",)
