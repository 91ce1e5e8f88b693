"""docs/scaling.md: its table is what the results make, and what it names exists."""

import re
from pathlib import Path

import pytest

from benchmarks import capacity
from model.checkpoints.catalog import Catalog
from model.inference.tiling import TilePlan

ROOT = Path(__file__).parents[2]
TEXT = capacity.PAGE.read_text()


def test_the_table_is_what_the_results_make():
    """After a measurement, `python -m benchmarks.capacity` writes it anew."""
    assert capacity.filled(TEXT, capacity.table(capacity.measured())) == TEXT
    assert capacity.filled(TEXT, "other\n") != TEXT


@pytest.mark.parametrize(
    ("pictures", "tiles", "rate", "wanted"), [(1, 70, 100, 1), (1, 71, 100, 2), (7, 100, 100, 10), (0.1, 1944, 1, 278)]
)
def test_no_device_is_busier_than_planned(pictures, tiles, rate, wanted):
    assert capacity.devices(pictures, tiles, rate) == wanted


def test_the_formula_of_the_page_counts_tiles():
    """1 if the side is at most the tile, else (side − overlap) ÷ (tile − overlap), rounded up."""
    entry = Catalog.load().default("derain", "cpu")
    assert f"{entry.tile} and {entry.overlap} for deraining" in TEXT
    assert len(TilePlan(144, 144, 144, 16)) == 1
    assert len(TilePlan(145, 272, 144, 16)) == 2 * 2
    assert len(TilePlan(273, 1, 144, 16)) == 3


def test_what_the_page_names_exists():
    assert re.search(r"^test-ray:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for module, name in re.findall(r"(deploy\.ray\.\w+):(\w+)", TEXT):
        assert f"def {name}(" in (ROOT / f"{module.replace('.', '/')}.py").read_text()
    for overlay in re.findall(r"kubectl apply -k (\S+)", TEXT):
        assert (ROOT / overlay / "kustomization.yaml").exists()
