"""Reading a real API server: every way of signing in with the oldest and the newest `kubernetes`, and what goes wrong."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest
import trustme
import yaml
from control_plane import Refused, wait_until
from kube_objects import ARM_TAINT, node

import archkit
from archkit import (
    Cluster,
    ClusterConnection,
    ClusterError,
    ClusterForbiddenError,
    ClusterInspector,
    ClusterSignInError,
    ClusterUnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from control_plane import ControlPlane

    from archkit.ports.cluster import ClusterApi
    from archkit.ports.http import HttpResponse

pytestmark = pytest.mark.live

LIST_NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}

SCRIPT = """
import sys
sys.path += sys.argv[2:]
import kubernetes
from archkit import ClusterInspector
cluster = ClusterInspector.from_kubeconfig(sys.argv[1]).inspect()
loaded = [name for name in sys.modules if name.startswith("kubernetes.client.models.")]
print(kubernetes.__version__, len(cluster.nodes), cluster.platforms, "|", len(loaded))
"""


def inspected(path: Path) -> Cluster:
    return ClusterInspector.from_kubeconfig(path).inspect()


@attrs.define
class Between:
    """A connection that lets something happen before some request."""

    api: ClusterConnection
    happens: Mapping[int, Callable[[], object]]
    """By the number of the request, counted from 1."""
    asked: int = 0

    @property
    def name(self) -> str:
        return self.api.name

    def request(self, method: str, path: str, **more: Any) -> HttpResponse:
        self.asked += 1
        if event := self.happens.get(self.asked):
            event()
        return self.api.request(method, path, **more)

    def lines(self, path: str, **more: Any) -> Iterator[bytes]:
        return self.api.lines(path, **more)


if TYPE_CHECKING:
    _conforms: type[ClusterApi] = Between


# ---- signing in ------------------------------------------------------------------------------------------------------


def exec_kubeconfig(plane: ControlPlane, folder: Path) -> Path:
    """The kubeconfig of a user who signs in with a program that prints the token of the administrator."""
    login = folder / "login"
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": plane.tokens["admin"]}}
    login.write_text(f"#!/bin/sh\nprintf '%s' '{json.dumps(credential)}'\n")
    login.chmod(0o700)
    config = json.loads(plane.kubeconfig.read_text())
    plugin = {"apiVersion": credential["apiVersion"], "command": str(login), "interactiveMode": "Never", "provideClusterInfo": True}
    config["users"][0]["user"] = {"exec": plugin}
    path = folder / "exec.kubeconfig"
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(params=["token", "certificate", "program"])
def signed_in(request: pytest.FixtureRequest, control_plane: ControlPlane, tmp_path: Path) -> Path:
    """A kubeconfig for each way of signing in."""
    if request.param == "token":
        return control_plane.kubeconfig
    if request.param == "certificate":
        return control_plane.certificate_user("certified", "system:masters")
    return exec_kubeconfig(control_plane, tmp_path)


@pytest.fixture(params=["python-kubernetes-31", "python-kubernetes-37"])
def other_python(request: pytest.FixtureRequest, python_client: Callable[[str], Path]) -> Path:
    """An interpreter that has one version of the package kubernetes."""
    return python_client(request.param)


def test_oldest_and_newest_package_sign_in_every_way(other_python: Path, signed_in: Path, control_plane: ControlPlane) -> None:
    control_plane.declare(node("a"), node("b", "linux/arm64"))
    before = signed_in.read_bytes(), signed_in.stat().st_mtime_ns
    # behind its own packages, so that its own kubernetes is found first
    more = [str(Path(found.__file__ or "").parents[1]) for found in (archkit, attrs, msgspec)]

    done = subprocess.run(
        [str(other_python), "-W", "error", "-c", SCRIPT, str(signed_in), *dict.fromkeys(more)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )

    assert done.returncode == 0, done.stderr
    version, said = done.stdout.split(" ", 1)
    assert version.split(".")[0] == other_python.name.rpartition("-")[2]
    assert said.startswith("2 linux/amd64,linux/arm64 |")
    if version.startswith("37"):  # 31 loads its models whatever one imports of it
        assert said.strip().endswith("| 0")
    assert (signed_in.read_bytes(), signed_in.stat().st_mtime_ns) == before


# ---- what is there ---------------------------------------------------------------------------------------------------


def test_a_cluster_is_read_as_it_is(control_plane: ControlPlane) -> None:
    control_plane.declare(
        node("amd"),
        node("arm", "linux/arm64", taints=[ARM_TAINT]),
        node("cordoned", "linux/arm64", cordoned=True),
        node("ill", "linux/arm64", ready=False),
        node("control", taints=["node-role.kubernetes.io/control-plane:NoSchedule"]),
        node("liar", "linux/s390x", node_info={"architecture": "amd64"}),
        node("half", "linux/arm64", node_info={"operatingSystem": ""}),
    )

    cluster = inspected(control_plane.kubeconfig)

    counts = cluster.counts("linux/arm64")
    assert str(cluster.platforms) == "linux/amd64,linux/arm64,linux/s390x"
    assert (counts.nodes, counts.schedulable, counts.cordoned, counts.not_ready, counts.tainted) == (4, 1, 1, 1, 1)
    assert cluster.counts("linux/amd64").control_plane == 1
    assert [(finding.code, finding.where) for finding in cluster.findings] == [("node-label-mismatch", "Node/liar")]
    assert (cluster.mixed, cluster.open_ended, cluster.pools) == (True, False, ())
    assert Cluster.from_json(cluster.to_json()) == cluster
    assert cluster.source == f"test ({control_plane.server})"
    assert "kubernetes.io/arch=arm64:NoSchedule" in cluster.explain()


def test_a_node_whose_kubelet_has_not_spoken_counts_as_the_scheduler_takes_it(control_plane: ControlPlane) -> None:
    control_plane.stop("kwok")
    control_plane.create(node("new"))
    spec = {"containers": [{"name": "c", "image": "example.test/app:1"}]}
    control_plane.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})

    def placed() -> bool:
        (found,) = control_plane.listed("api/v1/namespaces/default/pods")
        return bool(found["spec"].get("nodeName") == "new")

    wait_until(placed, "the scheduler takes the node")
    cluster = inspected(control_plane.kubeconfig)

    (found,) = control_plane.listed("api/v1/nodes")
    assert "conditions" not in found["status"]
    assert cluster.counts("linux/amd64").schedulable == 1


# ---- provisioners ----------------------------------------------------------------------------------------------------


def definition(group: str, version: str, kind: str, plural: str, scope: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


def have(plane: ControlPlane, path: str, *objects: dict[str, Any]) -> None:
    """Create objects of a kind that the server has only just been told of."""

    def served() -> bool:
        try:
            plane.request("GET", path)
        except Refused as error:
            if error.status != 404:
                raise
            return False
        return path.split("/")[1] in {group["name"] for group in plane.request("GET", "apis")["groups"]}

    wait_until(served, f"{path} is served")
    for item in objects:
        plane.request("POST", path, item)


def karpenter(plane: ControlPlane, version: str) -> None:
    group = "karpenter.sh"
    plane.create(
        definition(group, version, "NodePool", "nodepools", "Cluster"), definition(group, version, "NodeClaim", "nodeclaims", "Cluster")
    )
    arm = [{"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}]
    pool = {
        "template": {"spec": {"requirements": arm, "taints": [{"key": "kubernetes.io/arch", "value": "arm64", "effect": "NoSchedule"}]}}
    }
    kind = {"apiVersion": f"{group}/{version}"}
    have(plane, f"apis/{group}/{version}/nodepools", {**kind, "kind": "NodePool", "metadata": {"name": "arm"}, "spec": pool})
    claim = {**kind, "kind": "NodeClaim", "metadata": {"name": "arm-x"}, "spec": {"requirements": arm}}
    have(plane, f"apis/{group}/{version}/nodeclaims", claim)


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_karpenter_is_read_where_one_may_and_leaves_the_answer_open_where_not(version: str, control_plane: ControlPlane) -> None:
    control_plane.declare(node("a"))
    karpenter(control_plane, version)
    control_plane.grant("reader", LIST_NODES)

    everything, nodes_alone = inspected(control_plane.kubeconfig), inspected(control_plane.kubeconfig_of("reader"))

    assert [(pool.name, pool.origin, str(pool.platforms)) for pool in everything.pools] == [
        ("arm", "NodePool", "linux/arm64"),
        ("arm-x", "node being made", "linux/arm64"),
    ]
    assert [str(taint) for taint in everything.pools[0].taints] == [ARM_TAINT]
    assert (everything.open_ended, str(everything.platforms)) == (False, "linux/amd64,linux/arm64")
    assert (nodes_alone.open_ended, nodes_alone.mixed, str(nodes_alone.platforms)) == (True, True, "linux/amd64")
    assert nodes_alone.findings == ()


def test_the_cluster_api_is_read_for_the_cluster_that_the_nodes_are_of(control_plane: ControlPlane) -> None:
    own = node("a")
    own["metadata"]["annotations"] = {"cluster.x-k8s.io/cluster-name": "own"}
    control_plane.declare(own)
    group, version = "cluster.x-k8s.io", "v1beta2"
    control_plane.create(definition(group, version, "MachineDeployment", "machinedeployments", "Namespaced"))
    labels = {"capacity.cluster-autoscaler.kubernetes.io/labels": "kubernetes.io/arch=arm64"}
    for cluster in ("own", "other"):
        have(
            control_plane,
            f"apis/{group}/{version}/namespaces/default/machinedeployments",
            {
                "apiVersion": f"{group}/{version}",
                "kind": "MachineDeployment",
                "metadata": {"name": f"{cluster}-arm", "annotations": labels},
                "spec": {"clusterName": cluster, "replicas": 0},
            },
        )

    assert [pool.name for pool in inspected(control_plane.kubeconfig).pools] == ["own-arm"]


# ---- who may what ----------------------------------------------------------------------------------------------------


def test_what_is_forbidden_is_allowed_by_exactly_the_role_that_the_error_has(control_plane: ControlPlane) -> None:
    control_plane.declare(node("a", "linux/arm64"))
    path = control_plane.kubeconfig_of("stranger")

    with pytest.raises(ClusterForbiddenError, match="stranger may not list nodes") as caught:
        inspected(path)
    documents = list(yaml.safe_load_all(caught.value.rbac))
    for document in documents:
        control_plane.apply(document)

    def allowed() -> bool:
        try:
            return str(inspected(path).platforms) == "linux/arm64"
        except ClusterForbiddenError:
            return False

    try:
        wait_until(allowed, "the role is in force")
        with ClusterConnection.from_kubeconfig(path) as connection:
            assert connection.request("GET", "/api/v1/nodes/a").status == 403  # list, and nothing else
    finally:
        for document in documents:
            name = document["metadata"]["name"]
            control_plane.request("DELETE", f"{control_plane.path_of(document)}/{name}")


def test_a_token_that_expired_is_an_error_until_the_kubeconfig_has_another(control_plane: ControlPlane) -> None:
    control_plane.declare(node("a"))
    control_plane.grant("reader", LIST_NODES)
    path = control_plane.kubeconfig_of("reader")
    with ClusterConnection.from_kubeconfig(path) as connection:
        inspector = ClusterInspector(connection)
        assert len(inspector.inspect().nodes) == 1
        control_plane.expire("reader")

        with pytest.raises(ClusterSignInError, match="expired") as caught:
            inspector.inspect()
        assert control_plane.tokens["reader"] not in str(caught.value)
        assert control_plane.kubeconfig_of("reader") == path  # the provider's tool signs in anew
        assert len(inspector.inspect().nodes) == 1  # the same connection


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_server_that_is_too_busy_is_asked_again_when_it_says(control_plane: ControlPlane) -> None:
    control_plane.declare(node("a"))
    control_plane.grant("reader", LIST_NODES)
    root = "apis/flowcontrol.apiserver.k8s.io/v1"
    kind = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1"}
    limited = {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}
    control_plane.request(
        "POST",
        f"{root}/prioritylevelconfigurations",
        {**kind, "kind": "PriorityLevelConfiguration", "metadata": {"name": "full"}, "spec": {"type": "Limited", "limited": limited}},
    )
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "reader"}}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True}],
    }
    control_plane.request(
        "POST",
        f"{root}/flowschemas",
        {
            **kind,
            "kind": "FlowSchema",
            "metadata": {"name": "full"},
            "spec": {
                "priorityLevelConfiguration": {"name": "full"},
                "matchingPrecedence": 2,  # 1 is the server's own
                "rules": [rule],
            },
        },
    )

    path = control_plane.kubeconfig_of("reader")
    try:
        with (
            ClusterConnection.from_kubeconfig(path) as one,
            ClusterConnection.from_kubeconfig(path) as two,
            ThreadPoolExecutor() as threads,
        ):

            def busy() -> bool:
                with suppress(ClusterUnreachableError):  # it came in first, and waits for the store
                    return two.request("GET", "/api/v1/nodes", query={"limit": "1"}, timeout=0.5).status == 429
                return False

            with control_plane.frozen("etcd"):  # the one request that is let in does not come to an end
                held = threads.submit(one.request, "GET", "/api/v1/nodes", query={"limit": "1"})
                wait_until(busy, "the server is too busy for this user", pause=0.2)
                with pytest.raises(ClusterError, match=r"HTTP 429.*the server is busy; try again in 1 s"):
                    ClusterInspector(two, timeout=0.5).inspect()
                waiting = threads.submit(ClusterInspector(two).inspect)
                time.sleep(0.3)
                assert not waiting.done()
            assert held.result(30).status == 200
            assert len(waiting.result(30).nodes) == 1
    finally:
        for plural in ("flowschemas", "prioritylevelconfigurations"):
            control_plane.request("DELETE", f"{root}/{plural}/full")


def test_a_server_that_holds_still_is_given_up_in_time(control_plane: ControlPlane) -> None:
    control_plane.declare(node("a"))
    with ClusterConnection.from_kubeconfig(control_plane.kubeconfig) as connection:
        connection.request("GET", "/version")
        with control_plane.frozen(), pytest.raises(ClusterUnreachableError, match="no answer within 1 s"):
            ClusterInspector(connection, timeout=1).inspect()
        assert len(ClusterInspector(connection).inspect().nodes) == 1


def test_a_server_of_another_authority_gets_no_token(control_plane: ControlPlane, tmp_path: Path) -> None:
    config = json.loads(control_plane.kubeconfig.read_text())
    other = another_authority(tmp_path)
    config["clusters"][0]["cluster"] = {
        "server": control_plane.server,
        "certificate-authority-data": base64.b64encode(other).decode(),
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(config))

    with pytest.raises(ClusterUnreachableError, match="check certificate-authority"):
        inspected(path)


def another_authority(folder: Path) -> bytes:
    path = folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path.read_bytes()


# ---- a list of more than one page; last, because so many nodes take a while to remove ---------------------------------------


@pytest.fixture(scope="module")
def crowd(shared_control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster of more nodes than one page has; made once, and without anybody who would look after them."""
    plane = shared_control_plane
    plane.up()
    plane.wipe()
    for name in ("kwok", "kube-scheduler", "kube-controller-manager"):
        plane.stop(name)
    plane.create(*(node(f"n{number:04}", "linux/arm64" if number % 2 else "linux/amd64") for number in range(520)))
    yield plane
    with ThreadPoolExecutor(8) as threads:
        for found in plane.listed("api/v1/nodes"):
            threads.submit(plane.request, "DELETE", f"api/v1/nodes/{found['metadata']['name']}")


