import torch
from torch import nn

from model.training.averaging import MovingAverage, estimate_statistics


def test_the_average_moves_by_one_minus_decay():
    network = nn.Linear(2, 2)
    average = MovingAverage(network)
    before = average.values["weight"].clone()
    with torch.no_grad():
        network.weight.add_(1)
    average.update(network, 0.9)
    torch.testing.assert_close(average.values["weight"], before + 0.1)


def test_the_average_is_copied_without_being_tied():
    network, other = nn.Linear(2, 2), nn.Linear(2, 2)
    average = MovingAverage(network)
    average.copy_to(other)
    assert torch.equal(other.weight, network.weight)
    with torch.no_grad():
        other.weight.zero_()
    assert average.values["weight"].abs().max() > 0


def test_statistics_become_the_mean_over_the_batches():
    """Whatever the statistics were before, each batch counts the same."""
    network = nn.Sequential(nn.BatchNorm2d(3))
    network[0].running_mean.fill_(99)
    batches = [torch.rand(4, 3, 8, 8) for _ in range(5)]
    estimate_statistics(network, batches)
    torch.testing.assert_close(network[0].running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0))
    torch.testing.assert_close(network[0].running_var, torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0))
    assert not network.training
    assert network[0].momentum == 0.1
