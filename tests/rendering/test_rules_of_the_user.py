"""What a user wrote is narrowed or kept, never widened, rewritten or removed; contradictions are findings."""

from __future__ import annotations

from typing import Any

import pytest

from archkit import AffinityRenderer, RenderedObjects

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OS, ARCH = "kubernetes.io/os", "kubernetes.io/arch"


def render(spec: dict[str, Any], platforms: str = "linux/amd64,linux/arm64", **options: Any) -> RenderedObjects:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {**spec, "containers": [{"image": "web"}]}}
    return AffinityRenderer(platforms={"web": platforms}, affinity="always", **options).render_objects([pod])


def required(*terms: Any) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}}


def term(*expressions: tuple[str, str, list[str]]) -> dict[str, Any]:
    return {"matchExpressions": [item(*expression) for expression in expressions]}


def item(key: str, operator: str, values: list[str]) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": values} if values else {"key": key, "operator": operator}


def terms_of(rendered: RenderedObjects) -> list[Any]:
    listed: list[Any] = rendered.objects[0]["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    return listed


def found(rendered: RenderedObjects) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity) for finding in rendered.findings]


LINUX, BOTH = (OS, "In", ["linux"]), (ARCH, "In", ["amd64", "arm64"])
DISK = ("disk", "In", ["ssd"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([DISK], [DISK, LINUX, BOTH], id="another key"),
        pytest.param([LINUX], [LINUX, BOTH], id="the system is there already"),
        pytest.param([(ARCH, "In", ["arm64"])], [(ARCH, "In", ["arm64"]), LINUX], id="the CPU is there already"),
        pytest.param([(ARCH, "NotIn", ["s390x"])], [(ARCH, "NotIn", ["s390x"]), LINUX, BOTH], id="NotIn"),
        pytest.param([(ARCH, "Exists", [])], [(ARCH, "Exists", []), LINUX, BOTH], id="Exists"),
        pytest.param([(ARCH, "Lt", ["400"])], [(ARCH, "Lt", ["400"])], id="Lt leaves none of them"),
        pytest.param([LINUX, BOTH], [LINUX, BOTH], id="nothing is missing"),
        pytest.param([LINUX, (ARCH, "In", ["amd64"])], [LINUX, (ARCH, "In", ["amd64"])], id="narrower already"),
        pytest.param(
            [LINUX, (ARCH, "In", ["amd64", "s390x"])],
            [LINUX, (ARCH, "In", ["amd64", "s390x"]), (ARCH, "In", ["amd64"])],
            id="wider: the user's list stays, ours comes behind",
        ),
        pytest.param([(ARCH, "NotIn", ["arm64"])], [(ARCH, "NotIn", ["arm64"]), LINUX, (ARCH, "In", ["amd64"])], id="what is left of ours"),
    ],
)
@pytest.mark.parametrize("shape", ["per-platform", "compact"])
def test_a_live_term_gets_what_is_missing(before: list[Any], after: list[Any], shape: Any) -> None:
    assert terms_of(render(required(term(*before)), terms=shape)) == [term(*after)]


def test_every_live_term_is_narrowed_and_dead_ones_stay_dead() -> None:
    rendered = render(
        required(term(DISK), {}, None, {"matchExpressions": [], "matchFields": []}, {"matchFields": [item("metadata.name", "In", ["n"])]})
    )

    assert terms_of(rendered) == [
        term(DISK, LINUX, BOTH),
        {},
        None,
        {"matchExpressions": [], "matchFields": []},
        {**term(LINUX, BOTH), "matchFields": [item("metadata.name", "In", ["n"])]},
    ]
    assert found(rendered) == [("empty-node-selector-term", "warning")] * 3


@pytest.mark.parametrize("value", [{"nodeSelectorTerms": []}, {"nodeSelectorTerms": None}, {}], ids=["empty", "null", "absent"])
def test_required_affinity_without_terms_matches_nothing_and_stays_so(value: Any) -> None:
    rendered = render({"affinity": {"nodeAffinity": {REQUIRED: value}}})

    assert not rendered.changes
    assert found(rendered) == [("empty-node-selector-term", "warning")]


def test_a_set_that_is_no_product_needs_a_copy_of_the_term() -> None:
    rendered = render(required(term(DISK)), "linux/amd64,linux/arm64,windows/amd64")

    assert terms_of(rendered) == [term(DISK, LINUX, BOTH), term(DISK, (OS, "In", ["windows"]), (ARCH, "In", ["amd64"]))]
    assert not render(rendered.objects[0]["spec"], "linux/amd64,linux/arm64,windows/amd64").changes


def test_a_product_of_systems_and_cpus_does_not() -> None:
    rendered = render(required(term(DISK)), "linux/amd64,windows/amd64")

    assert terms_of(rendered) == [term(DISK, (OS, "In", ["linux", "windows"]), (ARCH, "In", ["amd64"]))]


