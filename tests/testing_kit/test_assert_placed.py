"""assert_placed, and what it says."""

from __future__ import annotations

import pytest
from cluster_requests import arch_in, deployment, required

from archkit import Node, Taint
from archkit.testing import EmbeddedCluster, assert_placed


def test_an_object_without_rules_runs_everywhere() -> None:
    (placement,) = assert_placed(deployment(), ["linux/amd64", "linux/arm64", "linux/s390x"])
    assert placement.nodes == ("linux/amd64", "linux/arm64", "linux/s390x")


def test_affinity_decides() -> None:
    assert_placed(deployment(affinity=required(arch_in("arm64"))), "linux/arm64", not_on="linux/amd64,linux/s390x")


def test_the_difference_is_readable() -> None:
    with pytest.raises(AssertionError) as raised:
        assert_placed(deployment(affinity=required(arch_in("arm64"))), "linux/amd64,linux/arm64")
    lines = str(raised.value).splitlines()
    assert "Deployment/web" in lines[0]
    assert " ".join(lines[2].split()) == "> linux/amd64 yes none linux/amd64: no node selector term matches it"
    assert " ".join(lines[3].split()) == "linux/arm64 yes linux/arm64"


def test_a_place_that_is_not_wanted_is_marked() -> None:
    with pytest.raises(AssertionError, match=r"> linux/s390x +no +linux/s390x"):
        assert_placed(deployment(), not_on="linux/s390x")


def test_the_nodes_of_a_cluster_count_with_their_taints() -> None:
    with EmbeddedCluster() as cluster:
        cluster.add_node("linux/amd64")
        cluster.add_node("linux/arm64", arch_taint=True)
        (obj,) = cluster.load(deployment())
        assert_placed(obj, "linux/amd64", not_on="linux/arm64", nodes=cluster)
        with pytest.raises(AssertionError, match=r"node-2: the taint kubernetes\.io/arch=arm64:NoSchedule is not tolerated"):
            assert_placed(obj, "linux/arm64", nodes=cluster)
        with pytest.raises(AssertionError, match="there is no such node"):
            assert_placed(obj, "linux/s390x", nodes=cluster)


def test_nodes_may_be_values() -> None:
    nodes = [Node("a", {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}, (Taint("dedicated"),))]
    assert_placed(deployment(), not_on="linux/arm64", nodes=nodes)


def test_every_pod_is_looked_at() -> None:
    with pytest.raises(AssertionError, match="Deployment/second"):
        assert_placed([deployment("first"), deployment("second", nodeSelector={"a": "b"})], "linux/amd64")


def test_what_has_no_pods_is_no_success() -> None:
    with pytest.raises(AssertionError, match="there is no pod in ConfigMap"):
        assert_placed({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}, "linux/amd64")
    with pytest.raises(ValueError, match="say where"):
        assert_placed(deployment())
