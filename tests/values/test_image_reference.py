"""ImageReference and Digest: the grammar that every engine uses, Docker Hub's short forms filled in."""

from __future__ import annotations

import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import Digest, ImageReference, ReferenceSyntaxError

HEX = "0123456789abcdef" * 4
SHA = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        pytest.param("nginx", "docker.io", "library/nginx", None, None, id="official"),
        pytest.param("nginx:1.25", "docker.io", "library/nginx", "1.25", None, id="official with a tag"),
        pytest.param("team/app", "docker.io", "team/app", None, None, id="on the hub"),
        pytest.param("docker.io/nginx", "docker.io", "library/nginx", None, None, id="hub written out"),
        pytest.param("index.docker.io/nginx", "docker.io", "library/nginx", None, None, id="the hub's old name"),
        pytest.param(
            "registry-1.docker.io/library/nginx", "registry-1.docker.io", "library/nginx", None, None, id="the hub's API host stays"
        ),
        pytest.param("ghcr.io/team/app:v1", "ghcr.io", "team/app", "v1", None, id="a host has a dot"),
        pytest.param("localhost/app", "localhost", "app", None, None, id="or is localhost"),
        pytest.param("127.0.0.1:5000/web:1.4", "127.0.0.1:5000", "web", "1.4", None, id="or a port"),
        pytest.param("Registry/app", "Registry", "app", None, None, id="or a capital letter"),
        pytest.param("[::1]:5000/app", "[::1]:5000", "app", None, None, id="or is an IPv6 address"),
        pytest.param("a:5000", "docker.io", "library/a", "5000", None, id="without a slash it is a tag"),
        pytest.param("a/b/c/d", "docker.io", "a/b/c/d", None, None, id="a deep path"),
        pytest.param(f"web@{SHA}", "docker.io", "library/web", None, SHA, id="by digest"),
        pytest.param(f"x.io/web:1@{SHA}", "x.io", "web", "1", SHA, id="tag and digest"),
        pytest.param(f"web@sha512:{HEX * 2}", "docker.io", "library/web", None, f"sha512:{HEX * 2}", id="sha512"),
        pytest.param("a__b/c--d/e.f", "docker.io", "a__b/c--d/e.f", None, None, id="separators"),
        pytest.param("x.io/" + "a" * 255, "x.io", "a" * 255, None, None, id="longest path"),
        pytest.param("web:" + "t" * 128, "docker.io", "library/web", "t" * 128, None, id="longest tag"),
        pytest.param("web:_A-b.1", "docker.io", "library/web", "_A-b.1", None, id="a tag of everything"),
        pytest.param(f"{HEX[1:]}", "docker.io", f"library/{HEX[1:]}", None, None, id="63 hexadecimal digits"),
    ],
)
def test_parse(text: str, registry: str, repository: str, tag: str | None, digest: str | None) -> None:
    reference = ImageReference.parse(text)
    assert (reference.registry, reference.repository, reference.tag, reference.digest) == (registry, repository, tag, digest)
    assert ImageReference.parse(str(reference)) == reference
    assert ImageReference.parse(reference.familiar) == reference


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "not a repository name", id="empty"),
        pytest.param(":tag", "not a repository name", id="only a tag"),
        pytest.param("Nginx", "must be lower case", id="capital"),
        pytest.param("x.io/Team/app", "must be lower case", id="capital in the path"),
        pytest.param("a..b", "not a repository name", id="two dots"),
        pytest.param("a___b", "not a repository name", id="three underscores"),
        pytest.param("-a", "not a repository name", id="dash first"),
        pytest.param("a//b", "not a repository name", id="empty part"),
        pytest.param("a b", "not a repository name", id="blank"),
        pytest.param("nginx ", "not a repository name", id="blank at the end"),
        pytest.param("nginx\n", "not a repository name", id="line end"),
        pytest.param("nginx:", "not a tag", id="empty tag"),
        pytest.param("nginx:-a", "not a tag", id="dash in front of a tag"),
        pytest.param("nginx:" + "t" * 129, "not a tag", id="tag too long"),
        pytest.param("nginx:1:2", "not a tag", id="two tags"),
        pytest.param("x.io/" + "a" * 256, "longer than 255", id="path too long"),
        pytest.param("foo_bar.com/app", "not a registry host", id="underscore in a host"),
        pytest.param("x.io:port/app", "not a registry host", id="no port"),
        pytest.param("[fe80::1%eth0]/app", "not a registry host", id="IPv6 zone"),
        pytest.param("https://x.io/app", "not a registry host", id="an URL"),
        pytest.param(HEX, "an image id", id="64 hexadecimal digits"),
        pytest.param("web@", "not a digest", id="empty digest"),
        pytest.param(f"web@sha256:{HEX[1:]}", "not a digest", id="short digest"),
        pytest.param(f"web@sha256:{HEX.upper()}", "not a digest", id="digest in capitals"),
        pytest.param(f"web@md5:{HEX}", "not a digest", id="another algorithm"),
        pytest.param(f"web@{SHA}:tag", "not a digest", id="tag behind the digest"),
    ],
)
def test_what_is_no_reference_is_refused_by_its_name(text: str, reason: str) -> None:
    with pytest.raises(ReferenceSyntaxError) as caught:
        ImageReference.parse(text)
    assert caught.value.text == text
    assert repr(text) in str(caught.value)
    assert reason in caught.value.reason
    assert "for example ghcr.io/team/app:1.2" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("docker.io/library/nginx:1.25", "nginx:1.25"),
        ("docker.io/team/app", "team/app"),
        ("docker.io/library/a/b", "library/a/b"),
        ("docker.io/team.io/app", "docker.io/team.io/app"),
        ("docker.io/library/team.io", "team.io"),
        (f"ghcr.io/team/app:1@{SHA}", f"ghcr.io/team/app:1@{SHA}"),
    ],
)
def test_the_familiar_form_is_the_shortest(text: str, familiar: str) -> None:
    assert ImageReference.parse(text).familiar == familiar


component = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True)
hosts = st.sampled_from(["docker.io", "localhost", "localhost:5000", "ghcr.io", "10.0.0.1:80", "[::1]:5000", "Host", "a-b.example"])
paths = st.lists(component, min_size=1, max_size=4).map("/".join)
tags = st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)
digests = st.none() | st.binary(max_size=4).map(Digest.of)


@given(hosts, paths, tags, digests)
def test_text_leads_back_to_the_reference(host: str, path: str, tag: str | None, digest: Digest | None) -> None:
    reference = ImageReference(host, path, tag, digest)
    assert ImageReference.parse(str(reference)) == reference
    assert ImageReference.parse(reference.familiar) == reference
    assert pickle.loads(pickle.dumps(reference)) == reference
    assert hash(ImageReference.parse(str(reference))) == hash(reference)


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_a_reference_syntax_error(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except ReferenceSyntaxError:
        return
    assert ImageReference.parse(str(reference)) == reference


def test_the_constructor_fills_in_what_the_hub_leaves_out() -> None:
    assert ImageReference("docker.io", "nginx") == ImageReference.parse("nginx") == ImageReference("index.docker.io", "nginx")


def test_one_part_is_changed_and_the_rest_stays() -> None:
    reference = ImageReference.parse(f"x.io/web:1@{SHA}")
    assert str(reference.with_tag("2")) == "x.io/web:2"
    assert str(ImageReference.parse("x.io/web:1").with_digest(SHA)) == f"x.io/web:1@{SHA}"
    assert str(reference.repository_only) == "x.io/web" == reference.name
    with pytest.raises(ReferenceSyntaxError, match="not a tag"):
        reference.with_tag("a b")
    with pytest.raises(ReferenceSyntaxError, match="not a digest"):
        reference.with_digest("latest")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:abc",
        f"sha256:{HEX.upper()}",
        f"sha512:{HEX}",
        f"md5:{HEX}",
        HEX,
        f" {SHA}",
        f"{SHA}\n",
        f"sha256:{HEX[:-1]}g",
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ReferenceSyntaxError, match="not a digest"):
        Digest(text)


def test_a_digest_is_a_text_with_two_parts() -> None:
    digest = Digest(SHA)
    assert digest == SHA
    assert (digest.algorithm, digest.hex) == ("sha256", HEX)
    assert Digest(digest) is digest
    assert type(pickle.loads(pickle.dumps(digest))) is Digest


@given(st.binary(max_size=100), st.sampled_from(["sha256", "sha384", "sha512"]))
def test_the_digest_of_bytes(content: bytes, algorithm: str) -> None:
    assert Digest.of(content, algorithm) == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
