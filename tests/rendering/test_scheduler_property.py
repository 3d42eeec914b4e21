"""Where a rendered pod lands: judged by an evaluator of the scheduler's rules that shares nothing with the renderer."""

from __future__ import annotations

from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st
from kube_scheduler import admits

from archkit import AffinityRenderer, Cluster, Node

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PAIRS = [(os, arch) for os in ("linux", "windows") for arch in ("amd64", "arm64", "386", "s390x")]
OS, ARCH = "kubernetes.io/os", "kubernetes.io/arch"

image_platforms = st.lists(st.sampled_from(PAIRS), min_size=2, max_size=7, unique=True)
expressions = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.sampled_from([OS, "disk"]),
        st.sampled_from(["In", "NotIn"]),
        st.lists(st.sampled_from(["linux", "windows", "ssd"]), min_size=1, max_size=2),
    ),
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.just(ARCH),
        st.sampled_from(["In", "NotIn"]),
        st.lists(st.sampled_from(["amd64", "arm64", "386", "riscv64"]), min_size=1, max_size=3),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from([OS, ARCH, "disk"]),
        st.sampled_from(["Exists", "DoesNotExist"]),
    ),
    st.builds(
        lambda key, operator, value: {"key": key, "operator": operator, "values": [value]},
        st.sampled_from([ARCH, "cores"]),
        st.sampled_from(["Gt", "Lt"]),
        st.sampled_from(["2", "385", "386", "-1"]),
    ),
)
fields = st.builds(
    lambda operator, name: {"key": "metadata.name", "operator": operator, "values": [name]},
    st.sampled_from(["In", "NotIn"]),
    st.sampled_from(["n0", "n1"]),
)
live_terms = st.fixed_dictionaries(
    {"matchExpressions": st.lists(expressions, min_size=1, max_size=2)}, optional={"matchFields": st.lists(fields, max_size=1)}
)
any_terms = st.fixed_dictionaries(
    {}, optional={"matchExpressions": st.lists(expressions, max_size=3), "matchFields": st.lists(fields, max_size=1)}
)


def required(listed: list[Any]) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": listed}}}


affinity = st.one_of(
    st.sampled_from([None, {}]),
    st.builds(required, st.lists(live_terms, min_size=1, max_size=2)),
    st.builds(required, st.lists(live_terms, min_size=1, max_size=2)),
    st.builds(required, st.lists(st.one_of(any_terms, st.none()), max_size=3)),
)
selectors = st.dictionaries(
    st.sampled_from([OS, ARCH, "disk"]), st.sampled_from(["linux", "windows", "amd64", "arm64", "386", "ssd"]), max_size=2
)


@st.composite
def pods(draw: Any) -> tuple[dict[str, Any], list[list[tuple[str, str]]]]:
    images = draw(st.lists(image_platforms, min_size=1, max_size=2))
    split = draw(st.integers(0, len(images) - 1))
    containers = [{"name": f"c{i}", "image": f"image{i}"} for i in range(len(images))]
    pod: dict[str, Any] = {"containers": containers[split:]}
    if split:
        pod["initContainers"] = containers[:split]
    if draw(st.integers(0, 3)):
        pod["affinity"] = draw(affinity)
    if draw(st.integers(0, 3)) == 0:
        pod["nodeSelector"] = draw(selectors)
    if draw(st.integers(0, 4)) == 0:
        pod["os"] = {"name": draw(st.sampled_from(["linux", "windows", "other"]))}
    return pod, images


@st.composite
def fleets(draw: Any) -> list[Node]:
    nodes = [Node("bare", {"disk": "ssd"}), Node("other", {OS: "linux", ARCH: "riscv64"})]
    for number, (os, arch) in enumerate(PAIRS):
        extras = draw(
            st.lists(
                st.dictionaries(st.sampled_from(["disk", "cores"]), st.sampled_from(["ssd", "1", "8"]), max_size=2), min_size=1, max_size=2
            )
        )
        nodes += [Node(f"n{number}", {OS: os, ARCH: arch, **extra}) for extra in extras]
    return nodes


def runs(image: list[tuple[str, str]], os: str | None, arch: str | None) -> bool:
    """Whether an image has something for this node; 32-bit x86 also runs on 64-bit x86."""
    return (os, arch) in image or (arch == "amd64" and (os, "386") in image)


@settings(max_examples=300)
@given(pods(), fleets(), st.sampled_from(["per-platform", "compact"]))
def test_no_node_without_a_platform_is_admitted_and_none_that_fits_is_lost(
    generated: tuple[dict[str, Any], list[list[tuple[str, str]]]], fleet: list[Node], shape: Any
) -> None:
    pod, images = generated
    platforms = {f"image{i}": [f"{os}/{arch}" for os, arch in image] for i, image in enumerate(images)}
    manifest = {"apiVersion": "v1", "kind": "Pod", "spec": pod}

    rendered = AffinityRenderer(platforms=platforms, affinity="always", terms=shape).render_objects([manifest])

    after = rendered.objects[0]["spec"]
    note(str(after))
    codes = {finding.code for finding in rendered.findings if finding.severity == "error"} | {
        finding.code for finding in rendered.findings if finding.code == "unschedulable-as-written"
    }
    for node in fleet:
        labels = dict(node.labels)
        os, arch = labels.get(OS), labels.get(ARCH)
        wanted = admits(pod, labels, node.name) and all(runs(image, os, arch) for image in images)
        # an image for 386 alone asks for nodes of 386: design, a term uses the image's own CPU name
        foreign = arch == "amd64" and any((os, "amd64") not in image for image in images) and all((os, "386") in image for image in images)
        got = admits(after, labels, node.name)
        if codes:
            assert after == pod
            assert not wanted or foreign, f"{node.name} was lost although {codes}"
        elif not foreign:
            assert got == wanted, (node.name, labels)
        else:
            assert not got or wanted


@settings(max_examples=100)
@given(pods(), fleets())
def test_placement_agrees_with_the_scheduler(generated: tuple[dict[str, Any], list[list[tuple[str, str]]]], fleet: list[Node]) -> None:
    pod, images = generated
    platforms = {f"image{i}": [f"{os}/{arch}" for os, arch in image] for i, image in enumerate(images)}
    cluster = Cluster(nodes=fleet)
    manifest = {"apiVersion": "v1", "kind": "Pod", "spec": pod}

    rendered = AffinityRenderer(platforms=platforms, cluster=cluster).render_objects([manifest])

    placement = rendered.pods[0]
    after = rendered.objects[0]["spec"]
    assert placement.nodes is not None
    for node in fleet:
        os, arch = node.labels.get(OS), node.labels.get(ARCH)
        lands = admits(after, dict(node.labels), node.name) and all(runs(image, os, arch) for image in images)
        assert (node.name in placement.nodes) == lands or len([other for other in fleet if other.name == node.name]) > 1
