"""Node, Pool and Cluster: which platforms a cluster has, and that a pool being upgraded changes nothing."""

from __future__ import annotations

import json
import pickle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import Cluster, Finding, Node, NodeListError, Platform, PlatformSet, PlatformSyntaxError, Pool, Taint
from archkit.model.node import ARCH_LABEL, BETA_ARCH_LABEL, BETA_OS_LABEL, OS_LABEL

CONTROL_PLANE = Taint("node-role.kubernetes.io/control-plane")
VIRTUAL = Taint("virtual-kubelet.io/provider", "azure")


def node(
    arch: str, os_name: str = "linux", name: str = "n", taints: tuple[Taint, ...] = (), cordoned: bool = False, ready: bool = True
) -> Node:
    return Node(name, {OS_LABEL: os_name, ARCH_LABEL: arch}, taints, cordoned, ready)


# ---- one node ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "reported", "platform"),
    [
        pytest.param({OS_LABEL: "linux", ARCH_LABEL: "arm64"}, None, "linux/arm64", id="labels"),
        pytest.param({BETA_OS_LABEL: "linux", BETA_ARCH_LABEL: "arm64"}, None, "linux/arm64", id="old labels"),
        pytest.param({OS_LABEL: "linux", ARCH_LABEL: "arm64", BETA_ARCH_LABEL: "amd64"}, None, "linux/arm64", id="new before old"),
        pytest.param({}, "linux/amd64", "linux/amd64", id="what the kubelet reports"),
        pytest.param({ARCH_LABEL: "arm64"}, "linux/amd64", "linux/arm64", id="what is missing is taken from it"),
        pytest.param({OS_LABEL: "linux", ARCH_LABEL: "arm64"}, "linux/amd64", "linux/arm64", id="the scheduler reads labels"),
        pytest.param({OS_LABEL: "linux"}, None, None, id="half of it"),
        pytest.param({OS_LABEL: "", ARCH_LABEL: ""}, None, None, id="empty labels"),
        pytest.param({}, None, None, id="nothing"),
    ],
)
def test_labels_decide_what_a_node_is(labels: dict[str, str], reported: str | None, platform: str | None) -> None:
    found = Node("n", labels, reported=None if reported is None else Platform.parse(reported)).platform
    assert found == (None if platform is None else Platform.parse(platform))


@pytest.mark.parametrize(
    ("taint", "control_plane", "virtual", "repels"),
    [
        (CONTROL_PLANE, True, False, True),
        (Taint("node-role.kubernetes.io/master", effect="NoExecute"), True, False, True),
        (Taint("node-role.kubernetes.io/control-plane", effect="PreferNoSchedule"), False, False, False),
        (VIRTUAL, False, True, True),
        (Taint("kubernetes.io/arch", "arm64"), False, False, True),
    ],
    ids=str,
)
def test_taints_say_what_kind_of_node_it_is(taint: Taint, control_plane: bool, virtual: bool, repels: bool) -> None:
    found = node("amd64", taints=(taint,))
    assert (found.control_plane, found.virtual, taint.repels) == (control_plane, virtual, repels)


def test_a_virtual_kubelet_is_known_by_its_label() -> None:
    assert Node("n", {"type": "virtual-kubelet"}).virtual
    assert not Node("n", {"type": "worker"}).virtual


@pytest.mark.parametrize(("taint", "text"), [(Taint("a"), "a:NoSchedule"), (Taint("a", "b", "NoExecute"), "a=b:NoExecute")])
def test_a_taint_reads_like_kubectl_prints_it(taint: Taint, text: str) -> None:
    assert str(taint) == text


# ---- pools -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("platforms", "open_ended"), [(None, True), ("all", True), ("linux/arm64", False)])
def test_a_pool_without_platforms_may_bring_any(platforms: str | None, open_ended: bool) -> None:
    assert Pool("p", platforms).open_ended is open_ended


@pytest.mark.parametrize("platforms", ["", [], PlatformSet(), "linux/amr64"])
def test_a_pool_of_no_platform_is_refused(platforms: str | list[str] | PlatformSet) -> None:
    with pytest.raises(PlatformSyntaxError):
        Pool("p", platforms)


