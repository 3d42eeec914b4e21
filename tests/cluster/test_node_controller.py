"""What the node lifecycle controller does to nodes, and whom the scheduler looks at where terms name nodes."""

from __future__ import annotations

from typing import Any

import pytest

from archkit.testing import EmbeddedCluster

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "example.test/app:1"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def test_deprecated_labels_say_what_the_others_say() -> None:
    cluster = EmbeddedCluster()
    cluster.add_node("linux/arm64", name="a", labels={"beta.kubernetes.io/arch": "amd64"})

    labels = cluster.get("Node", "a")["metadata"]["labels"]

    assert (labels["beta.kubernetes.io/os"], labels["beta.kubernetes.io/arch"]) == ("linux", "arm64")
    cluster.load(pod("old", nodeSelector={"beta.kubernetes.io/arch": "arm64"}))
    assert cluster.get("Pod", "old")["spec"]["nodeName"] == "a"


def test_a_cordon_is_a_taint_as_long_as_it_lasts() -> None:
    cluster = EmbeddedCluster()
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "spec": {"unschedulable": True}}
    cluster.load(node)

    assert cluster.get("Node", "a")["spec"]["taints"] == [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("ready", "keys"),
    [
        pytest.param("True", set[str](), id="ready"),
        pytest.param("False", {"node.kubernetes.io/not-ready"}, id="its kubelet says no"),
        pytest.param("Unknown", {"node.kubernetes.io/unreachable"}, id="its kubelet says nothing"),
    ],
)
def test_a_node_that_is_not_ready_keeps_pods_off(ready: str, keys: set[str]) -> None:
    cluster = EmbeddedCluster()
    conditions = [{"type": "Ready", "status": ready}]
    cluster.load({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "status": {"conditions": conditions}})

    taints = cluster.get("Node", "a")["spec"].get("taints", [])

    assert {(taint["key"], taint["effect"]) for taint in taints} == {
        (key, effect) for key in keys for effect in ("NoSchedule", "NoExecute")
    }


def test_nodes_that_no_term_names_are_not_looked_at() -> None:
    cluster = EmbeddedCluster()
    cluster.add_node("linux/arm64", name="a", taints=["gpu:NoSchedule"])
    cluster.add_node("linux/arm64", name="b", taints=["gpu:NoSchedule"])
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]
    cluster.load(pod("p", affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}))

    (condition,) = cluster.get("Pod", "p")["status"]["conditions"]

    told = "1 node(s) didn't satisfy plugin(s) [NodeAffinity], 1 node(s) had untolerated taint(s)"
    assert condition["message"].startswith(f"0/2 nodes are available: {told}. ")
