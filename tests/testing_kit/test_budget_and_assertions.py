"""What work may cost, what the log says of it, and assertions about images."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from archkit import DefectiveImageError, IndexStitcher, OciLayout, Platform, RegistryClient, RegistryError
from archkit.testing import (
    BasicAuth,
    BearerAuth,
    EmbeddedRegistry,
    Exchange,
    ExchangeLog,
    ImageFactory,
    Request,
    assert_index,
    assert_runs_on,
)

if TYPE_CHECKING:
    from pathlib import Path

    from archkit.testing import Auth

TWO = ["linux/amd64", "linux/arm64"]


# ---- budget -----------------------------------------------------------------------------------------------------


def test_a_stitch_keeps_its_budget(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    parts = [str(archkit_images.push(f"app:{number}", name).reference) for number, name in enumerate(TWO)]
    with RegistryClient() as client, archkit_registry.budget(requests=5, round_trips=3, pace=0.4) as spent:
        IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
    assert dict(spent.counts) == {"GET manifest": 2, "GET blob": 2, "PUT manifest": 1}
    assert (len(spent), spent.round_trips, spent.connections) == (5, 3, 2)


def test_what_costs_more_fails_with_a_table(archkit_registry: EmbeddedRegistry) -> None:
    client = archkit_registry.client()
    with (
        pytest.raises(AssertionError, match="3 requests came, 2 at most were expected; 3 round trips came, 1 at most") as caught,
        archkit_registry.budget(requests=2, round_trips=1, pace=0.001),
    ):
        for tag in "abc":
            client.head(f"{archkit_registry.host}/app:{tag}")
    lines = str(caught.value).splitlines()[2:]
    assert [line[0] for line in lines] == [" ", " ", ">"]
    assert [line.rsplit("/", 1)[1] for line in lines] == ["a", "b", "c"]


def test_an_error_of_the_work_itself_comes_first(archkit_registry: EmbeddedRegistry) -> None:
    with pytest.raises(ZeroDivisionError), archkit_registry.budget(requests=0):
        archkit_registry.client().head(f"{archkit_registry.host}/app:1")
        raise ZeroDivisionError


def test_nothing_is_slower_where_only_requests_are_counted(archkit_registry: EmbeddedRegistry) -> None:
    with archkit_registry.budget(requests=5, pace=30):
        archkit_registry.client().head(f"{archkit_registry.host}/app:1")
    with archkit_registry.budget(round_trips=1, pace=0.05):
        started = time.monotonic()
        archkit_registry.client().head(f"{archkit_registry.host}/app:1")
    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize(
    ("times", "trips"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 1), (1, 2)], 2),
        ([(0, 2), (1, 3)], 1),
        ([(0, 2), (1, 3), (2, 4)], 2),
        ([(0, 9), (0, 1), (1, 2), (2, 3)], 3),
    ],
)
def test_a_round_trip_is_what_waits_for_the_one_before(times: list[tuple[float, float]], trips: int) -> None:
    log = ExchangeLog([Exchange("GET", "/", "blob", "", "", 200, 0, 0, end - start, start) for start, end in times])
    assert log.round_trips == trips


def test_requests_at_the_same_time_are_one_round_trip(archkit_registry: EmbeddedRegistry) -> None:
    with RegistryClient() as client, ThreadPoolExecutor(4) as pool, archkit_registry.budget(requests=4, round_trips=1, pace=0.5):
        list(pool.map(lambda number: client.head(f"{archkit_registry.host}/app:{number}"), range(4)))


# ---- the log ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [BasicAuth("bob", "secret"), BearerAuth("bob", "secret")], ids=["basic", "bearer"])
def test_the_log_says_who_asked(auth: Auth) -> None:
    with EmbeddedRegistry(auth=auth) as registry:
        registry.client().tags(f"{registry.host}/app")
        assert [exchange.user for exchange in registry.log if exchange.kind == "tags"] == ["", "bob"]
        assert "secret" not in repr(registry.log)


def test_secrets_in_a_query_are_masked(archkit_registry: EmbeddedRegistry) -> None:
    for name in ("access_token", "password", "X-Amz-Signature", "sig", "client_secret"):
        archkit_registry.handle(Request("GET", f"/v2/app/tags/list?n=3&{name}=hunter2&last=a"))
    assert "hunter2" not in repr(archkit_registry.log)
    assert archkit_registry.log[0].path == "/v2/app/tags/list?n=3&access_token=***&last=a"


# ---- strict both ways ----------------------------------------------------------------------------------------------


def test_a_request_that_must_never_come_fails_the_test(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    archkit_images.push("app:1", "linux/amd64")
    archkit_registry.on("DELETE").never()
    archkit_registry.on("PUT").never()
    assert archkit_registry.client().delete_tag(f"{archkit_registry.host}/app:1")
    with pytest.raises(AssertionError, match=r"or forbade some that came:\n  on\('DELETE'\)\.never\(\) met 1 requests\nwhat came:"):
        archkit_registry.check()
    archkit_registry.check()


def test_tls_is_a_word() -> None:
    with EmbeddedRegistry(tls=True, auth=BasicAuth()) as registry:
        assert registry.url.startswith("https:")
        ImageFactory(registry.client()).push(f"{registry.host}/app:1", TWO)
        assert_index("app:1", TWO, registry)
    with EmbeddedRegistry(tls=False) as registry:
        assert registry.url.startswith("http:")


# ---- assertions -------------------------------------------------------------------------------------------------


def test_an_index_of_the_platforms_wanted(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tmp_path: Path) -> None:
    made = archkit_images.push("app:1", TWO, attestations=True)
    assert assert_index("app:1", "linux/arm64,linux/amd64", archkit_registry).digest == made.digest
    assert_index(made.reference, TWO, archkit_registry.client(), in_order=True)
    ImageFactory(OciLayout(tmp_path)).push("registry.test/app:1", TWO)
    assert_index(f"oci:{tmp_path}:1", TWO)
    assert_index(f"oci:{tmp_path}:1", TWO, archkit_registry)


def test_other_platforms_than_wanted_are_shown_in_a_table(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    archkit_images.push("app:1", TWO)
    with pytest.raises(AssertionError) as caught:
        assert_index("app:1", ["linux/amd64", "linux/s390x"], archkit_registry)
    assert [line.split() for line in str(caught.value).splitlines()[1:]] == [
        ["platform", "wanted", "there"],
        ["linux/amd64", "yes", "yes"],
        [">", "linux/s390x", "yes", "no"],
        [">", "linux/arm64", "no", "yes"],
    ]
    with pytest.raises(AssertionError, match="in another order"):
        assert_index("app:1", [*reversed(TWO)], archkit_registry, in_order=True)
    archkit_images.push("app:2", "linux/amd64")
    with pytest.raises(AssertionError, match="is no index, but a single image for linux/amd64; wanted was an index of linux/amd64"):
        assert_index("app:2", "linux/amd64", archkit_registry)
    with pytest.raises(RegistryError):
        assert_index("app:3", TWO, archkit_registry)


@pytest.mark.parametrize(
    ("platforms", "node", "found"),
    [
        (TWO, "linux/arm64", "linux/arm64"),
        (["linux/arm/v6"], "linux/arm/v7", "linux/arm/v6"),
        (["linux/386"], "linux/amd64", "linux/386"),
    ],
)
def test_an_image_that_runs_on_a_node(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, platforms: list[str], node: str, found: str
) -> None:
    archkit_images.push("app:1", platforms)
    assert assert_runs_on("app:1", node, archkit_registry) == Platform.parse(found)


def test_an_image_that_does_not_run_on_a_node(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    archkit_images.push("app:1", TWO)
    with pytest.raises(AssertionError, match="has no image that runs on linux/s390x; there are\n> linux/amd64\n> linux/arm64"):
        assert_runs_on("app:1", "linux/s390x", archkit_registry)
    archkit_images.push("app:lies", TWO, elf={"linux/arm64": "amd64"})
    with pytest.raises(DefectiveImageError, match="starts a program for amd64"):
        assert_runs_on("app:lies", Platform.parse("linux/arm64"), archkit_registry)
