"""A live cluster's nodes, and what may bring more, as its API tells of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    Cluster,
    ClusterConnection,
    ClusterError,
    ClusterForbiddenError,
    ClusterInspector,
    ClusterSignInError,
    ClusterUnreachableError,
    KubeconfigError,
    NodeSource,
    Pool,
    Taint,
    resolve_targets,
)
from archkit.adapters.kube.nodes import KubeNodeSource
from archkit.testing import EmbeddedCluster, Request, Response

if TYPE_CHECKING:
    from pathlib import Path

Lists = Mapping[str, "list[Any]"]
Befalls = Callable[[EmbeddedCluster], object]
Start = Callable[[Lists], "tuple[EmbeddedCluster, ClusterConnection]"]


@pytest.fixture
def start(archkit_cluster: EmbeddedCluster) -> Iterator[Start]:
    """The cluster, with these lists of objects by their paths, and a connection to it."""
    with ExitStack() as stack:

        def started(lists: Lists) -> tuple[EmbeddedCluster, ClusterConnection]:
            fill(archkit_cluster, lists)
            return archkit_cluster, stack.enter_context(ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig))

        yield started


KINDS = {
    "nodes": "Node",
    "nodepools": "NodePool",
    "nodeclaims": "NodeClaim",
    "provisioners": "Provisioner",
    "machinedeployments": "MachineDeployment",
    "machinepools": "MachinePool",
    "allowlistsynchronizers": "AllowlistSynchronizer",
}


def fill(cluster: EmbeddedCluster, lists: Lists) -> None:
    """Load objects, after the definitions of their kinds; those that something holds on to (a finalizer) are deleted then."""
    for path, items in lists.items():
        _, api, *group, version, plural = path.split("/")
        if api == "apis":
            cluster.load(definition(group[0], version, plural))
        for item in items:
            cluster.load({"apiVersion": "/".join([*group, version]), "kind": KINDS[plural], **item})
            if "finalizers" in item["metadata"]:
                assert cluster.handle(Request("DELETE", f"{path}/{item['metadata']['name']}")).status == 200


def definition(group: str, version: str, plural: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced" if plural.startswith("machine") else "Cluster",
            "names": {"plural": plural, "kind": KINDS[plural]},
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def node(name: str, arch: str = "amd64", **parts: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": arch}}
    return {"metadata": {**metadata, **parts.pop("metadata", {})}, **parts}


def inspected(connection: ClusterConnection) -> Cluster:
    return ClusterInspector(connection).inspect()


def asked(cluster: EmbeddedCluster) -> list[str]:
    """What was asked for, in order; a continue token is opaque."""
    return [exchange.path.partition("&continue=")[0] + ("&continue" if "&continue=" in exchange.path else "") for exchange in cluster.log]


NODES = "/api/v1/nodes"
KARPENTER = "/apis/karpenter.sh/v1"
POOLS, CLAIMS = f"{KARPENTER}/nodepools", f"{KARPENTER}/nodeclaims"


# ---- nodes -----------------------------------------------------------------------------------------------------------


def test_nodes_are_read_in_pages_and_keep_their_order(start: Start) -> None:
    server, connection = start({})
    names = [*server.add_node("linux/amd64", count=601, name="old"), *server.add_node("linux/arm64", count=600, name="new")]

    cluster = inspected(connection)

    assert [item.name for item in cluster.nodes] == sorted(names)
    assert (str(cluster.platforms), cluster.mixed, cluster.open_ended) == ("linux/amd64,linux/arm64", True, False)
    assert asked(server) == ["/api/v1/nodes?limit=500", "/api/v1/nodes?limit=500&continue", "/api/v1/nodes?limit=500&continue", "/apis"]
    assert cluster.source == connection.name


def test_what_typed_clients_refuse_is_read(start: Start) -> None:
    strange = {
        "metadata": {"name": "strange", "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}, "managedFields": 3},
        "spec": {"taints": [{"key": "gpu", "timeAdded": "not a time"}], "providerID": {"not": "a text"}},
        "status": {
            "nodeInfo": {"architecture": "arm64", "swap": None},
            "images": [{"names": None}],
            "conditions": [{"type": "Odd", "status": "Maybe", "lastHeartbeatTime": 0}, {"type": "Ready", "status": "True"}],
            "features": {"new": True},
        },
    }
    server, connection = start({NODES: []})
    server.on("GET", verb="list", resource="nodes").answer(200, body=json.dumps({"items": [strange, {"metadata": {"name": "bare"}}]}))

    cluster = inspected(connection)

    assert (str(cluster.nodes[0].platform), cluster.nodes[0].taints, cluster.nodes[0].ready) == ("linux/arm64", (Taint("gpu"),), True)
    assert [(finding.code, finding.where) for finding in cluster.findings] == [("nodes-unreadable", "Node/bare")]


def test_a_kubelet_that_contradicts_the_labels_is_told_of(start: Start) -> None:
    server, connection = start({})
    server.add_node("linux/amd64", name="liar", labels={"kubernetes.io/arch": "arm64"})

    (finding,) = inspected(connection).findings

    assert (finding.code, finding.where) == ("node-label-mismatch", "Node/liar")


def forgets(cluster: EmbeddedCluster) -> Callable[[Response], Response]:
    """What makes the rest of a list that was begun with this answer too old."""

    def change(response: Response) -> Response:
        cluster.forget_history()
        return response

    return change


def test_a_list_whose_token_expired_is_begun_again(start: Start) -> None:
    server, connection = start({})
    server.add_node(count=700)
    server.on("GET", resource="nodes").tamper(forgets(server)).times(1)

    assert len(inspected(connection).nodes) == 700
    assert asked(server)[:4] == ["/api/v1/nodes?limit=500", "/api/v1/nodes?limit=500&continue"] * 2
    assert [exchange.status for exchange in server.log.where(kind="nodes")] == [200, 410, 200, 200]


def test_a_list_whose_token_expires_every_time_is_an_error(start: Start) -> None:
    server, connection = start({})
    server.add_node(count=700)
    server.on("GET", resource="nodes", query={"continue": "*"}).answer(410)

    with pytest.raises(ClusterError, match="forgot twice"):
        inspected(connection)


def test_a_server_that_goes_in_the_middle_of_a_list_is_an_error_that_names_it(start: Start) -> None:
    server, connection = start({})
    server.add_node(count=700)
    server.on("GET", resource="nodes", query={"continue": "*"}).answer(503)

    with pytest.raises(ClusterError, match="HTTP 503"):
        inspected(connection)


def lists_nodes_as(body: object) -> Befalls:
    return lambda cluster: cluster.on("GET", verb="list", resource="nodes").answer(200, body=json.dumps(body))


@pytest.mark.parametrize(
    ("befalls", "error", "said"),
    [
        (lambda cluster: cluster.deny("list", "nodes"), ClusterForbiddenError, "verbs: \\[list\\]"),
        (lambda cluster: cluster.expire_tokens(renew=False), ClusterSignInError, "sign in again"),
        (lambda cluster: cluster.on("GET", verb="list", resource="nodes").answer(404), ClusterError, "HTTP 404"),
        (lists_nodes_as("<html>login</html>"), ClusterError, "no list"),
        (lists_nodes_as({"items": [{"metadata": {"name": 3}}]}), ClusterError, "no list"),
    ],
    ids=["forbidden", "expired", "no API", "a page", "another shape"],
)
def test_what_is_no_node_list_is_an_error_that_says_what_else_could_be_done(
    befalls: Befalls, error: type[ClusterError], said: str, start: Start
) -> None:
    server, connection = start({})
    befalls(server)

    with pytest.raises(error, match=said) as caught:
        inspected(connection)
    assert "ClusterInspector.from_nodes" in str(caught.value)
    assert "Pool" in str(caught.value)


def test_an_error_of_the_kubeconfig_says_what_else_could_be_done(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match=r"ClusterInspector\.from_nodes"):
        ClusterInspector.from_kubeconfig(tmp_path / "missing")


def test_a_kubeconfig_is_enough(archkit_cluster: EmbeddedCluster) -> None:
    archkit_cluster.add_node("linux/arm64")
    path, context = archkit_cluster.kubeconfig, archkit_cluster.context

    inspector = ClusterInspector.from_kubeconfig(path, context=context, declared=[Pool("spot", "linux/amd64")], timeout=5)

    assert str(inspector.inspect().platforms) == "linux/amd64,linux/arm64"


def test_a_cluster_without_nodes_is_told_of_unless_a_provisioner_will_make_some(start: Start) -> None:
    server, connection = start({NODES: []})
    assert [finding.code for finding in inspected(connection).findings] == ["no-nodes"]
    fill(server, {POOLS: [pool("x")], CLAIMS: []})
    assert inspected(connection).findings == ()


def test_a_source_over_a_connection_is_a_node_source(start: Start) -> None:
    _, connection = start({NODES: [node("a")]})
    source = KubeNodeSource(connection, timeout=5)

    assert isinstance(source, NodeSource)
    assert not isinstance(connection, NodeSource)
    assert ClusterInspector(source).inspect() == inspected(connection)


def test_the_time_for_an_answer_is_the_inspectors(start: Start) -> None:
    server, connection = start({NODES: [node("a")]})
    server.stop()
    with pytest.raises(ClusterUnreachableError):
        ClusterInspector(connection, timeout=0.5).inspect()
    with pytest.raises(ValueError, match="timeout"):
        ClusterInspector(connection, timeout=0)


# ---- Karpenter -----------------------------------------------------------------------------------------------------------


def pool(name: str, *requirements: tuple[str, str, list[str]], labels: Mapping[str, str] = {}, **spec: Any) -> dict[str, Any]:
    wanted = [{"key": key, "operator": operator, "values": values} for key, operator, values in requirements]
    template = {"metadata": {"labels": dict(labels)}, "spec": {"requirements": wanted, **spec}}
    return {"metadata": {"name": name}, "spec": {"template": template, "limits": {"cpu": "10"}}}


ARM = ("kubernetes.io/arch", "In", ["arm64"])
BOTH = ("kubernetes.io/arch", "In", ["amd64", "arm64"])


@pytest.mark.parametrize(
    ("made", "platforms"),
    [
        pytest.param(pool("x", ARM), "linux/arm64", id="one"),
        pytest.param(pool("x", BOTH), "linux/amd64,linux/arm64", id="two"),
        pytest.param(pool("x", BOTH, ("kubernetes.io/arch", "NotIn", ["arm64"])), "linux/amd64", id="two, but not one of them"),
        pytest.param(pool("x", ("beta.kubernetes.io/arch", "In", ["arm64"])), "linux/arm64", id="the old name"),
        pytest.param(pool("x", labels={"kubernetes.io/arch": "arm64"}), "linux/arm64", id="a label"),
        pytest.param(pool("x", BOTH, labels={"kubernetes.io/arch": "arm64"}), "linux/arm64", id="a label among two"),
        pytest.param(pool("x", ARM, ("kubernetes.io/os", "In", ["linux", "windows"])), "linux/arm64,windows/arm64", id="two systems"),
        pytest.param(pool("x"), None, id="nothing said"),
        pytest.param(pool("x", ("kubernetes.io/arch", "Exists", [])), None, id="any"),
        pytest.param(pool("x", ("kubernetes.io/arch", "NotIn", ["arm64"])), None, id="any but one"),
        pytest.param(pool("x", ("node.kubernetes.io/instance-type", "In", ["m7g.large"])), None, id="by the machine alone"),
        pytest.param({"metadata": {"name": "x"}}, None, id="bare"),
    ],
)
def test_what_a_node_pool_may_bring(made: dict[str, Any], platforms: str | None, start: Start) -> None:
    _, connection = start({NODES: [node("a")], POOLS: [made], CLAIMS: []})

    cluster = inspected(connection)

    (found,) = cluster.pools
    assert (found.name, found.origin) == ("x", "NodePool")
    assert (None if found.platforms is None else str(found.platforms)) == platforms
    assert cluster.open_ended is (platforms is None)
    assert cluster.mixed is (platforms != "linux/amd64")


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(pool("x", ARM, ("kubernetes.io/arch", "NotIn", ["arm64"])), id="contradicts itself"),
        pytest.param({**pool("x", ARM), "metadata": {"name": "x", "finalizers": ["karpenter.sh/termination"]}}, id="going"),
    ],
)
def test_a_node_pool_that_makes_no_nodes_does_not_count(made: dict[str, Any], start: Start) -> None:
    _, connection = start({NODES: [node("a")], POOLS: [made], CLAIMS: []})

    assert inspected(connection).pools == ()


def test_labels_and_taints_of_a_node_pool_are_known_its_start_up_taints_keep_nobody_off(start: Start) -> None:
    made = pool(
        "x",
        ARM,
        ("karpenter.sh/capacity-type", "In", ["spot"]),
        ("topology.kubernetes.io/zone", "In", ["a", "b"]),
        labels={"team": "shop"},
        taints=[{"key": "spot", "value": "yes", "effect": "NoSchedule"}],
        startupTaints=[{"key": "cilium", "effect": "NoExecute"}],
    )
    _, connection = start({NODES: [node("a")], POOLS: [made], CLAIMS: []})

    (found,) = inspected(connection).pools

    assert found.labels == {"karpenter.sh/nodepool": "x", "team": "shop", "karpenter.sh/capacity-type": "spot"}
    assert found.taints == (Taint("spot", "yes"),)


def test_nodes_that_are_being_made_count_until_they_are_there(start: Start) -> None:
    wanted = [{"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}]
    coming = {"metadata": {"name": "x-1"}, "spec": {"requirements": wanted}, "status": {}}
    there = {"metadata": {"name": "x-2"}, "spec": {"requirements": wanted}, "status": {"nodeName": "a"}}
    going = {"metadata": {"name": "x-3", "finalizers": ["karpenter.sh/termination"]}, "spec": {"requirements": wanted}}
    _, connection = start({NODES: [node("a")], POOLS: [], CLAIMS: [coming, there, going]})

    cluster = inspected(connection)

    assert [(found.name, found.origin) for found in cluster.pools] == [("x-1", "node being made")]
    assert cluster.provenance("linux/arm64") == ("node being made x-1",)
    assert Cluster.from_json(cluster.to_json()) == cluster


def test_an_older_karpenter_is_read_as_well(start: Start) -> None:
    beta = "/apis/karpenter.sh/v1beta1"
    _, connection = start({NODES: [node("a")], f"{beta}/nodepools": [pool("x", ARM)], f"{beta}/nodeclaims": []})

    assert [found.name for found in inspected(connection).pools] == ["x"]


@pytest.mark.parametrize(
    ("lists", "befalls"),
    [
        pytest.param({POOLS: []}, lambda cluster: cluster.deny("list", "nodepools"), id="one may not read them"),
        pytest.param({"/apis/karpenter.sh/v1alpha5/provisioners": []}, lambda _: None, id="a version that is not read"),
        pytest.param({}, lambda cluster: cluster.on("GET", resource="apis").answer(403), id="one may not ask what there is"),
    ],
)
def test_a_provisioner_that_cannot_be_read_leaves_the_answer_open(lists: Lists, befalls: Befalls, start: Start) -> None:
    made = node("a", metadata={"labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "karpenter.sh/nodepool": "x"}})
    server, connection = start({NODES: [made], **lists})
    befalls(server)

    cluster = inspected(connection)

    assert cluster.open_ended
    assert cluster.mixed
    assert cluster.findings == ()
    assert "cluster-open-ended" in {finding.code for finding in resolve_targets(cluster=cluster).findings}


@pytest.mark.parametrize(("status", "body"), [(403, ""), (404, ""), (200, '"a page"'), (200, '{"groups": null}')])
def test_without_a_word_of_provisioners_there_are_none(status: int, body: str, start: Start) -> None:
    server, connection = start({NODES: [node("a")]})
    server.on("GET", resource="apis").answer(status, body=body)

    cluster = inspected(connection)

    assert (cluster.pools, cluster.open_ended, cluster.findings) == ((), False, ())


def test_node_claims_that_one_may_not_read_are_left_out(start: Start) -> None:
    server, connection = start({NODES: [node("a")], POOLS: [pool("x", ARM)], CLAIMS: []})
    server.deny("list", "nodeclaims")

    assert [found.name for found in inspected(connection).pools] == ["x"]


# ---- Cluster API -----------------------------------------------------------------------------------------------------------

MACHINES = "/apis/cluster.x-k8s.io/v1beta2/machinedeployments"
MACHINE_POOLS = "/apis/cluster.x-k8s.io/v1beta2/machinepools"
CAPACITY = "capacity.cluster-autoscaler.kubernetes.io"
MAX = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size"
OWN = node("a", metadata={"annotations": {"cluster.x-k8s.io/cluster-name": "own", "other": "x"}})


def machines(name: str, replicas: int | None = 0, cluster: str = "own", **annotations: str) -> dict[str, Any]:
    noted = {MAX if key == "most" else f"{CAPACITY}/{key}": value for key, value in annotations.items()}
    return {"metadata": {"name": name, "annotations": noted}, "spec": {"clusterName": cluster, "replicas": replicas}}


ARM_LABELS = "kubernetes.io/arch=arm64,kubernetes.io/os=linux,team=shop"


@pytest.mark.parametrize(
    ("made", "platforms"),
    [
        pytest.param(machines("x", labels=ARM_LABELS), ["linux/arm64"], id="told by annotations"),
        pytest.param(machines("x", most="0", labels=ARM_LABELS), [], id="none may come"),
        pytest.param(machines("x", most="3"), ["None"], id="some may come, and nothing tells what"),
        pytest.param(machines("x", 2, most="3"), [], id="its nodes are there to be seen"),
        pytest.param(machines("x"), [], id="scaled to zero by hand"),
        pytest.param(machines("x", cluster="another", labels=ARM_LABELS), [], id="of another cluster"),
    ],
)
def test_machines_of_this_cluster_that_may_come(made: dict[str, Any], platforms: list[str], start: Start) -> None:
    _, connection = start({NODES: [OWN], MACHINES: [made], MACHINE_POOLS: []})

    assert [str(found.platforms) for found in inspected(connection).pools] == platforms


def test_labels_and_taints_of_machines_are_known(start: Start) -> None:
    made = machines("x", labels=ARM_LABELS, taints="spot=yes:NoSchedule,gpu:NoExecute,odd")
    _, connection = start({NODES: [OWN], MACHINES: [made], MACHINE_POOLS: [machines("y", labels=ARM_LABELS)]})

    first, second = inspected(connection).pools

    assert dict(first.labels) == {"team": "shop"}
    assert first.taints == (Taint("spot", "yes"), Taint("gpu", "", "NoExecute"))
    assert (first.origin, second.origin) == ("MachineDeployment", "MachinePool")


def test_a_management_cluster_does_not_take_the_machines_of_others_for_its_own(start: Start) -> None:
    server, connection = start({NODES: [node("a")], MACHINES: [machines("x", labels=ARM_LABELS)], MACHINE_POOLS: []})

    assert inspected(connection).pools == ()
    assert not server.log.where(kind="machinedeployments")


def test_nodes_that_cannot_be_read_a_second_time_are_an_error_of_the_cluster(start: Start) -> None:
    server, connection = start({NODES: [OWN], MACHINES: [], MACHINE_POOLS: []})
    server.on("GET", resource="nodes", query={"limit": "20"}).answer(200, body="<html>")

    with pytest.raises(ClusterError, match="the answer is no list"):
        inspected(connection)


def test_machines_that_one_may_not_read_are_left_out(start: Start) -> None:
    server, connection = start({NODES: [OWN], MACHINES: [machines("x", labels=ARM_LABELS)], MACHINE_POOLS: []})
    server.deny("list", "machinedeployments")
    server.on("GET", resource="machinepools").answer(404)

    cluster = inspected(connection)

    assert (cluster.pools, cluster.findings) == ((), ())


# ---- GKE ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lists", "name"),
    [
        pytest.param({NODES: [node("gk3-shop-pool-1-0a-x")]}, "Autopilot", id="Autopilot's nodes"),
        pytest.param({NODES: [], "/apis/auto.gke.io/v1/allowlistsynchronizers": []}, "Autopilot", id="Autopilot without nodes"),
        pytest.param(
            {NODES: [node("gke-shop-nap-1", metadata={"labels": {"cloud.google.com/gke-nodepool": "nap-e2-1a"}})]},
            "node auto-provisioning",
            id="a pool that was made by itself",
        ),
    ],
)
def test_gke_that_makes_nodes_by_itself_is_open_ended(lists: Lists, name: str, start: Start) -> None:
    _, connection = start(lists)

    cluster = inspected(connection)

    assert [(found.name, found.origin) for found in cluster.pools] == [(name, "GKE")]
    assert cluster.open_ended


def test_gke_with_pools_of_its_own_is_not(start: Start) -> None:
    _, connection = start({NODES: [node("gke-shop-default-1", metadata={"labels": {"cloud.google.com/gke-nodepool": "default-pool"}})]})

    assert not inspected(connection).open_ended


def test_what_was_read_can_be_recorded(start: Start) -> None:
    _, connection = start({NODES: [OWN, node("b")], POOLS: [pool("x", ARM), pool("y")], CLAIMS: []})

    cluster = inspected(connection)

    assert Cluster.from_json(cluster.to_json()) == cluster
    assert json.loads(cluster.to_json())["pools"][1]["origin"] == "NodePool"
