"""What Skaffold gets wrong in rendering, measured by running its own functions; here each is right."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from archkit import AffinityRenderer, BuiltImage, Cluster, KindRule, Node, PlatformSet

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PLATFORMS = {"both": "linux/amd64,linux/arm64", "intel": "linux/amd64", "arm": "linux/arm64"}


def deployment(name: str, *images: str, init: tuple[str, ...] = ()) -> str:
    spec: dict[str, Any] = {"containers": [{"name": f"c{i}", "image": image} for i, image in enumerate(images)]}
    if init:
        spec["initContainers"] = [{"name": f"i{i}", "image": image} for i, image in enumerate(init)]
    return yaml.safe_dump({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"template": {"spec": spec}}})


def arches(spec: dict[str, Any]) -> list[str]:
    if "affinity" not in spec:
        return []
    terms = spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    return [value for term in terms for item in term["matchExpressions"] if item["key"] == "kubernetes.io/arch" for value in item["values"]]


def rendered_arches(text: str) -> list[list[str]]:
    rendered = AffinityRenderer(platforms=PLATFORMS, affinity="always").render(text)
    return [arches(document["spec"]["template"]["spec"]) for document in yaml.safe_load_all(rendered.text)]


def test_w1_pods_of_different_documents_do_not_shrink_each_other() -> None:
    text = "---\n".join([deployment("a", "both"), deployment("b", "intel"), deployment("c", "arm")])

    assert rendered_arches(text) == [["amd64", "arm64"], ["amd64"], ["arm64"]]


def test_w2_a_bare_pod_puts_no_affinity_into_services_and_deployments() -> None:
    pod = yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "both"}]}})
    service = yaml.safe_dump({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}})
    text = "---\n".join([pod, service, deployment("d", "both")])

    rendered = AffinityRenderer(platforms=PLATFORMS, affinity="always").render(text)

    first, second, third = yaml.safe_load_all(rendered.text)
    assert "affinity" in first["spec"]
    assert second == yaml.safe_load(service)
    assert "affinity" not in third["spec"]
    assert "affinity" in third["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    "cluster", [None, Cluster(), Cluster(nodes=[Node("a", {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"})])]
)
def test_w5_force_forces_without_a_mixed_cluster_at_hand(cluster: Cluster | None) -> None:
    rendered = AffinityRenderer(platforms=PLATFORMS, affinity="always", cluster=cluster).render(deployment("a", "both"))

    assert arches(yaml.safe_load(rendered.text)["spec"]["template"]["spec"]) == ["amd64", "arm64"]


def test_w7_init_containers_narrow() -> None:
    assert rendered_arches(deployment("a", "both", init=("intel",))) == [["amd64"]]


def test_w7_an_expression_on_the_system_does_not_switch_the_cpu_off() -> None:
    spec = yaml.safe_load(deployment("a", "intel"))
    term = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
    spec["spec"]["template"]["spec"]["affinity"] = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}

    assert rendered_arches(yaml.safe_dump(spec)) == [["amd64"]]


@pytest.mark.parametrize(
    ("spec", "code"),
    [({"nodeSelector": {"kubernetes.io/arch": "arm64"}}, "platform-conflict"), ({"nodeName": "n"}, "node-name-set")],
)
def test_w7_a_contradiction_is_told(spec: dict[str, Any], code: str) -> None:
    data = yaml.safe_load(deployment("a", "intel"))
    data["spec"]["template"]["spec"].update(spec)
    rendered = AffinityRenderer(platforms=PLATFORMS, affinity="always").render(yaml.safe_dump(data))

    assert [finding.code for finding in rendered.findings] == [code]
    assert not rendered.changes


@pytest.mark.parametrize("images", [("intel", "arm"), ("intel", "arm", "arm"), ("arm", "intel", "both", "both")])
def test_w7_images_with_nothing_in_common_are_an_error_and_are_never_forgotten(images: tuple[str, ...]) -> None:
    text = deployment("a", *images)
    rendered = AffinityRenderer(platforms=PLATFORMS, affinity="always").render(text)

    assert rendered.text == text
    assert [finding.code for finding in rendered.findings] == ["no-common-platform"]


def test_w12_equal_platforms_give_one_term() -> None:
    renderer = AffinityRenderer(platforms={"x": ["linux/arm64", "linux/arm64/v8", "linux/aarch64", "linux/arm64/v9"]}, affinity="always")

    assert arches(yaml.safe_load(renderer.render(deployment("a", "x")).text)["spec"]["template"]["spec"]) == ["arm64"]


def test_w17_lists_replication_controllers_and_custom_kinds_are_placed() -> None:
    controller = {"apiVersion": "v1", "kind": "ReplicationController", "spec": {"template": {"spec": {"containers": [{"image": "both"}]}}}}
    custom = {"apiVersion": "example.com/v1", "kind": "Robot", "spec": {"pod": {"containers": [{"image": "both"}]}}}
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [controller, custom]})
    renderer = AffinityRenderer(platforms=PLATFORMS, affinity="always", kinds=[KindRule("example.com", "Robot", "spec.pod")])

    first, second = yaml.safe_load(renderer.render(text).text)["items"]
    assert arches(first["spec"]["template"]["spec"]) == arches(second["spec"]["pod"]) == ["amd64", "arm64"]


def test_w17_the_output_of_helm_is_as_good_as_any_manifest() -> None:
    text = "---\n# Source: chart/templates/web.yaml\n" + deployment("a", "both") + "---\n# Source: chart/templates/empty.yaml\n"
    rendered = AffinityRenderer(platforms=PLATFORMS, affinity="always").render(text)

    assert rendered.text.startswith("---\n# Source: chart/templates/web.yaml\napiVersion: apps/v1\n")
    assert rendered.text.endswith("---\n# Source: chart/templates/empty.yaml\n")
    assert len(rendered.changes) == 1


def test_w18_the_text_is_edited_not_rewritten() -> None:
    text = "# licence\nkind:   Pod   # kind first\napiVersion: 'v1'\nspec: {containers: [ {name:  a, image: web} ] }  # flow\nmetadata:\n    name: x\n"
    built = BuiltImage("web", "r.example/web:1@sha256:" + "4" * 64, PlatformSet("linux/arm64"))

    rendered = AffinityRenderer(builds=[built], affinity="never").render(text)

    assert rendered.text == text.replace("image: web", f'image: "{built.reference}"')


def test_w24_a_users_terms_are_not_multiplied_by_platforms() -> None:
    data = yaml.safe_load(deployment("a", "both"))
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in ("a", "b")]
    data["spec"]["template"]["spec"]["affinity"] = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}

    assert rendered_arches(yaml.safe_dump(data)) == [["amd64", "arm64", "amd64", "arm64"]]
    rendered = AffinityRenderer(platforms=PLATFORMS, affinity="always").render(yaml.safe_dump(data))
    after = yaml.safe_load(rendered.text)["spec"]["template"]["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert len(after) == 2
