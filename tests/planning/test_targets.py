"""Which platforms are built for: every rule of the target resolution, as a table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import Cluster, Mode, Node, Platform, PlatformSet, PlatformSyntaxError, Pool, Taint, TargetsError, resolve_targets

AMD64 = Platform("linux", "amd64")
CONTROL_PLANE = Taint("node-role.kubernetes.io/control-plane")


def node(platform: str, *taints: Taint, cordoned: bool = False, ready: bool = True, **labels: str) -> Node:
    os_name, arch = platform.split("/")
    names = {"kubernetes.io/os": os_name, "kubernetes.io/arch": arch, **labels}
    return Node(f"{arch}-{len(taints)}", names, taints, cordoned=cordoned, ready=ready)


def cluster(*platforms: str, pools: tuple[Pool, ...] = ()) -> Cluster:
    return Cluster([node(platform) for platform in platforms], pools)


MIXED = cluster("linux/arm64", "linux/amd64")
WITH_WINDOWS = cluster("linux/amd64", "windows/amd64")
OPEN_ENDED = cluster("linux/amd64", pools=(Pool("karpenter"),))


def platforms(result: object) -> str | None:
    found = getattr(result, "platforms", None)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("requested", "supported", "cluster", "mode", "expected", "codes"),
    [
        pytest.param(None, None, None, Mode.RUN, None, [], id="nothing known: the builder's default"),
        pytest.param(None, None, None, Mode.DEV, "linux/amd64", [], id="nothing known in dev: the host's"),
        pytest.param(None, None, None, Mode.DEBUG, "linux/amd64", [], id="nothing known in debug: the host's"),
        pytest.param(None, "linux/s390x", None, Mode.DEV, "linux/s390x", [], id="dev: a host that cannot be built for gives way"),
        pytest.param(None, None, MIXED, Mode.RUN, "linux/amd64,linux/arm64", [], id="the cluster's, sorted"),
        pytest.param(None, None, MIXED, Mode.BUILD, "linux/amd64,linux/arm64", [], id="the cluster's in build mode too"),
        pytest.param(None, None, cluster("linux/arm64"), Mode.RUN, "linux/arm64", [], id="arm64-only cluster"),
        pytest.param(None, None, WITH_WINDOWS, Mode.RUN, "linux/amd64", [], id="one Windows node changes nothing"),
        pytest.param(
            None, "linux/amd64,windows/amd64", WITH_WINDOWS, Mode.RUN, "linux/amd64,windows/amd64", [], id="Windows when supported"
        ),
        pytest.param(None, None, cluster("windows/amd64"), Mode.RUN, "windows/amd64", [], id="Windows when there is nothing else"),
        pytest.param(
            None, None, OPEN_ENDED, Mode.RUN, "linux/amd64", ["cluster-open-ended"], id="open-ended: what is seen, with a warning"
        ),
        pytest.param(None, "linux/arm64", MIXED, Mode.RUN, "linux/arm64", [], id="support narrows the cluster's in silence"),
        pytest.param(
            None, "linux/arm/v6,linux/arm/v7", cluster("linux/arm"), Mode.RUN, "linux/arm/v6,linux/arm/v7", [], id="nodes have no variant"
        ),
        pytest.param("linux/s390x,linux/arm64", None, MIXED, Mode.RUN, "linux/arm64", ["requested-dropped"], id="run narrows a request"),
        pytest.param("linux/s390x,linux/arm64", None, MIXED, Mode.BUILD, "linux/s390x,linux/arm64", [], id="build does not"),
        pytest.param("linux/s390x,linux/arm64", None, MIXED, Mode.RENDER, "linux/s390x,linux/arm64", [], id="render does not"),
        pytest.param("linux/arm64,linux/amd64", None, MIXED, Mode.RUN, "linux/arm64,linux/amd64", [], id="the request's order stays"),
        pytest.param("linux/s390x", None, MIXED, Mode.RUN, "linux/s390x", ["requested-not-in-cluster"], id="nothing left: all is kept"),
        pytest.param("linux/s390x", None, OPEN_ENDED, Mode.RUN, "linux/s390x", [], id="open-ended does not narrow"),
        pytest.param("linux/arm/v6", None, cluster("linux/arm"), Mode.RUN, "linux/arm/v6", [], id="narrowing is by os and CPU only"),
        pytest.param("all", None, MIXED, Mode.RUN, "linux/amd64,linux/arm64", [], id="all is what the cluster has"),
        pytest.param("all", None, None, Mode.BUILD, "all", [], id="all of an unknown builder stays all"),
        pytest.param("all", "linux/arm64,linux/s390x", None, Mode.BUILD, "linux/arm64,linux/s390x", [], id="all of a known builder"),
        pytest.param("all", None, None, Mode.DEV, "linux/amd64", [], id="all in dev is the host's"),
        pytest.param(
            "linux/arm64,linux/amd64", "linux/arm64", None, Mode.BUILD, "linux/arm64", ["requested-dropped"], id="support narrows a request"
        ),
        pytest.param(
            "windows/amd64", "windows(10.0.20348)/amd64", None, Mode.BUILD, "windows(10.0.20348)/amd64", [], id="any Windows build"
        ),
        pytest.param("linux/arm64,linux/amd64", None, None, Mode.DEV, "linux/amd64", [], id="dev keeps the host's"),
        pytest.param("linux/arm64,linux/s390x", None, None, Mode.DEV, "linux/arm64", [], id="dev without the host's keeps the first"),
        pytest.param("linux/arm64,linux/arm64/v8", None, None, Mode.RUN, "linux/arm64", [], id="one platform in two spellings is one"),
        pytest.param(None, None, Cluster(), Mode.RUN, None, ["no-nodes"], id="no nodes is unknown"),
        pytest.param(None, None, Cluster(pools=[Pool("arm", "linux/arm64")]), Mode.RUN, "linux/arm64", [], id="a pool at zero counts"),
    ],
)
def test_targets(
    requested: str | None, supported: str | None, cluster: Cluster | None, mode: Mode, expected: str | None, codes: list[str]
) -> None:
    result = resolve_targets(requested=requested, supported=supported, cluster=cluster, host=AMD64, mode=mode)

    assert platforms(result) == expected
    assert [finding.code for finding in result.findings] == codes
    assert result.reasons


@pytest.mark.parametrize("state", [{"cordoned": True}, {"ready": False}], ids=["cordoned", "not ready"])
def test_a_pool_being_upgraded_changes_neither_the_targets_nor_mixed(state: dict[str, Any]) -> None:
    upgrading = Cluster([node("linux/amd64"), node("linux/arm64", **state)])

    assert str(resolve_targets(cluster=upgrading, host=AMD64).platforms) == "linux/amd64,linux/arm64"
    assert upgrading.mixed


def test_a_control_plane_gives_no_target_but_makes_a_cluster_mixed() -> None:
    found = Cluster([node("linux/amd64", CONTROL_PLANE), node("linux/arm64")])

    assert str(resolve_targets(cluster=found, host=AMD64).platforms) == "linux/arm64"
    assert found.mixed


def test_virtual_nodes_count_for_nothing() -> None:
    found = Cluster([node("linux/amd64"), node("linux/arm64", type="virtual-kubelet")])

    assert str(found.platforms) == "linux/amd64"
    assert not found.mixed


@pytest.mark.parametrize(
    ("requested", "supported", "holds", "names"),
    [
        pytest.param("linux/arm64", "linux/amd64", True, ["linux/arm64", "linux/amd64"], id="nothing requested can be built"),
        pytest.param("linux/arm64,linux/amd64", None, False, ["linux/arm64, linux/amd64"], id="several requested, no place"),
        pytest.param("all", None, False, ["all"], id="all requested, no place"),
        pytest.param(PlatformSet(), None, True, ["empty"], id="an empty request"),
        pytest.param("linux/arm64", PlatformSet(), True, ["no platform in common"], id="artifact and builder disagree"),
    ],
)
def test_what_cannot_be_had_is_refused_and_named(requested: object, supported: object, holds: bool, names: list[str]) -> None:
    with pytest.raises(TargetsError) as caught:
        resolve_targets(requested=requested, supported=supported, host=AMD64, can_hold_index=holds)  # type: ignore[arg-type]  # also wrong types

    assert all(name in str(caught.value) for name in names)


def test_a_cluster_that_nothing_can_be_built_for_is_refused() -> None:
    with pytest.raises(TargetsError, match=r"linux/arm64 in the cluster, but only linux/amd64"):
        resolve_targets(cluster=cluster("linux/arm64"), supported="linux/amd64", host=AMD64)


def test_an_empty_text_is_no_request() -> None:
    with pytest.raises(PlatformSyntaxError):
        resolve_targets(requested="")


def test_several_platforms_that_nobody_asked_for_shrink_to_one_where_no_index_fits() -> None:
    result = resolve_targets(cluster=MIXED, host=AMD64, can_hold_index=False)

    assert str(result.platforms) == "linux/amd64"
    assert "nowhere to put" in result.explain()


def test_dev_prefers_a_variant_that_runs_on_the_host() -> None:
    result = resolve_targets(requested="linux/amd64,linux/arm/v6", host=Platform.parse("linux/arm/v7"), mode=Mode.DEV)

    assert str(result.platforms) == "linux/arm/v6"


NAMES = st.lists(
    st.sampled_from(["linux/amd64", "linux/arm64", "linux/arm/v6", "linux/arm/v7", "linux/s390x", "windows/amd64"]), max_size=4
)


@given(requested=NAMES, supported=NAMES, nodes=NAMES, mode=st.sampled_from(Mode), holds=st.booleans())
def test_the_result_never_holds_what_was_not_asked_or_cannot_be_built(
    requested: list[str], supported: list[str], nodes: list[str], mode: Mode, holds: bool
) -> None:
    known = Cluster([node("/".join(name.split("/")[:2])) for name in nodes])
    try:
        result = resolve_targets(
            requested=requested or None, supported=supported or None, cluster=known, host=AMD64, mode=mode, can_hold_index=holds
        )
    except TargetsError:
        return

    found = list(result.platforms or ())
    assert all(not requested or platform in PlatformSet(requested) for platform in found)
    assert all(not supported or platform in PlatformSet(supported) for platform in found)
    assert len(found) <= 1 or (holds and not mode.one_platform)
    told = " ".join([*result.reasons, *(finding.message for finding in result.findings)])
    assert all(str(Platform.parse(name)) in told for name in requested)
