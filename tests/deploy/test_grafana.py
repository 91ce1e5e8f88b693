"""What Grafana is given, as far as it can be judged without one; tests/e2e/test_prometheus.py runs the queries."""

import json
from itertools import combinations
from pathlib import Path

import yaml

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "dmsr.json").read_text())
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_the_dashboard_is_read_from_the_top():
    rows = sorted(ROWS, key=lambda row: row["gridPos"]["y"])
    assert [row["title"] for row in rows] == ["Is it up", "Is it fast", "Is it full", "Why"]


def test_every_panel_asks_the_provisioned_source_and_says_what_it_shows():
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    for panel in PANELS:
        assert panel["datasource"]["uid"] in [source["uid"] for source in sources]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]


def test_no_panel_covers_another():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one, other in combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart


def test_the_dashboard_lies_where_compose_mounts_it():
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/dmsr.yml").read_text())["providers"][0]
    compose = yaml.safe_load((GRAFANA.parent / "compose/service.yml").read_text())["services"]["grafana"]
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in compose["volumes"]
    assert (
        f"GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH={provider['options']['path']}/dmsr.json" in compose["environment"]
    )
