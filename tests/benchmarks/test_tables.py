"""The page's figures are the results' figures."""

import json

from benchmarks import report, tables


def test_the_page_agrees_with_the_results():
    """After `python -m benchmarks.tables` nothing is left to change."""
    page = tables.PAGE.read_text()
    assert tables.filled(page) == page


def test_every_table_is_on_the_page():
    page = tables.PAGE.read_text()
    assert all(f"<!-- {name} -->" in page for name in tables.TABLES)


def test_a_figure_that_changes_would_be_noticed(tmp_path, monkeypatch):
    page = tables.PAGE.read_text()
    for path in report.FOLDER.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    start = json.loads((tmp_path / "start-w16d4.json").read_text())
    start["ready_median_seconds"] += 1
    (tmp_path / "start-w16d4.json").write_text(json.dumps(start))
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    assert tables.filled(page) != page
