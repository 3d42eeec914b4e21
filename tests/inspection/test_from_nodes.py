"""A cluster read from what ``kubectl get nodes`` recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from archkit import Cluster, ClusterInspector, Node, NodeListError, Pool, Taint

if TYPE_CHECKING:
    from pathlib import Path

ARM_TAINT = {"key": "kubernetes.io/arch", "value": "arm64", "effect": "NoSchedule"}

YAML = b"""\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Node
  metadata:
    name: one
    creationTimestamp: 2026-10-12T08:00:00Z
    annotations:
      numbers: 0123
    labels:
      kubernetes.io/arch: "386"
      kubernetes.io/os: linux
      spot: "true"
  spec:
    unschedulable: true
    taints:
    - effect: NoExecute
      key: node.kubernetes.io/unreachable
      timeAdded: 2026-10-12T08:00:00Z
  status:
    nodeInfo:
      architecture: "386"
      operatingSystem: linux
"""


def node(name: str, arch: str | None = "amd64", os_name: str = "linux", **parts: Any) -> dict[str, Any]:
    labels = {"kubernetes.io/os": os_name, "kubernetes.io/arch": arch} if arch else {}
    return {"kind": "Node", "metadata": {"name": name, "labels": {**labels, **parts.pop("labels", {})}}, **parts}


def node_list(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "NodeList", "items": list(nodes)}


MIXED = node_list(
    node("a"),
    node("b", spec={"unschedulable": True}),
    node("c", "arm64", spec={"taints": [ARM_TAINT]}, status={"conditions": [{"type": "Ready", "status": "Unknown"}]}),
)


@pytest.mark.parametrize("form", ["path", "text path", "bytes", "mapping", "nodes", "one by one", "utf-16", "bom", "two documents"])
def test_every_form_of_a_recording_gives_the_same_cluster(form: str, tmp_path: Path) -> None:
    content = json.dumps(MIXED).encode()
    path = tmp_path / "nodes.json"
    path.write_bytes(content)
    forms: dict[str, Any] = {
        "path": path,
        "text path": str(path),
        "bytes": content,
        "mapping": MIXED,
        "nodes": MIXED["items"],
        "one by one": iter(ClusterInspector.from_nodes(MIXED).inspect().nodes),
        "utf-16": json.dumps(MIXED).encode("utf-16"),
        "bom": b"\xef\xbb\xbf" + content,
        "two documents": b"\n---\n".join(json.dumps(item).replace('{"kind', '\n{"kind').encode() for item in MIXED["items"]).replace(
            b"\n{", b"# yaml\n{", 1
        ),
    }

    cluster = ClusterInspector.from_nodes(forms[form]).inspect()

    assert str(cluster.platforms) == "linux/amd64,linux/arm64"
    assert cluster.mixed
    assert [item.name for item in cluster.nodes] == ["a", "b", "c"]
    assert [item.cordoned for item in cluster.nodes] == [False, True, False]
    assert [item.ready for item in cluster.nodes] == [True, True, False]
    assert cluster.nodes[2].taints == (Taint("kubernetes.io/arch", "arm64", "NoSchedule"),)
    assert cluster.count("linux/amd64") == 2


def test_yaml_keeps_texts_that_look_like_numbers_and_booleans() -> None:
    cluster = ClusterInspector.from_nodes(YAML).inspect()

    assert cluster.nodes == (
        Node(
            "one",
            {"kubernetes.io/arch": "386", "kubernetes.io/os": "linux", "spot": "true"},
            (Taint("node.kubernetes.io/unreachable", "", "NoExecute"),),
            cordoned=True,
            ready=False,
            reported=cluster.nodes[0].reported,
        ),
    )
    assert str(cluster.nodes[0].reported) == "linux/386"
    assert cluster.findings == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"  \n", "it is empty", id="blank"),
        pytest.param(b"# nothing\n", "it is empty", id="only a comment"),
        pytest.param(b'{"items": [', "truncated", id="cut off"),
        pytest.param(b"a: [", "neither JSON nor YAML", id="broken YAML"),
        pytest.param(b"error: You must be logged in", "neither JSON nor YAML|Expected|holds no node list", id="kubectl's error message"),
        pytest.param(b"kind: Pod\nmetadata: {name: x}\n", "holds a Pod", id="another kind"),
        pytest.param(b'{"kind": "PodList", "items": []}', "holds a PodList", id="a list of another kind"),
        pytest.param(b'{"kind": "List", "items": [{"kind": "Pod", "metadata": {"name": "p"}}]}', "a Pod among the nodes", id="mixed list"),
        pytest.param(b'{"items": 3}', "Expected `array", id="items of a wrong type"),
        pytest.param(b'{"items": [{"metadata": {}}]}', "a node has no name", id="a node without name"),
        pytest.param(b"\xff\xfe{", "damaged|truncated", id="half a UTF-16 character"),
        pytest.param(b"[" * 100_000, "nodes.txt", id="very deep"),
    ],
)
def test_what_is_no_node_list_is_refused_with_its_source(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "nodes.txt"
    path.write_bytes(content)

    with pytest.raises(NodeListError, match=reason) as caught:
        ClusterInspector.from_nodes(path).inspect()

    assert str(path) in str(caught.value)
    assert "kubectl get nodes" in str(caught.value)


@pytest.mark.parametrize("content", ["/no/such/file", 5, [5], {"kind": "Pod"}], ids=str)
def test_other_things_are_refused(content: Any) -> None:
    with pytest.raises(NodeListError):
        ClusterInspector.from_nodes(content).inspect()


@pytest.mark.parametrize(
    ("given", "code", "platform"),
    [
        pytest.param(
            node("n", "arm64", status={"nodeInfo": {"operatingSystem": "linux", "architecture": "amd64"}}),
            "node-label-mismatch",
            "linux/arm64",
            id="labels decide, as for the scheduler",
        ),
        pytest.param(
            node("n", None, status={"nodeInfo": {"operatingSystem": "linux", "architecture": "amd64"}}),
            None,
            "linux/amd64",
            id="without labels the kubelet's word counts",
        ),
        pytest.param(
            node("n", None, labels={"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "arm64"}),
            "deprecated-label",
            "linux/arm64",
            id="beta labels alone",
        ),
        pytest.param(node("n", None), "nodes-unreadable", None, id="no platform at all"),
        pytest.param(node("n", "z80"), "nodes-unreadable", "linux/z80", id="a CPU that does not exist"),
    ],
)
def test_doubtful_nodes_are_reported(given: dict[str, Any], code: str | None, platform: str | None) -> None:
    cluster = ClusterInspector.from_nodes([given]).inspect()

    assert [finding.code for finding in cluster.findings] == ([code] if code else [])
    found = cluster.nodes[0].platform
    assert (None if found is None else str(found)) == platform
    if code == "nodes-unreadable":
        assert not cluster.platforms


def test_an_empty_list_is_unknown_not_single() -> None:
    cluster = ClusterInspector.from_nodes(node_list()).inspect()

    assert [finding.code for finding in cluster.findings] == ["no-nodes"]
    assert not cluster.platforms


def test_declared_pools_join_what_was_seen() -> None:
    cluster = ClusterInspector.from_nodes([node("a")], declared=[Pool("arm", "linux/arm64")]).inspect()

    assert str(cluster.platforms) == "linux/amd64,linux/arm64"
    assert cluster.mixed
    assert not cluster.open_ended
    assert Cluster.from_json(cluster.to_json()) == cluster


def test_unknown_fields_and_partial_objects_are_read() -> None:
    content = {
        "items": [{"metadata": {"name": "a", "labels": None, "x": [1]}, "spec": None, "status": {"nodeInfo": None, "y": {}}}],
        "z": 1,
    }

    assert ClusterInspector.from_nodes(content).inspect().nodes == (Node("a"),)


NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("taints", "conditions", "ready"),
    [
        pytest.param([], [{"type": "Ready", "status": "True"}], True, id="ready"),
        pytest.param([], [{"type": "Ready", "status": "False"}], False, id="not ready"),
        pytest.param([], [{"type": "Ready", "status": "Unknown"}], False, id="unreachable"),
        pytest.param([], [{"type": "Ready", "status": "Perhaps"}], False, id="a status that nobody knows"),
        pytest.param(
            [], [{"type": "ProblemOfVendor", "status": "True"}, {"type": "Ready", "status": "True"}], True, id="unknown conditions"
        ),
        pytest.param([NOT_READY], [{"type": "Ready", "status": "True"}], True, id="the condition counts more than the taint"),
        pytest.param([], [{"type": "ProblemOfVendor", "status": "False"}], True, id="no word of being ready, no taint"),
        pytest.param(
            [NOT_READY], [{"type": "ProblemOfVendor", "status": "False"}], False, id="no word of being ready, the taint of new nodes"
        ),
        pytest.param([NOT_READY], None, False, id="just registered"),
        pytest.param([], None, True, id="a recording without conditions"),
    ],
)
def test_a_node_is_ready_by_its_condition_or_else_by_its_taints(taints: list[Any], conditions: list[Any] | None, ready: bool) -> None:
    status: dict[str, Any] = {} if conditions is None else {"status": {"conditions": conditions}}
    cluster = ClusterInspector.from_nodes(node_list(node("a", spec={"taints": taints}, **status))).inspect()

    assert cluster.nodes[0].ready is ready


@pytest.mark.parametrize(
    ("labels", "info", "reported"),
    [
        pytest.param({"kubernetes.io/os": "linux"}, {"architecture": "arm64"}, "linux/arm64", id="only the CPU"),
        pytest.param({"kubernetes.io/arch": "arm64"}, {"operatingSystem": "linux"}, "linux/arm64", id="only the operating system"),
        pytest.param({}, {"operatingSystem": "linux"}, "None", id="not enough"),
        pytest.param({}, {"operatingSystem": "", "architecture": ""}, "None", id="empty"),
        pytest.param({"kubernetes.io/arch": "arm64"}, {"bootID": "x"}, "None", id="neither"),
    ],
)
def test_half_of_what_the_kubelet_says_is_read(labels: dict[str, str], info: dict[str, str], reported: str) -> None:
    cluster = ClusterInspector.from_nodes(node_list(node("a", None, labels=labels, status={"nodeInfo": info}))).inspect()

    assert str(cluster.nodes[0].reported) == reported
    assert str(cluster.nodes[0].platform) == reported
