"""What deploy/ray/serve.yml and the RayService promise, read without Ray; test_ray_config.py runs the first of them."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from app.settings import variables
from tests.deploy.test_kubernetes import FOLDER, VERSIONS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy" / "ray" / "serve.yml"
SERVICE = yaml.safe_load((FOLDER / "ray" / "rayservice.yml").read_text())
CLUSTER = SERVICE["spec"]["rayClusterConfig"]
PODS = {
    "head": CLUSTER["headGroupSpec"]["template"],
    **{group["groupName"]: group["template"] for group in CLUSTER["workerGroupSpecs"]},
}
CONFIGS = {"config": yaml.safe_load(CONFIG.read_text()), "RayService": yaml.safe_load(SERVICE["spec"]["serveConfigV2"])}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_application_and_its_arguments_exist(name):
    (application,) = CONFIGS[name]["applications"]
    module, _, function = application["import_path"].partition(":")
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    assert f"def {function}(" in source
    fields = re.search(r"class Cluster\(.*?\n\n\n", source, re.DOTALL)[0]
    assert application["args"].keys() == set(re.findall(r"^    (\w+): ", fields, re.MULTILINE))
    assert application["runtime_env"]["env_vars"].keys() <= variables().keys()


def test_serve_listens_on_this_machine_alone_by_default():
    assert CONFIGS["config"]["http_options"]["host"] == "127.0.0.1"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", PODS)
def test_the_pods_fit_the_schemas_of_kubernetes(name, version):
    pod = {"apiVersion": "v1", "kind": "Pod", **PODS[name], "metadata": {"name": name, **PODS[name]["metadata"]}}
    kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_the_pods_can_harm_nothing_and_need_no_wget(name):
    spec = PODS[name]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["enableServiceLinks"] is spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["livenessProbe"]["httpGet"]
    assert container["readinessProbe"]["httpGet"]


def test_every_restorer_has_a_gpu_and_every_pod_the_keys():
    (application,) = CONFIGS["RayService"]["applications"]
    (group,) = CLUSTER["workerGroupSpecs"]
    assert application["args"]["restorers"] == group["replicas"]
    assert group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    folder = Path(application["runtime_env"]["env_vars"]["DMSR_AUTH_KEYS_FILE"]).parent
    for pod in PODS.values():
        (mount,) = (item for item in pod["spec"]["containers"][0]["volumeMounts"] if item["name"] == "keys")
        assert mount["mountPath"] == str(folder)


def test_ray_s_ports_are_the_cluster_s_own():
    policy = yaml.safe_load((FOLDER / "ray" / "network.yml").read_text())
    for version in VERSIONS:
        kubernetes_validate.validate(policy, version, strict=True)
    labels = {tuple(pod["metadata"]["labels"].items()) for pod in PODS.values()}
    assert labels == {tuple(policy["spec"]["podSelector"]["matchLabels"].items())}
    open_to_others = [rule for rule in policy["spec"]["ingress"] if "ports" in rule]
    assert [rule["ports"] for rule in open_to_others] == [[{"port": 8000, "protocol": "TCP"}]]


def test_ray_s_version_is_the_pinned_one():
    assert f"ray=={CLUSTER['rayVersion']}" in (ROOT / "constraints.txt").read_text().split()
