"""Pipeline.run against a real API server and the real scheduler: from source to `Available`, on the right nodes.

Images are built from files into a registry of this process. No kubelet runs: kwok says that a pod runs, so that what
is seen here is where pods are put, not that programs start.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kube_objects import ARM_TAINT, OUTCOME, PULL_FAILURE, node

from archkit import (
    Artifact,
    ClusterConnection,
    ClusterInspector,
    Event,
    FilesBuilder,
    FindingsError,
    Mode,
    Pipeline,
    RolloutError,
)

if TYPE_CHECKING:
    from control_plane import ControlPlane

    from archkit.testing import EmbeddedRegistry

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello}
spec:
  replicas: 4
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      # pods are spread over the CPUs that there are; one that cannot be had keeps pods waiting
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/arch, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: hello}}}
      containers:
      - {name: hello, image: hello}
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: hello}\nspec: {selector: {app: hello}, ports: [{port: 80}]}\n"


def term(platform: str) -> dict[str, Any]:
    """The term of the seed for a platform."""
    system, _, arch = platform.partition("/")
    return {
        "matchExpressions": [
            {"key": "kubernetes.io/os", "operator": "In", "values": [system]},
            {"key": "kubernetes.io/arch", "operator": "In", "values": [arch]},
        ]
    }


@pytest.fixture
def hello(tmp_path: Path) -> Artifact:
    """The example's program, written for two CPUs."""
    spec = importlib.util.spec_from_file_location("make_hello", ROOT / "examples" / "hello" / "make_hello.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    (tmp_path / "source").mkdir()
    return Artifact("hello", tmp_path / "source", builder=FilesBuilder(files=example.make_hello(tmp_path / "build"), entrypoint=["/hello"]))


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "k8s"
    folder.mkdir()
    (folder / "a-deployment.yaml").write_text(DEPLOYMENT)
    (folder / "b-service.yaml").write_text(SERVICE)
    return folder


def placed(plane: ControlPlane) -> dict[str, list[str]]:
    """The platforms of the nodes on which pods are, by node."""
    platforms = {
        item["metadata"]["name"]: "/".join(item["metadata"]["labels"][f"kubernetes.io/{key}"] for key in ("os", "arch"))
        for item in plane.listed("api/v1/nodes")
    }
    found: dict[str, list[str]] = {}
    for pod in plane.listed("api/v1/namespaces/default/pods"):
        found.setdefault(platforms[pod["spec"]["nodeName"]], []).append(pod["metadata"]["name"])
    return found


def template(plane: ControlPlane) -> dict[str, Any]:
    found: dict[str, Any] = plane.request("GET", "apis/apps/v1/namespaces/default/deployments/hello")["spec"]["template"]["spec"]
    return found


CLUSTERS = [
    pytest.param([node("a1"), node("a2")], ["linux/amd64"], [], [], id="amd64 only"),
    pytest.param([node("b1", "linux/arm64"), node("b2", "linux/arm64")], ["linux/arm64"], [], [], id="arm64 only"),
    pytest.param(
        [node("a1"), node("b1", "linux/arm64")], ["linux/amd64", "linux/arm64"], [term("linux/amd64"), term("linux/arm64")], [], id="mixed"
    ),
    pytest.param(
        [node("a1"), node("b1", "linux/arm64", taints=[ARM_TAINT])],
        ["linux/amd64", "linux/arm64"],
        [term("linux/amd64"), term("linux/arm64")],
        [{"key": "kubernetes.io/arch", "operator": "Equal", "value": "arm64", "effect": "NoSchedule"}],
        id="GKE with its taint",
    ),
]


@pytest.mark.parametrize(("nodes", "platforms", "terms", "tolerations"), CLUSTERS)
def test_from_source_to_available_on_the_clusters_of_the_seed(
    control_plane: ControlPlane,
    archkit_registry: EmbeddedRegistry,
    hello: Artifact,
    manifests: Path,
    nodes: list[dict[str, Any]],
    platforms: list[str],
    terms: list[dict[str, Any]],
    tolerations: list[dict[str, str]],
) -> None:
    control_plane.declare(*nodes)
    events: list[Event] = []
    connection = ClusterConnection.from_kubeconfig(control_plane.kubeconfig)
    pipeline = Pipeline(
        hello, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1", on_event=events.append
    )

    done = pipeline.run(timeout=60)

    # built for what the cluster has, and pinned
    assert str(archkit_registry.platforms("hello:1")) == ",".join(platforms)
    found = template(control_plane)
    assert found["containers"][0]["image"] == done.build.images[0].reference
    # the affinity of the seed: a term per platform on a mixed cluster, none where all nodes are alike
    selector = found.get("affinity", {}).get("nodeAffinity", {}).get(REQUIRED, {})
    assert selector.get("nodeSelectorTerms", []) == terms
    assert found.get("tolerations", []) == tolerations
    # available, every pod on a node that its image runs on, and on each kind of node
    assert dict(done.rollout.workloads) == {"Deployment/default/hello": "4 of 4 replicas are available"}
    assert {platform: len(pods) for platform, pods in placed(control_plane).items()} == dict.fromkeys(platforms, 4 // len(platforms))
    assert [item.label for item in done.applied.objects] == ["Service/default/hello", "Deployment/default/hello"]
    # one connection, and the plan names it
    assert done.plan.target == connection.name
    assert f"applies to: cluster {connection.context} ({connection.server})" in done.plan.explain()
    assert [event.work for event in events if event.stage == "finished"][-3:] == ["check", "apply", "wait"]
    assert (manifests / "a-deployment.yaml").read_text() == DEPLOYMENT

    again = pipeline.run(timeout=60)

    assert {item.outcome for item in again.applied.objects} == {"unchanged"}


def test_an_image_of_one_platform_stays_off_the_others(
    control_plane: ControlPlane, archkit_registry: EmbeddedRegistry, hello: Artifact, manifests: Path
) -> None:
    control_plane.declare(node("a1"), node("b1", "linux/arm64"), node("b2", "linux/arm64"))
    (manifests / "a-deployment.yaml").write_text(DEPLOYMENT.replace("DoNotSchedule", "ScheduleAnyway"))
    connection = ClusterConnection.from_kubeconfig(control_plane.kubeconfig)
    only = Artifact("hello", hello.context, platforms="linux/amd64", builder=hello.builder)

    Pipeline(only, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1").run(timeout=60)

    assert {platform: len(pods) for platform, pods in placed(control_plane).items()} == {"linux/amd64": 4}
    assert template(control_plane)["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] == [term("linux/amd64")]


def test_a_given_cluster_wins_over_asking(
    control_plane: ControlPlane, archkit_registry: EmbeddedRegistry, hello: Artifact, manifests: Path
) -> None:
    control_plane.declare(node("a1"), node("b1", "linux/arm64"))
    given = ClusterInspector.from_nodes([node("b1", "linux/arm64")]).inspect()
    connection = ClusterConnection.from_kubeconfig(control_plane.kubeconfig)
    pipeline = Pipeline(hello, manifests=manifests, connection=connection, cluster=given, default_repo=archkit_registry.host, tag="1")

    assert str(pipeline.plan(Mode.RUN).targets[0][1].platforms) == "linux/arm64"


def test_an_error_finding_stops_before_anything_is_applied(
    control_plane: ControlPlane, archkit_registry: EmbeddedRegistry, hello: Artifact, manifests: Path
) -> None:
    control_plane.declare(node("a1"), node("b1", "linux/arm64"))
    pinned = DEPLOYMENT.replace("      containers:", "      nodeSelector: {kubernetes.io/arch: s390x}\n      containers:")
    (manifests / "a-deployment.yaml").write_text(pinned)
    connection = ClusterConnection.from_kubeconfig(control_plane.kubeconfig)
    pipeline = Pipeline(hello, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1")

    with pytest.raises(FindingsError) as caught:
        pipeline.run(timeout=5)

    codes = {finding.code for finding in caught.value.findings}
    assert codes
    assert control_plane.listed("apis/apps/v1/namespaces/default/deployments") == []
    assert [item for item in control_plane.listed("api/v1/namespaces/default/services") if item["metadata"]["name"] == "hello"] == []
    with pytest.raises(RolloutError, match="the scheduler finds no node"):
        pipeline.run(allow=codes, timeout=5)


def test_a_pod_whose_image_has_nothing_for_its_node_ends_the_run(
    control_plane: ControlPlane, archkit_registry: EmbeddedRegistry, hello: Artifact, manifests: Path
) -> None:
    control_plane.declare(node("a1"))
    failing = DEPLOYMENT.replace(
        "labels: {app: hello}}\n    spec", f"labels: {{app: hello}}, annotations: {{{OUTCOME}: {PULL_FAILURE}}}}}\n    spec"
    )
    (manifests / "a-deployment.yaml").write_text(failing)
    connection = ClusterConnection.from_kubeconfig(control_plane.kubeconfig)

    with pytest.raises(RolloutError, match="has nothing for the platform on node a1") as caught:
        Pipeline(hello, manifests=manifests, connection=connection, default_repo=archkit_registry.host, tag="1").run(timeout=60)

    assert caught.value.workloads[0][0] == "Deployment/default/hello"
