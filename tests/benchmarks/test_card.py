"""A pack keeps out what is held out, and the parts for a card are done once each."""

import argparse
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import card as cards
from benchmarks.pack import choose, spread, unpacked, write_pack
from model.data.datasets import DatasetError
from model.data.sources import build_mixture, build_validation
from tests.pictures import drawn

ROOT = Path(__file__).parents[2]
RECIPE = """
task = "derain"
tile = 64
overlap = 16
steps = 20

[network]
width = 4
depth = 1

[[phase]]
crop = 64
batch = 2

[[source]]
kind = "pairs"
path = "pairs"
take = "1/2"
share = 0.5

[[source]]
kind = "layers"
path = "photos"
take = "-1/5"
exclude = ["07"]
layers = ["pairs"]
layers_take = "1/2"
share = 0.2

[[source]]
kind = "rain"
path = "photos"
share = 0.3

[[validation]]
name = "held out"
kind = "pairs"
path = "pairs"
take = "2/4"

[[validation]]
name = "clear"
kind = "clean"
path = "photos"
take = "1/5"
"""


@pytest.fixture
def data(tmp_path):
    for folder in ("data/pairs/input", "data/pairs/target", "data/photos"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(drawn(80, 96, number)).save(tmp_path / folder / f"{number:02}.png")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def names(folder):
    return {path.stem for path in folder.iterdir()}


def test_a_pack_holds_what_the_recipe_reads_and_no_picture_that_a_source_leaves_out(data):
    counts = write_pack(data / "recipe.toml", data / "data", data / "pack.tar", 50)
    recipe = unpacked(data / "pack.tar", data / "there")
    assert names(data / "there/train/pairs/input") == names(data / "there/train/pairs/target")
    assert names(data / "there/train/pairs/input") == {"00", "02", "04", "06", "08", "10"}
    assert names(data / "there/train/photos") == {"01", "02", "03", "04", "06", "08", "09", "11"}
    assert names(data / "there/validation/0/input") == {"01", "05", "09"}
    assert names(data / "there/validation/1") == {"00", "05", "10"}
    assert counts == {"pairs": 6, "photos": 8}
    mixture = build_mixture(recipe.sources, data / "there", side=recipe.largest_side, seed=0)
    assert [len(source.pairs) for source in mixture.sources] == [6, 8, 8]
    assert [len(build_validation(spec, data / "there")) for spec in recipe.validations] == [3, 3]


def test_a_pack_is_no_larger_than_asked_for(data):
    each = (data / "data/photos/00.png").stat().st_size
    most = 24 * each / 1e6 + 0.15
    counts = write_pack(data / "recipe.toml", data / "data", data / "pack.tar", most)
    assert (data / "pack.tar").stat().st_size <= most * 1e6
    assert 0 < counts["photos"] < 8
    assert 0 < counts["pairs"] < 6


def test_a_pack_without_room_for_training_says_so(data):
    with pytest.raises(DatasetError, match="no room for training pictures of pairs, photos"):
        write_pack(data / "recipe.toml", data / "data", data / "pack.tar", 0.1)


def test_every_beginning_is_spread_over_the_whole():
    items = list(range(10))
    assert sorted(spread(items)) == items
    assert list(spread(items))[:4] == [0, 5, 2, 7]


def test_room_is_shared_out_by_the_sources_shares(tmp_path):
    files = [tmp_path / str(number) for number in range(60)]
    for file in files:
        file.write_bytes(bytes(1000))
    chosen = choose({"much": (0.75, [(f,) for f in files[:30]]), "little": (0.25, [(f,) for f in files[30:]])}, 20_000)
    assert {path: len(those) for path, those in chosen.items()} == {"much": 15, "little": 5}


def card(tmp_path):
    return cards.Card(argparse.Namespace(out=tmp_path, minutes=1), math.inf, threading.Event())


def test_each_part_is_written_as_it_ends_and_done_once(tmp_path, monkeypatch):
    """A part that failed is told and tried again; the others follow it."""
    done, broken = [], [True]

    def part(name):
        def run(_):
            done.append(name)
            if name == "second" and broken[0]:
                raise ValueError("no luck")
            return {"figure": name}

        return run

    monkeypatch.setattr(cards, "parts", lambda _: {name: part(name) for name in ("first", "second", "third")})
    assert not cards.run(card(tmp_path))
    assert done == ["first", "second", "third"]
    assert json.loads((tmp_path / "second.json").read_text())["failed"] == "ValueError: no luck"
    assert json.loads((tmp_path / "third.json").read_text())["figure"] == "third"
    broken[0] = False
    assert cards.run(card(tmp_path))
    assert done == ["first", "second", "third", "second"]


def test_when_the_time_is_over_only_the_weights_are_brought_home(tmp_path, monkeypatch):
    monkeypatch.setattr(
        cards, "parts", lambda _: {name: lambda _: {} for name in ("gate", "train", "packed", "scores")}
    )
    late = cards.Card(argparse.Namespace(out=tmp_path, minutes=1), -math.inf, threading.Event())
    assert not cards.run(late)
    assert {path.stem for path in tmp_path.glob("*.json")} == {"train", "packed", "scores"}


def test_whoever_stops_it_finds_the_next_part_first(tmp_path, monkeypatch):
    mine, done = card(tmp_path), []

    def stopping(_):
        done.append("first")
        mine.stopped.set()
        return {}

    monkeypatch.setattr(cards, "parts", lambda _: {"first": stopping, "second": lambda _: done.append("second") or {}})
    assert not cards.run(mine)
    assert done == ["first"]
    mine.stopped.clear()
    assert cards.run(mine)
    assert done == ["first", "second"]


@pytest.mark.slow
def test_all_of_it_runs_on_a_processor(data, tmp_path):
    """With a tiny network, from the pack to the scores."""
    write_pack(data / "recipe.toml", data / "data", data / "pack.tar", 50)
    command = [sys.executable, "-m", "benchmarks.card", "--minutes", "8", "--pack", str(data / "pack.tar")]
    command += ["--out", str(tmp_path / "run"), "--networks", "w4d1", "--train-network", "w4d1", "--batches", "1"]
    command += ["--crops", "8", "--resumed-steps", "4", "--batch-sizes", "1", "--rounds", "1", "--quick"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DMSR_")}
    subprocess.run(command, cwd=ROOT, env=environment | {"OMP_NUM_THREADS": "1"}, check=True, timeout=1500)
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "run").glob("*.json")}
    assert not [name for name, result in found.items() if "failed" in result]
    assert found["resume"]["largest_relative_difference_of_losses"] == 0
    assert found["packed"]["small_enough"]
    assert found["scores"]["sets"].keys() == {"held out", "clear"}
