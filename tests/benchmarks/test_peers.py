"""What the comparison makes of what it measured."""

import numpy as np
import pytest

from benchmarks.peers.__main__ import merge, ratios
from benchmarks.peers.pictures import PeerModel, decode, encode
from model.inference.restorer import Restorer
from tests.pictures import drawn


def server(uniform, mixed, p95, huge_statuses=()):
    return {
        "uniform": {"pictures_per_second": uniform},
        "mixed": {"pictures_per_second": mixed},
        "beside": {"p95_seconds": p95, "huge_statuses": list(huge_statuses)},
    }


def test_above_one_is_ours_and_the_best_peer_is_the_nearest():
    found = ratios({"ours": server(6, 4, 0.5), "a": server(2, 4, 5), "b": server(3, 1, 2), "c": {"failed": "so"}})
    assert found == {
        "uniform": {"a": 3, "b": 2, "best": 2},
        "mixed": {"a": 1, "b": 4, "best": 1},
        "beside": {"a": 10, "b": 4, "best": 4},
    }


def test_a_peer_that_answers_nothing_has_no_ratio():
    found = ratios({"ours": server(6, 4, 0.5), "a": server(0, 2, 5)})
    assert found["uniform"] == {"a": None, "best": None}


def test_a_peer_that_failed_the_huge_picture_was_not_beside_one():
    found = ratios({"ours": server(6, 4, 0.5), "a": server(2, 4, 2, [200, 500]), "b": server(2, 4, 5, [200])})
    assert found["beside"] == {"a": None, "b": 10, "best": 10}


def test_merging_keeps_the_other_peers_with_their_own_ratios():
    """A run with b must not set the older a against its own, maybe faster or slower, ours."""
    old = {"servers": {"ours": server(6, 4, 1), "a": server(2, 2, 5)}}
    old["ratios"] = ratios(old["servers"])
    new = {"servers": {"ours": server(60, 40, 1), "b": server(30, 10, 2)}}
    new["ratios"] = ratios(new["servers"])
    merged = merge(old, new)
    assert merged["ratios"]["uniform"] == {"a": 3, "b": 2, "best": 2}
    assert set(merged["servers"]) == {"ours", "a", "b"}


@pytest.fixture
def pictures():
    return [drawn(64, 64, 1), drawn(100, 150, 2), drawn(70, 64, 3)]


def test_peers_with_our_runner_answer_what_we_answer(tiny_weights, pictures):
    """Batches across pictures and ours by picture differ by no more than batches do: one step on rare pixels."""
    restored = PeerModel("runner", str(tiny_weights)).restore(pictures)
    ours = Restorer.load(tiny_weights)
    for picture, theirs in zip(pictures, restored, strict=True):
        assert np.abs(ours.restore(picture).astype(int) - theirs).max() <= 1


def test_peers_with_the_plain_network_answer_as_the_reference_tiling(tiny_weights, pictures):
    restored = PeerModel("plain", str(tiny_weights)).restore(pictures)
    reference = Restorer.load(tiny_weights, tiling="reference")
    for picture, theirs in zip(pictures, restored, strict=True):
        assert np.abs(reference.restore(picture).astype(int) - theirs).max() <= 1


def test_peers_send_pixels_back_unharmed():
    picture = drawn(30, 40)
    assert np.array_equal(decode(encode(picture)), picture)
