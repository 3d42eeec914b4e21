"""kubectl, the `kubernetes` package old and new, and lightkube use the embedded cluster."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cluster_requests import config, deployment

from archkit.testing import EmbeddedCluster, assert_placed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Kubectl = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.live

PROGRAMS = Path(__file__).parent / "clients"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "robots.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "robots", "kind": "Robot"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"arms": {"type": "integer"}}}},
                    }
                },
            }
        ],
    },
}


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def cluster(request: pytest.FixtureRequest) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(tls=request.param, images={"old:1": "linux/amd64,linux/arm64", "other:1": "linux/s390x,linux/riscv64"}) as made:
        made.add_node("linux/amd64", count=2)
        made.add_node("linux/arm64")
        made.load(DEFINITION)
        yield made


@pytest.fixture
def env(cluster: EmbeddedCluster, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "KUBECACHEDIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}


@pytest.fixture
def kubectl_run(kubectl: Path, env: dict[str, str]) -> Kubectl:
    def run(*arguments: str, stdin: object = None) -> subprocess.CompletedProcess[str]:
        text = None if stdin is None else json.dumps(stdin)
        return subprocess.run([kubectl, *arguments], env=env, input=text, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_kubectl_get(kubectl_run: Kubectl, cluster: EmbeddedCluster) -> None:
    lines = kubectl_run("get", "nodes").stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATUS", "VERSION", "AGE"]
    assert [line.split()[:2] for line in lines[1:]] == [["node-1", "Ready"], ["node-2", "Ready"], ["node-3", "Ready"]]
    listed = json.loads(kubectl_run("get", "nodes", "-o", "json", "-l", "kubernetes.io/arch=arm64", "--chunk-size=1").stdout)
    assert [node["metadata"]["name"] for node in listed["items"]] == ["node-3"]
    missing = kubectl_run("get", "deploy", "none")
    assert 'deployments.apps "none" not found' in missing.stderr
    assert "Server Version: v1.36.3" in kubectl_run("version").stdout
    assert "deployments.apps" in kubectl_run("api-resources", "-o", "name").stdout.split()
    cluster.deny("list", "secrets")
    assert 'User "archkit-test" cannot list resource "secrets"' in kubectl_run("get", "secrets").stderr


def test_kubectl_applies_on_the_server_and_sees_the_rollout(kubectl_run: Kubectl, cluster: EmbeddedCluster) -> None:
    first = kubectl_run("apply", "--server-side", "-f", "-", stdin=deployment(image="old:1", spec={"replicas": 3}))
    assert (first.returncode, first.stdout) == (0, "deployment.apps/web serverside-applied\n"), first.stderr
    status = kubectl_run("rollout", "status", "deploy/web", "--timeout=20s")
    assert (status.returncode, status.stdout) == (0, 'deployment "web" successfully rolled out\n'), status.stderr
    assert_placed(cluster.get("Deployment", "web"), "linux/amd64,linux/arm64", nodes=cluster)
    conflict = kubectl_run(
        "apply", "--server-side", "--field-manager=other", "-f", "-", stdin=deployment(image="new:1", spec={"replicas": 3})
    )
    assert conflict.returncode == 1
    assert 'conflict with "kubectl": .spec.template.spec.containers[name="app"].image' in conflict.stderr
    forced = kubectl_run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=deployment(image="other:1", spec={"replicas": 3}))
    assert forced.returncode == 0, forced.stderr
    stuck = kubectl_run("rollout", "status", "deploy/web", "--timeout=2s")
    assert stuck.returncode == 1
    assert "1 out of 3 new replicas have been updated" in stuck.stdout
    assert "ImagePullBackOff" in kubectl_run("get", "pods").stdout
    refused = kubectl_run("apply", "--server-side", "-f", "-", stdin=deployment(colour="red"))
    assert "field not declared in schema" in refused.stderr
    dry = kubectl_run("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=config(a="1"))
    assert dry.stdout == "configmap/conf serverside-applied (server dry run)\n", dry.stderr
    assert cluster.objects("ConfigMap") == []


@pytest.mark.parametrize("server_side", ["true", "false"])
def test_kubectl_diff(kubectl_run: Kubectl, cluster: EmbeddedCluster, server_side: str) -> None:
    made = deployment(image="old:1", spec={"replicas": 3})
    assert kubectl_run("apply", f"--server-side={server_side}", "-f", "-", stdin=made).returncode == 0
    same = kubectl_run("diff", f"--server-side={server_side}", "-f", "-", stdin=made)
    assert (same.returncode, same.stdout) == (0, ""), same.stderr
    changed = kubectl_run("diff", f"--server-side={server_side}", "-f", "-", stdin=deployment(image="old:1", spec={"replicas": 5}))
    assert changed.returncode == 1, changed.stderr
    assert {"-  replicas: 3", "+  replicas: 5"} <= set(changed.stdout.splitlines())
    assert cluster.get("Deployment", "web")["spec"]["replicas"] == 3


def test_kubectl_writes_in_its_other_ways(kubectl_run: Kubectl, cluster: EmbeddedCluster) -> None:
    assert kubectl_run("create", "-f", "-", stdin=deployment(image="old:1")).returncode == 0
    assert kubectl_run("set", "image", "deploy/web", "app=old:1").returncode == 0
    assert kubectl_run("scale", "deploy/web", "--replicas=2").returncode == 0
    assert kubectl_run("label", "deploy/web", "a=b").returncode == 0
    assert kubectl_run("wait", "deploy/web", "--for=condition=Available", "--timeout=20s").returncode == 0
    assert kubectl_run("rollout", "restart", "deploy/web").returncode == 0
    assert kubectl_run("rollout", "undo", "deploy/web").returncode == 0
    found = cluster.get("Deployment", "web")
    assert (found["spec"]["replicas"], found["metadata"]["labels"]) == (2, {"a": "b"})
    assert kubectl_run("create", "-f", "-", stdin={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}}).returncode == 0
    assert "protobuf" in kubectl_run("create", "namespace", "other").stderr, "not modelled, and said so"
    assert (
        kubectl_run(
            "apply", "-n", "mine", "-f", "-", stdin={"apiVersion": "example.com/v1", "kind": "Robot", "metadata": {"name": "r2"}}
        ).returncode
        == 0
    )
    assert kubectl_run("delete", "namespace", "mine", "--timeout=20s").returncode == 0
    assert kubectl_run("delete", "deploy", "web", "--timeout=20s").returncode == 0
    assert cluster.objects("Pod") == cluster.objects("Robot") == []


@pytest.mark.parametrize(("name", "wanted"), [("python-kubernetes-31", "31."), ("python-kubernetes-37", "37.")])
def test_the_kubernetes_package(name: str, wanted: str, env: dict[str, str], request: pytest.FixtureRequest) -> None:
    seen = ran(request, name, "kubernetes_client.py", env)
    assert seen.pop("version").startswith(wanted)
    assert seen == {
        "server": "v1.36.3",
        "nodes": ["node-1", "node-2", "node-3"],
        "arch": ["arm64"],
        "uid": True,
        "available": 2,
        "patched": 3,
        "replaced": 1,
        "scale": 1,
        "refused": [404, 'namespaces "none" not found'],
        "events": ["DELETED conf"],
        "applied": ["1", "applier"],
        "conflict": [409, ".data.a"],
        "custom": {"arms": 2},
        "left": [],
    }


def test_lightkube(env: dict[str, str], request: pytest.FixtureRequest) -> None:
    assert ran(request, "python-kubernetes-31", "lightkube_client.py", env) == {
        "nodes": ["node-1", "node-2", "node-3"],
        "available": 2,
        "patched": 3,
        "conflict": [409, ".data.a"],
        "missing": [404, "NotFound"],
        "watched": ["ADDED", "web"],
        "left": [],
    }


def ran(request: pytest.FixtureRequest, interpreter: str, program: str, env: dict[str, str]) -> Any:
    """What a program printed."""
    python: Path = request.getfixturevalue("python_client")(interpreter)
    command: list[str | Path] = [python, "-W", "ignore::DeprecationWarning", PROGRAMS / program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
