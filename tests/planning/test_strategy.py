"""One native build or one per platform, and what each call pushes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    ArchkitError,
    BuilderAbilities,
    BuildError,
    EngineSink,
    ImageReference,
    LayoutSink,
    Platform,
    PlatformSet,
    ReferenceSyntaxError,
    RegistrySink,
    TargetsError,
)
from archkit.planning.strategy import plan_build, plan_findings

if TYPE_CHECKING:
    from archkit.model.build import PlannedBuild

TARGET = ImageReference.parse("ghcr.io/shop/web:1")
BOTH = "linux/amd64,linux/arm64"
EVERYWHERE = frozenset({RegistrySink, LayoutSink, EngineSink})


def plan(abilities: BuilderAbilities, platforms: str | None = BOTH, **kwargs: Any) -> PlannedBuild:
    given = {
        "builder": "tool",
        "target": TARGET,
        "platforms": None if platforms is None else PlatformSet.parse(platforms),
        "sink": RegistrySink(),
        "host": Platform.parse("linux/amd64"),
        **kwargs,
    }
    return plan_build("web", abilities=abilities, **given)


def pushed(planned: PlannedBuild) -> list[tuple[str, str | None]]:
    return [(str(platforms), reference.tag if reference else None) for platforms, reference in planned.requests]


@pytest.mark.parametrize(
    ("abilities", "platforms", "child_tags", "expected"),
    [
        pytest.param({}, BOTH, True, [("linux/amd64", "1_linux_amd64"), ("linux/arm64", "1_linux_arm64")], id="one call per platform"),
        pytest.param({}, "linux/arm/v7", True, [("linux/arm/v7", "1_linux_arm_v7")], id="the final tag is archkit's even for one"),
        pytest.param({"native_multi": True}, BOTH, True, [(BOTH, "1_archkit-staging")], id="native, must push a tag"),
        pytest.param({"native_multi": True, "push_by_digest": True}, BOTH, True, [(BOTH, None)], id="native, by digest"),
        pytest.param({"native_multi": True, "pushes_final_tag": True}, BOTH, True, [(BOTH, "1")], id="native, final name by contract"),
        pytest.param({"push_by_digest": True}, BOTH, True, [("linux/amd64", "1_linux_amd64"), ("linux/arm64", "1_linux_arm64")], id="tags"),
        pytest.param({"push_by_digest": True}, BOTH, False, [("linux/amd64", None), ("linux/arm64", None)], id="by digest, no child tags"),
        pytest.param({}, BOTH, False, [("linux/amd64", "1_linux_amd64"), ("linux/arm64", "1_linux_arm64")], id="a builder that needs tags"),
        pytest.param({"push_by_digest": True}, "linux/arm64", True, [("linux/arm64", None)], id="one platform needs no child tag"),
        pytest.param({"pushes_final_tag": True}, "linux/arm64", True, [("linux/arm64", "1")], id="one platform, final name by contract"),
        pytest.param({"default": Platform.parse("linux/s390x"), "push_by_digest": True}, None, True, [("linux/s390x", None)], id="default"),
        pytest.param({"push_by_digest": True}, None, True, [("linux/amd64", None)], id="the host's without a default"),
    ],
)
def test_requests(abilities: dict[str, Any], platforms: str | None, child_tags: bool, expected: list[tuple[str, str | None]]) -> None:
    planned = plan(BuilderAbilities(**abilities), platforms, child_tags=child_tags)

    assert pushed(planned) == expected
    assert planned.reasons


def test_a_default_that_cannot_be_built_gives_way_to_one_that_can() -> None:
    planned = plan(BuilderAbilities(push_by_digest=True), None, supported=PlatformSet.parse("linux/s390x,linux/arm64"))

    assert str(planned.platforms) == "linux/s390x"


@pytest.mark.parametrize(
    ("kwargs", "error", "names"),
    [
        pytest.param({"platforms": "all"}, TargetsError, ["tool", "all"], id="all of a builder that cannot list them"),
        pytest.param({"sink": LayoutSink("x")}, BuildError, ["tool", "LayoutSink", "RegistrySink"], id="a sink the builder cannot fill"),
        pytest.param({"target": TARGET.with_tag("x" * 120)}, ReferenceSyntaxError, ["linux_amd64"], id="a child tag that is too long"),
    ],
)
def test_refused_before_anything_is_built(kwargs: dict[str, Any], error: type[ArchkitError], names: list[str]) -> None:
    with pytest.raises(error) as caught:
        plan(BuilderAbilities(), **kwargs)

    assert all(name in str(caught.value) for name in names)


def test_an_engine_holds_one_platform() -> None:
    with pytest.raises(TargetsError, match="holds one platform"):
        plan(BuilderAbilities(sinks=EVERYWHERE), sink=EngineSink())

    assert pushed(plan(BuilderAbilities(sinks=EVERYWHERE), "linux/arm64", sink=EngineSink()))


@pytest.mark.parametrize(
    ("abilities", "child_tags", "codes"),
    [
        pytest.param(BuilderAbilities(), True, [], id="nothing"),
        pytest.param(BuilderAbilities(emulated=frozenset({Platform.parse("linux/arm64")})), True, ["emulated-build"], id="emulation"),
        pytest.param(BuilderAbilities(push_by_digest=True), False, ["untagged-children"], id="no child tags"),
    ],
)
def test_findings_of_a_plan(abilities: BuilderAbilities, child_tags: bool, codes: list[str]) -> None:
    assert [finding.code for finding in plan_findings(plan(abilities, child_tags=child_tags))] == codes
