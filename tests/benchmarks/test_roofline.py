"""What a tile costs, counted on a convolution one can count by hand."""

import torch
from torch import nn

from benchmarks.roofline import TrafficCounter, cost
from model.network.config import DMSRConfig


def test_traffic_is_what_an_operator_reads_and_writes():
    conv = nn.Conv2d(3, 8, 1, bias=False)
    x = torch.zeros(1, 3, 16, 16)
    with torch.no_grad(), TrafficCounter() as traffic:
        conv(x)
    assert traffic.bytes == 4 * (3 * 256 + 8 * 256 + 24)


def test_views_cost_nothing():
    with TrafficCounter() as traffic:
        torch.zeros(4, 4).t()
    assert traffic.bytes == 64  # the zeros themselves


def test_four_times_the_pixels_are_nearly_four_times_the_work():
    """Nearly: half a spectrum of 128 columns has 65, not 66, and weights are read once whatever the size."""
    flops, traffic = cost(DMSRConfig(4, 1), 64)
    more_flops, more_traffic = cost(DMSRConfig(4, 1), 128)
    assert 3.98 < more_flops / flops < 4
    assert 3.5 < more_traffic / traffic < 4
