"""What was found of Docker, and which way it builds then."""

from __future__ import annotations

import pytest

from archkit import EngineInfo, Platform, PlatformSet
from archkit.planning.docker import BuilderFacts, BuilderNode, DockerFacts, buildx_version, pushed_digest, too_old
from archkit.planning.emulation import BuildMachine

AMD, ARM = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
REMOTE = """\
Name:          rem
Driver:        remote
Last Activity: 2026-11-24 15:12:53 +0000 UTC

Nodes:
Name:             rem0
Endpoint:         unix:///run/b
Status:           running
BuildKit version: v0.34.2
Platforms:        linux/amd64, linux/amd64/v2, linux/arm64, linux/386
Labels:
 org.mobyproject.buildkit.worker.executor:         oci
GC Policy rule#0:
 All:            false
 Filters:        type==source.local
Name:     rem1
Endpoint: tcp://arm:1234
Status:   inactive
"""


def engine(version: str = "20.10", *, holds_index: bool = False) -> EngineInfo:
    return EngineInfo("docker", version, AMD, holds_index)


def builder(driver: str, *nodes: str) -> BuilderFacts:
    return BuilderFacts(
        "b", driver, tuple(BuilderNode(f"n{at}", "", "running", "", tuple(PlatformSet.parse(one))) for at, one in enumerate(nodes))
    )


def test_inspect_is_read() -> None:
    found = BuilderFacts.parse(REMOTE)
    assert (found.name, found.driver) == ("rem", "remote")
    first, second = found.nodes
    platforms = tuple(map(Platform.parse, ["linux/amd64", "linux/amd64/v2", "linux/arm64", "linux/386"]))
    assert first == BuilderNode("rem0", "unix:///run/b", "running", "v0.34.2", platforms)
    assert second == BuilderNode("rem1", "tcp://arm:1234", "inactive")


def test_a_platform_that_was_chosen_has_a_star_and_one_that_is_unknown_is_left_out() -> None:
    found = BuilderFacts.parse("Name: a\nDriver: docker-container\n\nNodes:\nName: a0\nPlatforms: linux/arm64*, linux/unheard-of\n")
    assert found.nodes[0].platforms == (ARM,)


@pytest.mark.parametrize(
    ("facts", "way", "note"),
    [
        pytest.param(DockerFacts(engine=engine()), "classic", "docker 20.10 (linux/amd64) has no buildx plugin", id="no-buildx"),
        pytest.param(
            DockerFacts(engine=EngineInfo("podman", "4.3", AMD)), "classic", "podman 4.3 (linux/amd64) has no BuildKit", id="podman"
        ),
        pytest.param(
            DockerFacts("0.38.2", builder("docker", "linux/amd64"), engine()),
            "docker-driver",
            "keeps one platform per image: one platform at a time, each pushed beside the next build",
            id="docker-driver",
        ),
        pytest.param(
            DockerFacts("0.38.2", builder("docker", "linux/amd64"), engine("29.0", holds_index=True)),
            "native",
            "with containerd's image store) builds several platforms in one call",
            id="containerd-store",
        ),
        pytest.param(
            DockerFacts("0.38.2", builder("remote", "linux/amd64,linux/arm64")),
            "native",
            "builder 'b' (remote driver) builds several platforms in one call, pushed by digest; n0: linux/amd64, linux/arm64",
            id="remote",
        ),
        pytest.param(
            DockerFacts("0.38.2", BuilderFacts("b", "kubernetes", (BuilderNode("k"),))),
            "native",
            "k: platforms not known before it runs",
            id="not-started",
        ),
    ],
)
def test_the_way_and_why(facts: DockerFacts, way: str, note: str) -> None:
    assert facts.way == way
    assert note in facts.notes()[0]


def test_the_default_is_that_of_the_machine_that_builds() -> None:
    arm_engine = EngineInfo("docker", "28", ARM)
    assert DockerFacts(engine=arm_engine).default == ARM
    assert DockerFacts("1", builder("remote", "linux/arm64,linux/amd64")).default == ARM
    assert DockerFacts("1", BuilderFacts("b", "remote", (BuilderNode("n"),))).default is None


def test_the_node_whose_own_platform_it_is_builds() -> None:
    facts = DockerFacts("1", builder("remote", "linux/amd64,linux/arm64", "linux/arm64"))
    assert facts.build_platform(ARM) == ARM
    assert facts.build_platform(AMD) == AMD
    assert facts.build_platform(Platform.parse("linux/s390x")) == AMD
    assert DockerFacts("1", builder("remote", "linux/amd64,linux/arm64")).build_platform(ARM) == AMD


def test_machines() -> None:
    here = BuildMachine(AMD, (ARM,))
    assert DockerFacts(engine=engine(), engine_is_here=True).machines(here) == (here,)
    (elsewhere,) = DockerFacts(engine=engine()).machines(here)
    assert (elsewhere.verdict(AMD), elsewhere.verdict(ARM)) == ("native", "unknown")
    (node,) = DockerFacts("1", builder("remote", "linux/amd64,linux/arm64")).machines(here)
    assert (node.verdict(ARM), node.verdict(Platform.parse("linux/s390x"))) == ("emulated", "missing")
    local = BuilderFacts("b", "remote", (BuilderNode("n", "unix:///x", platforms=(AMD,)),))
    assert DockerFacts("1", local).machines(here)[1] == here
    assert DockerFacts("1", BuilderFacts("b", "remote", (BuilderNode("n"),))).machines(None) == ()


@pytest.mark.parametrize(
    ("text", "version", "old"),
    [
        ("github.com/docker/buildx v0.38.2 abc", "0.38.2", False),
        ("github.com/docker/buildx 0.9.1+ds1 abc", "0.9.1+ds1", True),
        ("github.com/docker/buildx v0.10.0", "0.10.0", False),
        ("github.com/docker/buildx dev", "", False),
    ],
)
def test_versions_of_buildx(text: str, version: str, old: bool) -> None:
    assert buildx_version(text) == version
    assert too_old(version) is old


def test_the_digest_of_a_push_is_in_its_last_lines() -> None:
    digest = "sha256:" + "a" * 64
    assert pushed_digest(["8669: Pushed", f"v1: digest: {digest} size: 735"]) == digest
    assert pushed_digest(["Getting image source signatures"]) is None
