"""The pages' figures are the results' and the manifest's."""

import json
from dataclasses import replace

import pytest

from benchmarks import report, tables
from model.checkpoints.catalog import Catalog


@pytest.mark.parametrize("path", tables.PAGES, ids=lambda path: path.name)
def test_a_page_agrees_with_the_results(path):
    """After `python -m benchmarks.tables` nothing is left to change."""
    page = path.read_text()
    assert tables.filled(page) == page


def test_every_table_is_on_one_page():
    pages = [path.read_text() for path in tables.PAGES]
    assert all(sum(f"<!-- {name} -->" in page for page in pages) == 1 for name in tables.TABLES)


def test_every_set_of_the_default_weights_has_figures():
    assert not [
        page.name
        for page in tables.PAGES
        if tables.MISSING in page.read_text() and page.suffix == ".md" and "performance" not in page.name
    ]


def test_a_score_that_changes_would_be_noticed(monkeypatch):
    """A figure of the manifest stands in README.md and in the model card."""
    entry = Catalog.load().default("derain", "cpu")
    changed = {name: figures | {"psnr_y": figures["psnr_y"] + 0.01} for name, figures in entry.scores.items()}
    monkeypatch.setattr(Catalog, "default", lambda *_: replace(entry, scores=changed))
    for page in tables.PAGES[1:]:
        assert tables.filled(page.read_text()) != page.read_text()


def test_a_figure_that_changes_would_be_noticed(tmp_path, monkeypatch):
    page = tables.PAGES[0].read_text()
    for path in report.FOLDER.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    start = json.loads((tmp_path / "start-w16d4.json").read_text())
    start["ready_median_seconds"] += 1
    (tmp_path / "start-w16d4.json").write_text(json.dumps(start))
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    assert tables.filled(page) != page
