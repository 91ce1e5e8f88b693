"""The scrape configuration and the alerts, judged by promtool; every alert has its paragraph for whoever is woken."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ],
)
def test_promtool_is_content(arguments):
    judged = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_every_alert_has_a_unit_test_in_which_it_fires():
    tests = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_paragraph_in_the_runbook(name):
    text = (ROOT / "docs" / "operations.md").read_text()
    assert ALERTS[name]["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
    paragraph = re.search(rf"^### {name}\n\n(.+?)(?=\n#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert paragraph
    assert len(paragraph[1].split()) > 30


def test_the_runbook_has_no_paragraph_without_an_alert():
    text = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"^### (Dmsr\w+)", text, re.MULTILINE)) == ALERTS.keys()
