"""docs/errors.md names every failure there is, with its status, and none there is not."""

import re
from pathlib import Path

from app.errors import causes

DOC = (Path(__file__).parent.parent / "docs" / "errors.md").read_text()


def test_the_table_is_the_tree():
    rows = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", DOC, re.MULTILINE)
    assert sorted(rows) == sorted((str(kind.status), kind.slug) for kind in causes())


def test_no_two_failures_share_a_type():
    slugs = [kind.slug for kind in causes()]
    assert len(slugs) == len(set(slugs))