# ---- the cluster -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "pools", "platforms", "mixed", "open_ended"),
    [
        pytest.param([], [], "", False, False, id="nothing is unknown, not mixed"),
        pytest.param([node("amd64"), node("amd64")], [], "linux/amd64", False, False, id="one CPU"),
        pytest.param([node("arm64"), node("amd64")], [], "linux/amd64,linux/arm64", True, False, id="two CPUs, sorted"),
        pytest.param([node("amd64"), node("amd64", "windows")], [], "linux/amd64,windows/amd64", True, False, id="two systems"),
        pytest.param([node("amd64"), node("arm64", cordoned=True)], [], "linux/amd64,linux/arm64", True, False, id="cordoned counts"),
        pytest.param([node("amd64"), node("arm64", ready=False)], [], "linux/amd64,linux/arm64", True, False, id="not ready counts"),
        pytest.param([node("amd64"), node("arm64", taints=(CONTROL_PLANE,))], [], "linux/amd64", True, False, id="control plane"),
        pytest.param([node("amd64"), node("arm64", taints=(VIRTUAL,))], [], "linux/amd64", False, False, id="virtual"),
        pytest.param([node("amd64"), Node("n")], [], "linux/amd64", False, False, id="a node that says nothing"),
        pytest.param([node("amd64"), node("z80", "cpm")], [], "linux/amd64", True, False, id="a node of names on no list"),
        pytest.param([node("amd64")], [Pool("p", "linux/arm64")], "linux/amd64,linux/arm64", True, False, id="a pool counts"),
        pytest.param([], [Pool("p", "linux/arm64")], "linux/arm64", False, False, id="a pool alone"),
        pytest.param([node("arm")], [Pool("p", "linux/arm/v6")], "linux/arm/v7", False, False, id="nodes have no variant"),
        pytest.param([node("amd64")], [Pool("p")], "linux/amd64", True, True, id="any may come"),
        pytest.param([], [Pool("p", "all")], "", True, True, id="all may come"),
    ],
)
def test_what_a_cluster_has(nodes: list[Node], pools: list[Pool], platforms: str, mixed: bool, open_ended: bool) -> None:
    cluster = Cluster(nodes, pools)
    assert str(cluster.platforms) == platforms
    assert (cluster.mixed, cluster.open_ended) == (mixed, open_ended)


nodes = st.builds(
    Node,
    st.text("abc-", min_size=1, max_size=4),
    st.fixed_dictionaries({OS_LABEL: st.sampled_from(["linux", "windows"]), ARCH_LABEL: st.sampled_from(["amd64", "arm64", "arm"])})
    | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.lists(st.sampled_from([CONTROL_PLANE, VIRTUAL, Taint("a", "b", "NoExecute")]), max_size=2).map(tuple),
    st.booleans(),
    st.booleans(),
    st.none() | st.just(Platform.parse("linux/arm64/v9")),
)
pools = st.builds(
    Pool,
    st.text(max_size=3),
    st.sampled_from([None, PlatformSet.ALL, PlatformSet("linux/s390x,linux/arm64")]),
    st.just({"a": "b"}),
    st.just((VIRTUAL,)),
)
findings = st.builds(Finding.of, st.sampled_from(["no-nodes", "digest-kept"]), st.text(max_size=5))
clusters = st.builds(Cluster, st.lists(nodes, max_size=5), st.lists(pools, max_size=2), st.lists(findings, max_size=2), st.text(max_size=5))


@given(clusters)
def test_a_recorded_cluster_is_read_back(cluster: Cluster) -> None:
    again = Cluster.from_json(cluster.to_json())
    assert again == cluster
    assert Cluster.from_json(cluster.to_json().encode()) == cluster
    assert again.platforms == cluster.platforms
    assert pickle.loads(pickle.dumps(cluster)) == cluster
    assert hash(again) == hash(cluster)


@given(clusters, st.data())
def test_upgrading_a_node_changes_neither_platforms_nor_mixed(cluster: Cluster, data: st.DataObject) -> None:
    upgrading = [attrs.evolve(each, cordoned=data.draw(st.booleans()), ready=data.draw(st.booleans())) for each in cluster.nodes]
    other = attrs.evolve(cluster, nodes=upgrading)
    assert (other.platforms, other.mixed) == (cluster.platforms, cluster.mixed)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"format": "other"}',
        '{"format": "archkit.cluster/1"}',
        b"\xff",
        json.dumps({**json.loads(Cluster().to_json()), "nodes": [{}]}),
    ],
    ids=["empty", "list", "null", "object", "other format", "no nodes", "no text", "broken node"],
)
def test_what_is_no_recorded_cluster_is_refused(content: str | bytes) -> None:
    with pytest.raises(NodeListError, match=r"not what Cluster\.to_json"):
        Cluster.from_json(content)


