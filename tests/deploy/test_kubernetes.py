"""What the Kubernetes manifests promise, read without a cluster: Kubernetes' own schemas, and our own rules."""

import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from app.api.health import OPEN_PATHS
from app.settings import Settings, SettingsError, variables
from app.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.37")  # the lowest is named in docs/scaling.md
OVERLAYS = ("base", "cpu")
KINDS = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}


SCALING = (ROOT / "docs" / "scaling.md").read_text()


def load(path):
    return yaml.safe_load((FOLDER / path).read_text())


def patched(whole, patch):
    """Merge as kustomize does: mappings by key, lists of named things by name, other lists and values whole."""
    if isinstance(whole, dict) and isinstance(patch, dict):
        merged = whole | {key: patched(whole.get(key), value) for key, value in patch.items()}
        return {key: value for key, value in merged.items() if value is not None}
    lists = isinstance(whole, list) and isinstance(patch, list)
    if lists and all(isinstance(item, dict) and "name" in item for item in [*whole, *patch]):
        named = {item["name"]: item for item in whole}
        return list((named | {item["name"]: patched(named.get(item["name"]), item) for item in patch}).values())
    return patch


def manifests(overlay):
    """Map the kind of each object to what is applied; images keep the names that the files have."""
    objects = {
        item["kind"]: item
        for item in map(load, [f"base/{name}" for name in load("base/kustomization.yaml")["resources"]])
    }
    if overlay != "base":
        for patch in load(f"{overlay}/kustomization.yaml")["patches"]:
            change = load(f"{overlay}/{patch['path']}")
            objects[change["kind"]] = patched(objects[change["kind"]], change)
    return objects


def pod(overlay):
    return manifests(overlay)["Deployment"]["spec"]["template"]["spec"]


def container(overlay):
    (only,) = pod(overlay)["containers"]
    return only


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_manifests_fit_the_schemas_of_kubernetes(overlay, version):
    objects = manifests(overlay)
    assert objects.keys() == KINDS
    for item in objects.values():
        kubernetes_validate.validate(item, version, strict=True)


def test_the_schemas_find_a_misspelt_field():
    wrong = manifests("base")["Deployment"]
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_makes_of_them_what_is_judged_here(overlay):
    built = subprocess.run(["kubectl", "kustomize", FOLDER / overlay], capture_output=True, check=True, timeout=60)
    found = {item["kind"]: item for item in yaml.safe_load_all(built.stdout)}
    (image,) = load(f"{overlay}/kustomization.yaml")["images"]
    expected = manifests(overlay)
    for objects in (found, expected):
        (only,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
        only["env"].sort(key=lambda variable: variable["name"])
        only["image"] = only["image"].removesuffix(f":{image['newTag']}")
    assert found == expected


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_grace_is_longer_than_the_drain(overlay):
    """Sleep, drain, and the five seconds in which the last answers leave."""
    (drain,) = (item["value"] for item in container(overlay)["env"] if item["name"] == "DMSR_SERVER_DRAIN_SECONDS")
    sleep = container(overlay)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(overlay)["terminationGracePeriodSeconds"] > sleep + int(drain) + 5


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pod_can_harm_nothing(overlay):
    user = pod(overlay)["securityContext"]
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in (ROOT / "Dockerfile").read_text()
    assert user["runAsNonRoot"] is True
    assert container(overlay)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container(overlay)["volumeMounts"]}
    assert mounts == {"/tmp": False, "/run/secrets/dmsr": True}
    assert pod(overlay)["automountServiceAccountToken"] is False


def test_only_the_base_asks_for_a_gpu():
    gpu, cpu = (container(overlay)["resources"] for overlay in OVERLAYS)
    assert gpu["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in cpu["limits"]
    assert gpu["limits"]["memory"] == cpu["limits"]["memory"]
    assert [toleration["key"] for toleration in pod("base")["tolerations"]] == ["nvidia.com/gpu"]
    assert "tolerations" not in pod("cpu")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_serves_without_keys_by_oversight(overlay):
    """The Secret is not optional, and the setting names a file in its folder."""
    (secret,) = (volume["secret"] for volume in pod(overlay)["volumes"] if "secret" in volume)
    assert not secret.get("optional")
    (file,) = (item["value"] for item in container(overlay)["env"] if item["name"] == "DMSR_AUTH_KEYS_FILE")
    assert file == "/run/secrets/dmsr/keys"
    assert f"kubectl create secret generic {secret['secretName']} --from-file=keys" in SCALING


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_spread_budget_and_policy_are_about_these_pods(overlay):
    objects = manifests(overlay)
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    spread = pod(overlay)["topologySpreadConstraints"]
    assert [item["labelSelector"]["matchLabels"] for item in spread] == [labels, labels]
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    policy = objects["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["egress"] == []
    (rule,) = policy["ingress"]
    assert rule["from"]  # an empty list would let everybody in
    assert {port["port"] for port in rule["ports"]} == {port["name"] for port in container(overlay)["ports"]}


def test_the_lowest_version_is_named():
    assert f"Kubernetes {VERSIONS[0]} or newer" in SCALING


def test_the_pod_monitor_scrapes_the_pods_under_the_alerts_job():
    monitor = load("monitoring/podmonitor.yml")["spec"]
    labels = manifests("base")["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"] == labels
    assert labels[monitor["jobLabel"]] == "dmsr"
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["port"] in [port["name"] for port in container("base")["ports"]]
    assert endpoint["path"] == "/metrics"


def test_the_prometheus_rule_is_the_alerts_of_compose():
    """deploy/kubernetes/monitoring/write makes it anew."""
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    assert load("monitoring/rules.yml")["spec"] == alerts


def test_a_pod_on_cpus_has_whole_ones_to_itself():
    """Without a limit the service would take every core of the node."""
    resources = container("cpu")["resources"]
    assert resources["limits"]["cpu"] == resources["requests"]["cpu"]
    assert resources["limits"]["cpu"].isdecimal()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_settings_are_known(overlay):
    names = {item["name"] for item in container(overlay)["env"]}
    assert {name for name in names if name.startswith("DMSR_")} <= variables().keys()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_adds_no_variable_of_our_prefix(overlay, monkeypatch):
    """What it would add for a Service of this name stops the start."""
    name = manifests(overlay)["Service"]["metadata"]["name"]
    monkeypatch.setenv(f"{name.upper()}_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(SettingsError, match="_SERVICE_HOST"):
        Settings.from_environment()
    assert pod(overlay)["enableServiceLinks"] is False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_probes_ask_what_needs_no_key(overlay):
    probes = {kind: probe for kind, probe in container(overlay).items() if kind.endswith("Probe")}
    assert probes.keys() == {"startupProbe", "livenessProbe", "readinessProbe"}
    assert {probe["httpGet"]["path"] for probe in probes.values()} == OPEN_PATHS
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_service_and_autoscaler_find_the_pods(overlay):
    objects = manifests(overlay)
    deployment, service = objects["Deployment"], objects["Service"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["ports"][0]["targetPort"] in [port["name"] for port in container(overlay)["ports"]]
    target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_autoscaler_s_metric_is_one_of_ours_through_the_adapter(overlay):
    (metric,) = manifests(overlay)["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert name.encode() in Metrics(["derain"]).render()
    (rule,) = load("prometheus-adapter.yml")["rules"]["custom"]
    assert rule["seriesQuery"].startswith(f"{name}{{")
    assert rule["metricsQuery"].startswith("sum(")  # one series a task
