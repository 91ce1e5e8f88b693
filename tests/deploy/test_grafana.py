"""What Grafana is given, as far as it can be judged without one; tests/e2e/test_prometheus.py runs the queries."""

import json
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
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
    mounts = {volume["target"]: volume["source"] for volume in compose["volumes"] if "source" in volume}
    assert mounts[provider["options"]["path"]] == "../grafana/dashboards"
    assert (
        f"GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH={provider['options']['path']}/dmsr.json" in compose["environment"]
    )


def start(folder, bind, password=None):
    """Run the script that starts Grafana, with `env` in Grafana's place; gives its GF_* variables, or what it says."""
    file = folder / "password"
    if password is not None:
        file.write_text(password)
    environment = {"PATH": "/usr/bin:/bin", "GRAFANA_BIND": bind, "PASSWORD_FILE": str(file)}
    done = subprocess.run(
        ["/bin/sh", GRAFANA / "start", "env"], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("GF_"))


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
def test_on_loopback_everybody_may_look_and_nobody_is_admin(tmp_path, bind):
    found = start(tmp_path, bind)
    assert found["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert found["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert found["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"


@pytest.mark.parametrize("bind", ["0.0.0.0", "192.168.0.7", "::", "", "127.example.org", "10.127.0.1"])
def test_on_any_other_address_grafana_needs_a_password(tmp_path, bind):
    assert "write a password into deploy/private/grafana/password" in start(tmp_path, bind)
    found = start(tmp_path, bind, "long and random")
    assert found["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert found["GF_SECURITY_ADMIN_PASSWORD__FILE"] == str(tmp_path / "password")


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0"])
def test_an_empty_password_is_none(tmp_path, bind):
    assert "is empty" in start(tmp_path, bind, "")