@pytest.mark.parametrize(
    ("platform", "count"), [("linux/amd64", 2), ("linux/amd64/v3", 2), (Platform.parse("linux/arm64"), 1), ("linux/s390x", 0)]
)
def test_count_is_of_what_ordinary_pods_may_run_on(platform: Platform | str, count: int) -> None:
    cluster = Cluster(
        [
            node("amd64"),
            node("amd64", cordoned=True),
            node("arm64"),
            node("arm64", taints=(CONTROL_PLANE,)),
            node("arm64", taints=(VIRTUAL,)),
            Node("n"),
        ]
    )
    assert cluster.count(platform) == count


def test_explain_is_a_table_with_reasons() -> None:
    cluster = Cluster(
        [
            node("amd64", name="a"),
            node("amd64", name="b", cordoned=True),
            node("arm64", name="c", taints=(Taint("kubernetes.io/arch", "arm64"),)),
            node("amd64", name="d", taints=(CONTROL_PLANE,)),
            Node("e", ready=False),
        ],
        [Pool("spot", "linux/arm64"), Pool("auto", origin="NodePool")],
        [Finding.of("cluster-open-ended", "pool auto may bring any platform")],
        "nodes.json",
    )
    assert (
        cluster.explain()
        == """\
cluster read from nodes.json
PLATFORM     NODES  SCHEDULABLE  CORDONED  NOT READY  TAINTED  CONTROL PLANE  VIRTUAL  TAINTS
linux/amd64  3      1            1         0          0        1              0        -
linux/arm64  1      0            0         0          1        0              0        kubernetes.io/arch=arm64:NoSchedule
unknown      1      0            0         1          0        0              0        -
MAY COME FROM  KIND      PLATFORMS    TAINTS
spot           declared  linux/arm64  -
auto           NodePool  any          -
platforms: linux/amd64, linux/arm64 (mixed, and any other may come)
warning: pool auto may bring any platform [cluster-open-ended]"""
    )


@pytest.mark.parametrize(
    ("cluster", "line"), [(Cluster(), "platforms: none (unknown)"), (Cluster([node("amd64")]), "platforms: linux/amd64 (one architecture)")]
)
def test_explain_ends_with_the_platforms(cluster: Cluster, line: str) -> None:
    assert cluster.explain().splitlines()[-1] == line


def test_nodes_are_counted_by_what_keeps_pods_off_them() -> None:
    nodes = [
        node("arm64", name="a"),
        node("arm64", name="b", cordoned=True, taints=(Taint("node.kubernetes.io/unschedulable"),)),
        node("arm64", name="c", ready=False, taints=(Taint("node.kubernetes.io/not-ready", "", "NoExecute"),)),
        node("arm64", name="d", taints=(Taint("gpu"),)),
        node("arm64", name="e", taints=(Taint("later", "", "PreferNoSchedule"),)),
        node("arm64", name="f", taints=(CONTROL_PLANE,)),
        node("arm64", name="g", taints=(Taint("virtual-kubelet.io/provider", "aci"),)),
        node("amd64", name="h"),
    ]
    counts = Cluster(nodes).counts("linux/arm64")

    assert (counts.nodes, counts.schedulable, counts.cordoned, counts.not_ready, counts.tainted) == (7, 2, 1, 1, 1)
    assert (counts.control_plane, counts.virtual) == (1, 1)


def test_every_platform_says_where_it_comes_from() -> None:
    cluster = Cluster(
        [node("amd64", name="a"), node("amd64", name="b")],
        [Pool("spot", "linux/arm64"), Pool("new-7f", "linux/arm64", origin="node being made"), Pool("any", origin="NodePool")],
    )

    assert cluster.provenance("linux/amd64") == ("2 nodes",)
    assert cluster.provenance("linux/arm64") == ("declared pool spot", "node being made new-7f")
    assert cluster.provenance("linux/s390x") == ()


def test_a_recording_of_before_pools_had_an_origin_is_read() -> None:
    fields = json.loads(Cluster(pools=[Pool("spot", "linux/arm64")]).to_json())
    for name in ("origin", "more_labels"):
        del fields["pools"][0][name]

    assert Cluster.from_json(json.dumps(fields)) == Cluster(pools=[Pool("spot", "linux/arm64")])


def test_a_recording_keeps_all_of_a_pool() -> None:
    pool = Pool("spot", "linux/arm64", {"a": "b"}, (Taint("x", "y", "NoExecute"),), origin="NodePool", more_labels=True)

    assert Cluster.from_json(Cluster(pools=[pool]).to_json()).pools == (pool,)
