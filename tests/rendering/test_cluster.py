"""With a cluster: which nodes remain, why the others are out, and which taints a pod must tolerate."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from archkit import AffinityRenderer, Cluster, Node, Pool, Rendering, Taint

GKE_ARM = Taint("kubernetes.io/arch", "arm64", "NoSchedule")


def node(name: str, arch: str = "amd64", os: str = "linux", *taints: Taint, **fields: Any) -> Node:
    labels = {"kubernetes.io/os": os, "kubernetes.io/arch": arch, **fields.pop("labels", {})}
    return Node(name, labels, taints, **fields)


def render(cluster: Cluster, spec: str = "", platforms: str = "linux/amd64,linux/arm64", **options: Any) -> Rendering:
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n{spec}  containers:\n  - image: web\n"
    return AffinityRenderer(platforms={"web": platforms}, cluster=cluster, **options).render(text, name="p.yaml")


def codes(rendered: Rendering) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity) for finding in rendered.findings]


def tolerations(rendered: Rendering) -> Any:
    return yaml.safe_load(rendered.text)["spec"].get("tolerations")


def test_placement_names_the_nodes_that_remain_and_why_each_other_is_out() -> None:
    cluster = Cluster(
        nodes=[
            node("good"),
            node("arm", "arm64", "linux", GKE_ARM),
            node("win", "amd64", "windows"),
            node("old", "s390x"),
            node("cordoned", cordoned=True),
            node("gpu", "amd64", "linux", Taint("gpu", "", "NoSchedule")),
            node("discouraged", "amd64", "linux", Taint("x", "", "PreferNoSchedule")),
            Node("mute"),
        ]
    )
    rendered = render(cluster)

    placement = rendered.pods[0]
    assert placement.where == "p.yaml:5 Pod/p spec"
    assert placement.nodes == ("good", "arm", "discouraged")
    assert {name: reason.split(",")[0] for name, reason in placement.excluded.items()} == {
        "win": "it is windows/amd64",
        "old": "it is linux/s390x",
        "cordoned": "it is cordoned",
        "gpu": "the taint gpu:NoSchedule is not tolerated",
        "mute": "it does not say which platform it is",
    }
    assert "not gpu: the taint" in placement.explain()
    assert not rendered.findings


@pytest.mark.parametrize(
    ("spec", "name", "reason"),
    [
        ("  nodeSelector: {disk: ssd}\n", "n", "nodeSelector asks for disk=ssd"),
        ("  nodeName: other\n", "n", "nodeName is other"),
        ("  os: {name: windows}\n", "n", "os.name is windows"),
    ],
)
def test_the_pods_own_rules_count(spec: str, name: str, reason: str) -> None:
    rendered = render(Cluster(nodes=[node(name)]), spec, "linux/amd64,windows/amd64")

    assert rendered.pods[0].excluded[name] == reason


def test_a_pod_that_no_node_runs_is_an_error_on_a_cluster_of_one_architecture() -> None:
    rendered = render(Cluster(nodes=[node("a"), node("b")]), platforms="linux/arm64")

    assert "affinity" not in rendered.text
    assert codes(rendered) == [("no-node-for-pod", "error")]
    assert "linux/arm64" in rendered.findings[0].message
    assert "linux/amd64" in rendered.findings[0].message


def test_a_pod_that_only_other_rules_keep_off_is_a_warning() -> None:
    rendered = render(Cluster(nodes=[node("a")]), "  nodeSelector: {disk: ssd}\n")

    assert codes(rendered) == [("unschedulable-as-written", "warning")]


@pytest.mark.parametrize(
    ("pool", "wanted"),
    [
        pytest.param(Pool("arm", "linux/arm64"), [], id="a pool at zero"),
        pytest.param(Pool("any"), [], id="an open-ended pool"),
        pytest.param(Pool("x", "linux/s390x"), [("no-node-for-pod", "error")], id="a pool of another platform"),
    ],
)
def test_a_pool_may_bring_the_node(pool: Pool, wanted: list[tuple[str, str]]) -> None:
    rendered = render(Cluster(nodes=[node("a")], pools=[pool]), platforms="linux/arm64")

    assert codes(rendered) == wanted
    assert rendered.pods[0].pools == (() if wanted else (pool.name,))


def test_an_unknown_image_excludes_nothing() -> None:
    text = "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: stranger}]}\n"
    rendered = AffinityRenderer(cluster=Cluster(nodes=[node("a"), node("b")])).render(text)

    assert rendered.pods[0].nodes == ("a", "b")
    assert not rendered.findings


def test_variants_of_a_node_are_not_known() -> None:
    assert render(Cluster(nodes=[node("pi", "arm"), node("big")]), platforms="linux/arm/v8,linux/amd64/v3").pods[0].nodes == ("pi", "big")


# ---- taints --------------------------------------------------------------------------------------------------------


def test_a_taint_on_a_cpu_that_the_images_have_is_tolerated() -> None:
    cluster = Cluster(nodes=[node("a"), node("arm", "arm64", "linux", GKE_ARM), node("arm-2", "arm64", "linux", GKE_ARM)])
    rendered = render(cluster)

    assert tolerations(rendered) == [{"key": "kubernetes.io/arch", "operator": "Equal", "value": "arm64", "effect": "NoSchedule"}]
    assert rendered.pods[0].nodes == ("a", "arm", "arm-2")
    again = AffinityRenderer(platforms={"web": "linux/amd64,linux/arm64"}, cluster=cluster).render(rendered.text)
    assert again.text == rendered.text


def test_a_cluster_of_tainted_arm_nodes_alone_needs_it_too() -> None:
    rendered = render(Cluster(nodes=[node("arm", "arm64", "linux", GKE_ARM)]))

    assert "affinity" not in rendered.text
    assert tolerations(rendered) is not None
    assert rendered.pods[0].nodes == ("arm",)


@pytest.mark.parametrize(
    ("taint", "platforms", "options"),
    [
        pytest.param(GKE_ARM, "linux/amd64", {}, id="the images do not run there"),
        pytest.param(Taint("gpu", "arm64"), "linux/arm64", {}, id="another key"),
        pytest.param(Taint("kubernetes.io/arch", "amd64"), "linux/arm64", {}, id="another CPU's value"),
        pytest.param(Taint("kubernetes.io/arch", "arm64", "PreferNoSchedule"), "linux/arm64", {}, id="it only discourages"),
        pytest.param(GKE_ARM, "linux/arm64", {"tolerate_arch_taints": False}, id="not wanted"),
    ],
)
def test_no_toleration_is_written_where_none_is_called_for(taint: Taint, platforms: str, options: dict[str, Any]) -> None:
    cluster = Cluster(nodes=[node("a"), node("arm", "arm64", "linux", taint)])
    assert tolerations(render(cluster, platforms=platforms, **options)) is None


@pytest.mark.parametrize(
    "own",
    [
        "{operator: Exists}",
        "{key: kubernetes.io/arch, operator: Exists}",
        "{key: kubernetes.io/arch, operator: Equal, value: arm64, effect: NoSchedule}",
        "{key: kubernetes.io/arch, value: arm64}",
    ],
)
def test_what_is_tolerated_already_is_not_tolerated_twice(own: str) -> None:
    cluster = Cluster(nodes=[node("a"), node("arm", "arm64", "linux", GKE_ARM)])
    rendered = render(cluster, f"  tolerations: [{own}]\n")

    assert len(tolerations(rendered)) == 1


def test_other_tolerations_are_kept() -> None:
    cluster = Cluster(nodes=[node("a"), node("arm", "arm64", "linux", GKE_ARM, Taint("arch", "arm64", "NoExecute"))])
    rendered = render(cluster, "  tolerations:\n  # mine\n  - key: gpu\n    operator: Exists\n")

    assert [item["key"] for item in tolerations(rendered)] == ["gpu", "kubernetes.io/arch", "arch"]
    assert "  # mine\n  - key: gpu\n" in rendered.text


def test_a_pod_of_one_platform_on_a_cluster_of_two_is_kept_where_it_runs() -> None:
    rendered = render(Cluster(nodes=[node("a"), node("arm", "arm64")]), platforms="linux/amd64")

    assert rendered.pods[0].nodes == ("a",)
    assert rendered.pods[0].excluded["arm"].startswith("it is linux/arm64")


def test_a_pod_that_the_api_server_will_reject_is_left_alone_with_its_tolerations() -> None:
    cluster = Cluster(nodes=[node("a"), node("arm", "arm64", "linux", GKE_ARM)])
    rendered = render(cluster, "  nodeSelector: {disk: 1}\n")

    assert ("unschedulable-as-written", "warning") in codes(rendered)
    assert tolerations(rendered) is None


def test_a_taint_is_tolerated_by_key_value_and_effect_and_no_further() -> None:
    arm = Node("arm", {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}, (GKE_ARM, Taint("arch", "arm64", "NoExecute")))
    other = node("z", "s390x", "linux", Taint("kubernetes.io/arch", "s390x"))
    rendered = render(Cluster(nodes=[node("a"), arm, other]))

    assert tolerations(rendered) == [
        {"key": "kubernetes.io/arch", "operator": "Equal", "value": "arm64", "effect": "NoSchedule"},
        {"key": "arch", "operator": "Equal", "value": "arm64", "effect": "NoExecute"},
    ]


def test_a_cpu_that_archkit_has_not_heard_of_is_another_cpu() -> None:
    cluster = Cluster(nodes=[node("a"), node("strange", "sw64")])
    rendered = render(cluster, platforms="linux/amd64")

    assert "nodeAffinity" in rendered.text
    assert rendered.pods[0].nodes == ("a",)


@pytest.mark.parametrize(
    ("cores", "remains"), [("8", True), ("08", True), ("1", False), ("many", False), ("1_000", False), ("9223372036854775808", False)]
)
def test_numbers_are_compared_as_the_scheduler_compares_them(cores: str, remains: bool) -> None:
    terms = "[{matchExpressions: [{key: cores, operator: Gt, values: ['2']}]}]"
    affinity = f"  affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: {terms}}}}}}}\n"
    sized = Node("a", {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "cores": cores})

    assert (render(Cluster(nodes=[sized]), affinity).pods[0].nodes == ("a",)) is remains


@pytest.mark.parametrize(
    ("kind", "nodes"),
    [
        pytest.param("DaemonSet", ("a", "cordoned"), id="its controller tolerates a cordon"),
        pytest.param("Deployment", ("a",), id="others not"),
    ],
)
def test_a_cordon_keeps_off_what_the_scheduler_places(kind: str, nodes: tuple[str, ...]) -> None:
    cluster = Cluster(nodes=[node("a"), node("cordoned", cordoned=True), node("tainted", "amd64", "linux", Taint("gpu"))])
    text = f"apiVersion: apps/v1\nkind: {kind}\nspec: {{template: {{spec: {{containers: [{{image: web}}]}}}}}}\n"

    rendered = AffinityRenderer(platforms={"web": "linux/amd64"}, cluster=cluster).render(text)

    assert rendered.pods[0].nodes == nodes
    assert "tolerations" not in rendered.text