@pytest.fixture
def many(crowd: ControlPlane) -> Iterator[ControlPlane]:
    """The same, its API server up; what a test stopped is started again."""
    yield crowd
    if "kube-apiserver" not in crowd.running:
        crowd.start("kube-apiserver")


def between(plane: ControlPlane, happens: Callable[[], object]) -> Between:
    """A connection on which something happens between the first page and the second."""
    return Between(ClusterConnection.from_kubeconfig(plane.kubeconfig), {2: happens})


def test_an_api_server_that_is_killed_in_the_middle_of_a_list_is_an_error(many: ControlPlane) -> None:
    api = between(many, lambda: many.stop("kube-apiserver", kill=True))

    with pytest.raises(ClusterUnreachableError, match="start the cluster on this machine") as caught:
        ClusterInspector(api).inspect()

    assert many.server in str(caught.value)
    assert "ClusterInspector.from_nodes" in str(caught.value)


def test_an_api_server_that_is_killed_in_the_middle_of_a_page_is_an_error(many: ControlPlane) -> None:
    timer = threading.Timer(0.5, lambda: many.stop("kube-apiserver", kill=True))
    with many.frozen():
        timer.start()
        with pytest.raises(ClusterUnreachableError):
            inspected(many.kubeconfig)
        timer.join()


def test_a_list_goes_on_where_it_was_when_the_api_server_is_back(many: ControlPlane) -> None:
    api = between(many, lambda: many.restart("kube-apiserver", kill=True))

    cluster = ClusterInspector(api).inspect()

    assert len({found.name for found in cluster.nodes}) == len(cluster.nodes) == 520
    assert api.asked == 3  # two pages, and what API groups there are


def test_a_list_whose_token_expired_is_begun_again(many: ControlPlane) -> None:
    def forget() -> None:
        many.create(node("later"))
        many.compact()

    api = between(many, forget)

    cluster = ClusterInspector(api).inspect()

    assert len({found.name for found in cluster.nodes}) == len(cluster.nodes) == 521
    assert api.asked == 5  # a page, 410, two pages, and what API groups there are
