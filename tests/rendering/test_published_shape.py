"""The affinity that Skaffold's page on ARM workloads shows, byte for byte, and the compact form."""

from __future__ import annotations

import textwrap

import pytest
import yaml

from archkit import AffinityRenderer, BuiltImage, Cluster, Node, PlatformSet

DIGEST = "sha256:" + "1" * 64
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: getting-started  # the demo
spec:
  # one container
  containers:
  - name: getting-started
    image: skaffold-example
"""
PUBLISHED = """\
apiVersion: v1
kind: Pod
metadata:
  name: getting-started  # the demo
spec:
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms:
        - matchExpressions:
          - key: kubernetes.io/os
            operator: In
            values:
            - linux
          - key: kubernetes.io/arch
            operator: In
            values:
            - amd64
        - matchExpressions:
          - key: kubernetes.io/os
            operator: In
            values:
            - linux
          - key: kubernetes.io/arch
            operator: In
            values:
            - arm64
  # one container
  containers:
  - name: getting-started
    image: registry.example/skaffold-example:latest@sha256:1111111111111111111111111111111111111111111111111111111111111111
"""
BUILT = BuiltImage("skaffold-example", f"registry.example/skaffold-example:latest@{DIGEST}", PlatformSet("linux/amd64,linux/arm64"))


def nodes(*platforms: str) -> Cluster:
    pairs = [platform.split("/") for platform in platforms]
    return Cluster(nodes=[Node(f"node-{i}", {"kubernetes.io/os": os, "kubernetes.io/arch": arch}) for i, (os, arch) in enumerate(pairs)])


def terms(text: str) -> list[list[tuple[str, list[str]]]]:
    """Per term the (label, values) pairs, in order."""
    pod = yaml.safe_load(text)["spec"]
    listed = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return [[(item["key"], item["values"]) for item in term["matchExpressions"]] for term in listed]


def test_the_published_shape_on_a_mixed_cluster() -> None:
    rendered = AffinityRenderer(builds=[BUILT], cluster=nodes("linux/amd64", "linux/arm64")).render(POD)

    assert rendered.text == PUBLISHED
    assert not rendered.findings


def test_always_writes_it_without_a_cluster() -> None:
    assert AffinityRenderer(builds=[BUILT], affinity="always").render(POD).text == PUBLISHED


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_a_cluster_of_one_architecture_gets_no_affinity(platform: str) -> None:
    rendered = AffinityRenderer(builds=[BUILT], cluster=nodes(platform, platform)).render(POD)

    assert rendered.text == POD.replace("image: skaffold-example", f"image: {BUILT.reference}")
    assert not rendered.findings


def test_never_writes_none_on_a_mixed_cluster() -> None:
    renderer = AffinityRenderer(builds=[BUILT], cluster=nodes("linux/amd64", "linux/arm64"), affinity="never")
    assert "affinity" not in renderer.render(POD).text


def test_mixed_without_a_cluster_writes_none_and_says_so() -> None:
    rendered = AffinityRenderer(builds=[BUILT]).render(POD + "---\n" + POD)

    assert "affinity" not in rendered.text
    assert [finding.code for finding in rendered.findings] == ["cluster-unknown"]


@pytest.mark.parametrize(
    ("platforms", "wanted"),
    [
        pytest.param("linux/arm64,linux/amd64", ["arm64", "amd64"], id="in the order of the platforms"),
        pytest.param("linux/arm/v6,linux/arm/v7", ["arm"], id="variants give one term"),
        pytest.param("linux/386", ["386"], id="an image for 386 asks for 386"),
    ],
)
def test_one_term_per_operating_system_and_cpu(platforms: str, wanted: list[str]) -> None:
    text = AffinityRenderer(platforms={"skaffold-example": platforms}, affinity="always").render(POD).text

    assert terms(text) == [[("kubernetes.io/os", ["linux"]), ("kubernetes.io/arch", [arch])] for arch in wanted]


def test_the_cpu_386_is_a_text_not_a_number() -> None:
    text = AffinityRenderer(platforms={"skaffold-example": "linux/386"}, affinity="always").render(POD).text

    assert '- "386"\n' in text


def test_the_compact_form_has_one_term_per_operating_system_with_sorted_values() -> None:
    platforms = "linux/s390x,windows/amd64,linux/amd64,linux/arm64/v8,linux/386"
    text = AffinityRenderer(platforms={"skaffold-example": platforms}, affinity="always", terms="compact").render(POD).text

    assert terms(text) == [
        [("kubernetes.io/os", ["linux"]), ("kubernetes.io/arch", ["386", "amd64", "arm64", "s390x"])],
        [("kubernetes.io/os", ["windows"]), ("kubernetes.io/arch", ["amd64"])],
    ]


def test_windows_builds_only_when_asked() -> None:
    platforms = "windows(10.0.17763.1)/amd64,windows(10.0.20348.99)/amd64,linux/amd64"
    plain = AffinityRenderer(platforms={"skaffold-example": platforms}, affinity="always")
    exact = AffinityRenderer(platforms={"skaffold-example": platforms}, affinity="always", match_windows_build=True)

    assert [len(term) for term in terms(plain.render(POD).text)] == [2, 2]
    build = ("node.kubernetes.io/windows-build", ["10.0.17763", "10.0.20348"])
    assert terms(exact.render(POD).text)[0] == [("kubernetes.io/os", ["windows"]), ("kubernetes.io/arch", ["amd64"]), build]


def test_rendering_twice_gives_the_same_bytes() -> None:
    renderer = AffinityRenderer(builds=[BUILT], affinity="always")
    again = renderer.render(PUBLISHED)

    assert again.text == PUBLISHED
    assert not again.changes
    assert not again.findings


def test_preferences_stand_beside_the_required_terms() -> None:
    renderer = AffinityRenderer(builds=[BUILT], affinity="always", prefer={"linux/arm64": 50, "linux/s390x": 10})
    rendered = renderer.render(POD)

    preferred = textwrap.indent(
        """\
preferredDuringSchedulingIgnoredDuringExecution:
- weight: 50
  preference:
    matchExpressions:
    - key: kubernetes.io/os
      operator: In
      values:
      - linux
    - key: kubernetes.io/arch
      operator: In
      values:
      - arm64
""",
        "      ",
    )
    assert rendered.text == PUBLISHED.replace("  # one container\n", preferred + "  # one container\n")
    assert not renderer.render(rendered.text).changes


def test_an_architecture_that_the_user_prefers_already_is_not_preferred_twice() -> None:
    pod = POD.replace(
        "  # one container\n",
        """\
  affinity:
    nodeAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 5
        preference: {matchExpressions: [{key: kubernetes.io/arch, operator: In, values: [arm64]}]}
""",
    )
    rendered = AffinityRenderer(builds=[BUILT], affinity="always", prefer={"linux/arm64": 50, "linux/amd64": 7}).render(pod)

    listed = yaml.safe_load(rendered.text)["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [(item["weight"], item["preference"]["matchExpressions"][-1]["values"]) for item in listed] == [(5, ["arm64"]), (7, ["amd64"])]
