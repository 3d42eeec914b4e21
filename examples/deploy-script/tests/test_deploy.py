"""The deployment script without a cluster, an engine or a registry: archkit's fixtures stand for all of them."""

from __future__ import annotations

import pytest
from deploy import ship

from archkit import ClusterForbiddenError, FieldConflictError, FindingsError, RegistryError, RolloutTimeoutError
from archkit.testing import EmbeddedCluster, EmbeddedRegistry, ImageFactory, assert_index, assert_placed


@pytest.fixture(autouse=True)
def _release(archkit_images: ImageFactory) -> None:
    """What CI has pushed."""
    for cpu in ("amd64", "arm64"):
        archkit_images.push(f"team/shop:v1-{cpu}", f"linux/{cpu}")


@pytest.fixture
def cluster(archkit_cluster: EmbeddedCluster) -> EmbeddedCluster:
    """Two amd64 nodes, and an arm64 one that Google's clusters taint."""
    archkit_cluster.add_node("linux/amd64", count=2)
    archkit_cluster.add_node("linux/arm64", arch_taint=True)
    return archkit_cluster


@pytest.fixture
def registry(archkit_registry: EmbeddedRegistry) -> str:
    """Where the shop's images are."""
    return f"{archkit_registry.host}/team"


def test_a_release_runs_on_both_cpus(cluster: EmbeddedCluster, archkit_registry: EmbeddedRegistry, registry: str) -> None:
    assert ship("v1", registry=registry) == ["Service/default/shop created", "Deployment/default/shop created"]

    assert_index("team/shop:v1", ["linux/amd64", "linux/arm64"], archkit_registry)
    shop = cluster.get("Deployment", "shop")
    assert_placed(shop, on=["linux/amd64", "linux/arm64"], nodes=cluster)
    assert shop["status"]["availableReplicas"] == 4
    image = shop["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"{registry}/shop:v1@{archkit_registry.resolve('team/shop:v1')}"
    assert {pod["spec"]["nodeName"] for pod in cluster.objects("Pod")} == {"node-1", "node-2", "node-3"}


def test_shipping_again_changes_nothing(cluster: EmbeddedCluster, registry: str) -> None:
    ship("v1", registry=registry)
    assert ship("v1", registry=registry) == ["Service/default/shop unchanged", "Deployment/default/shop unchanged"]
    assert len(cluster.objects("ReplicaSet")) == 1


def test_shipping_is_cheap(cluster: EmbeddedCluster, archkit_registry: EmbeddedRegistry, registry: str) -> None:
    with archkit_registry.budget(requests=5, round_trips=3, pace=0.2), cluster.budget(requests=20):
        ship("v1", registry=registry)


def test_a_dry_run_leaves_everything_as_it_is(cluster: EmbeddedCluster, archkit_registry: EmbeddedRegistry, registry: str) -> None:
    assert ship("v1", registry=registry, dry_run=True) == ["Service/default/shop created", "Deployment/default/shop created"]
    assert cluster.objects("Deployment") == []
    assert archkit_registry.tags("team/shop") == ["v1-amd64", "v1-arm64"]


def test_an_image_that_ci_did_not_push_stops_it_before_the_cluster(cluster: EmbeddedCluster, registry: str) -> None:
    cluster.on("PATCH").never()
    with pytest.raises(RegistryError, match="v2-amd64"):
        ship("v2", registry=registry)


def test_images_for_the_wrong_cpu_never_get_there(archkit_cluster: EmbeddedCluster, registry: str) -> None:
    archkit_cluster.add_node("linux/arm64")
    archkit_cluster.on("PATCH").never()
    with pytest.raises(FindingsError, match="no node of the cluster runs this pod"):
        ship("v1", registry=registry, cpus=("amd64",))


def test_busy_servers_are_waited_for(cluster: EmbeddedCluster, archkit_registry: EmbeddedRegistry, registry: str) -> None:
    archkit_registry.on("PUT", kind="manifest").answer(429, retry_after=0).times(2)
    cluster.on("GET", resource="nodes").answer(429, retry_after=1).times(1)
    ship("v1", registry=registry)


def test_what_somebody_else_scaled_is_not_taken_away(cluster: EmbeddedCluster, registry: str) -> None:
    ship("v1", registry=registry)
    scaled = cluster.get("Deployment", "shop")
    cluster.load({**scaled, "spec": {**scaled["spec"], "replicas": 7}}, manager="autoscaler")
    with pytest.raises(FieldConflictError, match=r"spec\.replicas"):
        ship("v1", registry=registry)
    assert cluster.get("Deployment", "shop")["spec"]["replicas"] == 7


def test_what_is_not_allowed_is_said(cluster: EmbeddedCluster, registry: str) -> None:
    cluster.deny("list", "nodes")
    with pytest.raises(ClusterForbiddenError, match="nodes"):
        ship("v1", registry=registry)


def test_a_rollout_that_does_not_come_about_is_no_success(archkit_cluster: EmbeddedCluster, registry: str) -> None:
    archkit_cluster.add_node("linux/amd64", taints=["dedicated=db:NoSchedule"])
    archkit_cluster.add_node("linux/arm64", ready=False)
    with pytest.raises(RolloutTimeoutError, match="untolerated taint"):
        ship("v1", registry=registry, timeout=1)
