"""remove_tags(): tags go, nothing else does, whatever the registry takes the deletion of a tag for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archkit import OciLayout, RegistryClient, RegistryError, Retries, remove_tags, verify
from archkit.testing import EmbeddedRegistry, ImageFactory, RepositoryRules, Response

if TYPE_CHECKING:
    from pathlib import Path

TWO = ["linux/amd64", "linux/arm64"]
PARTS = ["1_linux_amd64", "1_linux_arm64"]
STAGING = "1_archkit-staging"
HABITS = {
    "deletes-tags": RepositoryRules(),
    "deletes-manifests": RepositoryRules(tag_delete="manifest"),
    "refuses": RepositoryRules(tag_delete="refused"),
    "deletes-nothing": RepositoryRules(delete=False),
}


def fill(registry: EmbeddedRegistry) -> None:
    """What a build leaves: a final tag, one per platform, a staging tag at the same manifest as the final one, and others."""
    images = ImageFactory(registry)
    for platform, tag in zip(TWO, PARTS, strict=True):
        images.push(f"app:{tag}", platform)
    for tag in ("1", STAGING, "latest"):
        images.push(f"app:{tag}", TWO)
    images.push("app:other", "linux/s390x")


def everything(registry: EmbeddedRegistry) -> dict[str, str]:
    return {tag: str(registry.resolve(f"app:{tag}")) for tag in registry.tags("app")}


@pytest.mark.parametrize("habit", HABITS)
def test_no_child_and_no_other_tag_is_ever_lost(habit: str) -> None:
    with EmbeddedRegistry(rules=HABITS[habit]) as registry:
        fill(registry)
        before = everything(registry)
        manifests = {*registry.contents.repository("app").manifests}
        found = remove_tags(f"{registry.host}/app:1")
        removes = habit.startswith("deletes-") and habit != "deletes-nothing"
        assert sorted(found.removed) == (sorted([STAGING, *PARTS]) if removes else [])
        assert sorted(found.left) == ([] if removes else sorted([STAGING, *PARTS]))
        assert [finding.code for finding in found.findings] == ["staging-tag-left"] * len(found.left)
        assert everything(registry) == {tag: digest for tag, digest in before.items() if tag not in found.removed}
        assert {*registry.contents.repository("app").manifests} == manifests
        assert verify(f"{registry.host}/app:1").digest == before["1"]
        assert ("1" in found.restored) is (habit == "deletes-manifests")
        deleted = registry.log.where(method="DELETE")
        assert not any(":" in exchange.reference for exchange in deleted), "never by digest"


@settings(max_examples=40)
@given(
    habit=st.sampled_from(sorted(HABITS)),
    unwanted=st.sets(st.sampled_from([*PARTS, STAGING, "latest", "other", "none"])),
    kept=st.sets(st.sampled_from([*PARTS, STAGING, "latest", "other"])),
)
def test_whatever_is_removed_the_rest_is_as_it_was(habit: str, unwanted: set[str], kept: set[str]) -> None:
    with EmbeddedRegistry(rules=HABITS[habit]) as registry:
        fill(registry)
        before, manifests = everything(registry), {*registry.contents.repository("app").manifests}
        wanted = sorted(unwanted - kept)
        found = remove_tags(f"{registry.host}/app:1", wanted, registry.client(), keep=kept)
        assert sorted([*found.removed, *found.left, *found.absent]) == wanted
        assert everything(registry) == {tag: digest for tag, digest in before.items() if tag not in found.removed}
        assert {*registry.contents.repository("app").manifests} == manifests


def test_a_dry_run_removes_nothing(archkit_registry: EmbeddedRegistry) -> None:
    fill(archkit_registry)
    before = everything(archkit_registry)
    found = remove_tags(f"{archkit_registry.host}/app:1", dry_run=True)
    assert sorted(found.removed) == sorted([STAGING, *PARTS])
    assert everything(archkit_registry) == before
    assert not archkit_registry.log.where(method="DELETE")
    assert str(found) == f"{archkit_registry.host}/app\n  would be removed: {', '.join(found.removed)}"


def test_the_final_tag_is_never_removed(archkit_registry: EmbeddedRegistry) -> None:
    fill(archkit_registry)
    app = f"{archkit_registry.host}/app"
    for tags, keep in ((["1"], ()), ([STAGING, "1"], ()), (["latest"], ["latest"])):
        with pytest.raises(ValueError, match="to be removed and to be kept: "):
            remove_tags(f"{app}:1", tags, keep=keep)
    assert len(archkit_registry.log) == 0
    assert sorted(remove_tags(f"{app}:1", keep=PARTS).removed) == [STAGING]


def test_without_a_final_tag_the_tags_must_be_named(archkit_registry: EmbeddedRegistry) -> None:
    fill(archkit_registry)
    app = f"{archkit_registry.host}/app"
    with pytest.raises(ValueError, match="has no tag, so say which tags to remove"):
        remove_tags(app)
    with pytest.raises(TypeError, match="not one text"):
        remove_tags(app, "latest")
    assert remove_tags(app, ["latest", "none", "latest"]).absent == ("none",)
    assert "latest" not in archkit_registry.tags("app")


@pytest.mark.parametrize("status", [401, 403, 409])
def test_what_the_registry_forbids_is_left_and_says_why(archkit_registry: EmbeddedRegistry, status: int) -> None:
    fill(archkit_registry)
    archkit_registry.on("DELETE", reference=PARTS[0]).answer(status, body="the tag is locked")
    found = remove_tags(f"{archkit_registry.host}/app:1")
    assert found.left == (PARTS[0],)
    assert sorted(found.removed) == sorted([STAGING, PARTS[1]])
    assert "the tag is locked" in found.findings[0].message


def test_a_registry_that_does_not_take_back_what_it_dropped_is_an_error() -> None:
    with EmbeddedRegistry(rules=RepositoryRules(tag_delete="manifest")) as registry:
        fill(registry)
        registry.on("PUT", kind="manifest").answer(500)
        lost = str(registry.resolve("app:1"))
        with RegistryClient(retries=Retries(attempts=2, first_wait=0)) as client, pytest.raises(RegistryError, match="HTTP 500") as caught:
            remove_tags(f"{registry.host}/app:1", [STAGING], client)
        assert f"dropped {lost}, 1, latest together with the tag {STAGING}, and does not take that back" in str(caught.value)
        assert "push the image again" in str(caught.value)


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_deletion_that_ends_in_an_error_is_judged_by_what_is_there(*, carried_out: bool) -> None:
    with EmbeddedRegistry() as registry:
        fill(registry)
        rule = registry.on("DELETE", kind="manifest")
        if carried_out:
            rule.tamper(lambda _: Response(500, {}, b"out of sorts"))
        else:
            rule.answer(500, body="out of sorts")
        with RegistryClient(retries=Retries(attempts=1)) as client:
            found = remove_tags(f"{registry.host}/app:1", [STAGING], client)
        assert (found.removed, found.left) == (((STAGING,), ()) if carried_out else ((), (STAGING,)))
        assert carried_out or "out of sorts" in found.findings[0].message


def test_tags_that_may_not_be_listed_are_not_removed() -> None:
    with EmbeddedRegistry() as registry:
        fill(registry)
        registry.on("GET", kind="tags").answer(403)
        registry.on("DELETE").never()
        assert remove_tags(f"{registry.host}/app:1", [STAGING]).left == (STAGING,)


def test_a_layout_loses_the_tags_and_nothing_else(tmp_path: Path) -> None:
    layout = OciLayout(tmp_path)
    for platform, tag in zip(TWO, PARTS, strict=True):
        ImageFactory(layout).push(f"registry.test/app:{tag}", platform)
    image = ImageFactory(layout).push("registry.test/app:1", TWO)
    found = remove_tags("registry.test/app:1", registry=layout)
    assert (sorted(found.removed), found.absent) == (PARTS, (STAGING,))
    assert list(layout.tags("registry.test/app")) == ["1"]
    assert verify(f"oci:{tmp_path}:1", content=True).digest == image.digest
