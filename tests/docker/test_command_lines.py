"""The command lines of Docker builds, and what stays out of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from archkit import BuildError, PlatformSet, Secret
from archkit.planning.docker_command import DockerOptions, image_output, layout_output

PLAIN = DockerOptions(Path("/src/Dockerfile"), "", {}, {}, (), (), (), {}, {}, None, None, "", True)
BOTH = PlatformSet("linux/amd64,linux/arm64")
ONE = PlatformSet("linux/arm64")
HEAD = ["--platform", "linux/arm64", "--pull", "--file", "/src/Dockerfile"]


def options(**changes: Any) -> DockerOptions:
    return attrs.evolve(PLAIN, **changes)


def test_what_each_form_gets_without_options() -> None:
    assert PLAIN.words(ONE, "classic") == [*HEAD, "--force-rm"]
    assert PLAIN.words(ONE, "buildx") == [*HEAD, "--progress", "plain", "--provenance=false"]
    assert PLAIN.words(ONE, "podman") == ["--platform", "linux/arm64", "--pull=always", "--file", "/src/Dockerfile"]
    assert PLAIN.words(BOTH, "buildx")[:2] == ["--platform", "linux/amd64,linux/arm64"]
    assert "--pull" not in options(pull=False).words(ONE, "classic")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": "t"}, ["--target", "t"]),
        ({"labels": {"a": "b c"}}, ["--label", "a=b c"]),
        ({"annotations": {"index:a": "b"}}, ["--annotation", "index:a=b"]),
        ({"ssh": ("default",)}, ["--ssh", "default"]),
        ({"cache_from": ("type=registry,ref=r/c:{platform}",)}, ["--cache-from", "type=registry,ref=r/c:linux_arm64"]),
        ({"cache_to": ("type=inline",)}, ["--cache-to", "type=inline"]),
        ({"network": "host"}, ["--network", "host"]),
        ({"sbom": True}, ["--sbom=true"]),
        ({"provenance": "mode=max"}, ["--provenance=mode=max"]),
        ({"secrets": {"key": Path("/a,b")}}, ["--secret", 'id=key,"src=/a,b"']),
    ],
)
def test_each_option(changes: dict[str, Any], words: list[str]) -> None:
    found = options(**changes).words(ONE, "buildx")
    assert any(found[at : at + len(words)] == words for at in range(len(found)))


def test_values_go_through_the_environment() -> None:
    given = options(build_args={"VERSION": "1", "API_TOKEN": "t", "KEY": Secret("k")}, secrets={"npm": Secret("s")})
    words = given.words(ONE, "buildx")
    assert [words[at + 1] for at, word in enumerate(words) if word == "--build-arg"] == ["VERSION", "API_TOKEN", "KEY"]
    assert words[words.index("--secret") + 1] == "id=npm,env=ARCHKIT_SECRET_0"
    environment = given.environment()
    assert environment == {"VERSION": "1", "API_TOKEN": "t", "KEY": "k", "ARCHKIT_SECRET_0": "s"}
    assert {name for name, value in environment.items() if isinstance(value, Secret)} == {"API_TOKEN", "KEY", "ARCHKIT_SECRET_0"}


@pytest.mark.parametrize("name", ["PATH", "HOME", "DOCKER_HOST", "HTTP_PROXY", "no_proxy", "BUILDX_BUILDER", "LD_PRELOAD"])
def test_an_argument_does_not_change_the_client(name: str) -> None:
    given = options(build_args={name: "x"})
    assert name not in given.environment()
    assert f"{name}=x" in given.words(ONE, "classic")
    given.refuse_exposed("app")
    with pytest.raises(BuildError, match=f"the build argument {name} is a secret"):
        options(build_args={name: Secret("x")}).refuse_exposed("app")


@pytest.mark.parametrize("name", ["DOCKER_PASSWORD", "DOCKER_AUTH_CONFIG"])
def test_an_argument_that_is_called_like_a_secret_is_none_for_the_command_line(name: str) -> None:
    with pytest.raises(BuildError, match="mount it instead"):
        options(build_args={name: "x"}).refuse_exposed("app")


def test_what_needs_buildkit() -> None:
    assert PLAIN.needs_buildkit() == PLAIN.needs_exporter() == ()
    given = options(secrets={"a": Secret("b")}, ssh=("default",), cache_to=("x",), annotations={"a": "b"}, provenance=True, sbom=True)
    assert given.needs_buildkit() == ("secrets", "ssh", "cache_to", "annotations", "provenance", "sbom")
    assert given.needs_exporter() == ("annotations", "provenance", "sbom")


def test_outputs() -> None:
    assert image_output("r.example/a") == ["--output", "type=image,name=r.example/a,push=true,push-by-digest=true,name-canonical=true"]
    assert image_output("r.example/a:t", by_digest=False) == ["--output", "type=image,name=r.example/a:t,push=true,store=false"]
    assert layout_output(Path("/x")) == ["--output", "type=oci,dest=/x,tar=false"]