@pytest.mark.parametrize(
    ("spec", "codes"),
    [
        pytest.param({"nodeSelector": {ARCH: "s390x"}}, [("platform-conflict", "error")], id="nodeSelector"),
        pytest.param(
            {"nodeSelector": {"beta.kubernetes.io/arch": "s390x"}},
            [("deprecated-label", "info"), ("platform-conflict", "error")],
            id="nodeSelector with a beta label",
        ),
        pytest.param(required(term((ARCH, "In", ["s390x"]))), [("platform-conflict", "error")], id="affinity"),
        pytest.param({"os": {"name": "windows"}}, [("pod-os-conflict", "error")], id="os.name"),
        pytest.param(
            required(term((ARCH, "In", ["amd64"]), (ARCH, "In", ["arm64"]))), [("unschedulable-as-written", "warning")], id="in itself"
        ),
        pytest.param(
            {"nodeSelector": {ARCH: "amd64"}, **required(term((ARCH, "In", ["arm64"])))},
            [("unschedulable-as-written", "warning")],
            id="both",
        ),
        pytest.param(required(term((ARCH, "In", []))), [("unschedulable-as-written", "warning")], id="In without values"),
        pytest.param(required(term((ARCH, "Is", ["x"]))), [("unschedulable-as-written", "warning")], id="no operator"),
        pytest.param(
            required({"matchExpressions": [{"key": ARCH, "operator": "In", "values": [386]}]}),
            [("unschedulable-as-written", "warning")],
            id="number",
        ),
        pytest.param({"affinity": "x"}, [("unschedulable-as-written", "warning")], id="affinity is a text"),
        pytest.param({"nodeSelector": {ARCH: 386}}, [("unschedulable-as-written", "warning")], id="nodeSelector is a number"),
    ],
)
def test_a_contradiction_is_a_finding_and_no_edit(spec: dict[str, Any], codes: list[tuple[str, str]]) -> None:
    rendered = render(spec)

    assert found(rendered) == codes
    assert not rendered.changes


def test_one_contradicting_term_of_several_is_closed_and_reported() -> None:
    rendered = render(required(term((ARCH, "In", ["s390x"])), term(DISK)))

    assert terms_of(rendered) == [term((ARCH, "In", ["s390x"]), LINUX, BOTH), term(DISK, LINUX, BOTH)]
    assert found(rendered) == [("platform-conflict", "warning")]


def test_a_selector_narrower_than_the_images_is_a_warning() -> None:
    rendered = render({"nodeSelector": {ARCH: "arm64"}})

    assert found(rendered) == [("affinity-narrower-than-images", "warning")]
    assert terms_of(rendered) == [term(LINUX, (ARCH, "In", ["arm64"]))]


def test_a_selector_that_says_it_all_needs_no_affinity() -> None:
    assert not render({"nodeSelector": {OS: "linux", ARCH: "arm64"}}).changes


def test_a_selector_of_the_system_alone_is_no_warning() -> None:
    rendered = render({"nodeSelector": {OS: "linux"}}, "linux/amd64,linux/arm64,windows/amd64")

    assert not rendered.findings
    assert [expressions["matchExpressions"][1]["values"] for expressions in terms_of(rendered)] == [["amd64"], ["arm64"]]


def test_os_name_picks_the_platforms_of_that_system() -> None:
    rendered = render({"os": {"name": "windows"}}, "linux/amd64,windows/amd64")

    assert terms_of(rendered) == [term((OS, "In", ["windows"]), (ARCH, "In", ["amd64"]))]


def test_beta_labels_do_not_stand_for_the_real_ones() -> None:
    rendered = render({"nodeSelector": {"beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux"}})

    assert [code for code, _ in found(rendered)] == ["deprecated-label", "deprecated-label", "affinity-narrower-than-images"]
    assert len(terms_of(rendered)) == 2


def test_node_name_bypasses_the_scheduler() -> None:
    rendered = render({"nodeName": "node-1"})

    assert not rendered.changes
    assert found(rendered) == [("node-name-set", "info")]


@pytest.mark.parametrize(
    ("platform", "noted"), [("linux/arm/v6", True), ("linux/amd64/v3", True), ("linux/arm/v7", False), ("linux/arm64/v8", False)]
)
def test_a_variant_that_no_label_says_is_noted(platform: str, *, noted: bool) -> None:
    assert found(render({}, platform)) == ([("variant-not-enforceable", "info")] if noted else [])


def test_all_containers_count_and_what_has_nothing_in_common_is_left_alone() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"initContainers": [{"image": "a"}], "containers": [{"image": "b"}, {"image": "c"}]},
    }
    platforms = {"a": "linux/amd64", "b": "linux/arm64", "c": "linux/arm64"}
    rendered = AffinityRenderer(platforms=platforms, affinity="always").render_objects([pod])

    assert rendered.objects[0] is pod
    assert found(rendered) == [("no-common-platform", "error")]
    message = rendered.findings[0].message
    assert all(text in message for text in ("a (linux/amd64)", "b (linux/arm64)", "c (linux/arm64)"))
    assert rendered.findings[0].where == "<objects>[0] Pod/n/p spec"


@pytest.mark.parametrize(
    ("images", "wanted"),
    [
        (["linux/arm/v6", "linux/arm/v7"], ["arm"]),
        (["linux/386", "linux/amd64"], ["amd64"]),
        (["linux/arm64/v8", "linux/arm64"], ["arm64"]),
        (["linux/arm/v7", "linux/arm64"], ["arm64"]),
        (["linux/amd64,linux/arm64", "all"], ["amd64", "arm64"]),
    ],
    ids=" + ".join,
)
def test_an_older_variant_runs_on_a_newer_one(images: list[str], wanted: list[str]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": f"i{number}"} for number in range(len(images))]}}
    platforms = {f"i{number}": image for number, image in enumerate(images)}
    rendered = AffinityRenderer(platforms=platforms, affinity="always").render_objects([pod])

    assert [expressions["matchExpressions"][1]["values"] for expressions in terms_of(rendered)] == [[arch] for arch in wanted]
