"""What an image will be called."""

from __future__ import annotations

import pytest

from archkit import ArchkitError, BuildError, LayoutSink, ReferenceSyntaxError, RegistrySink
from archkit.planning.names import final_reference, writes_registry


@pytest.mark.parametrize(
    ("image", "default_repo", "expected"),
    [
        pytest.param("web", "127.0.0.1:5000", "127.0.0.1:5000/web:1", id="a name below a registry"),
        pytest.param("team/web", "ghcr.io/shop", "ghcr.io/shop/team/web:1", id="its path stays"),
        pytest.param("gcr.io/k8s-skaffold/web", "ghcr.io/shop", "ghcr.io/shop/gcr_io_k8s_skaffold_web:1", id="a registry is flattened"),
        pytest.param("localhost:5000/a__b", "ghcr.io/shop", "ghcr.io/shop/localhost_5000_a_b:1", id="runs become one line"),
        pytest.param("ghcr.io/shop/web", "ghcr.io/shop", "ghcr.io/shop/web:1", id="what stands there already stays"),
        pytest.param("ghcr.io/shop/web", "ghcr.io/shop/", "ghcr.io/shop/web:1", id="a slash at the end"),
        pytest.param("ghcr.io/shop/web", None, "ghcr.io/shop/web:1", id="a full name"),
        pytest.param("docker.io/team/web", None, "docker.io/team/web:1", id="Docker Hub when it is written out"),
        pytest.param("ko://github.com/Team/app/cmd/web", "ghcr.io/shop", "ghcr.io/shop/github_com_team_app_cmd_web:1", id="ko's names"),
        pytest.param("ko://shop/cmd/web", "ghcr.io/shop", "ghcr.io/shop/shop/cmd/web:1", id="ko's names without host"),
    ],
)
def test_final_reference(image: str, default_repo: str | None, expected: str) -> None:
    assert str(final_reference(image, RegistrySink(default_repo), "1")) == expected


def test_a_layout_needs_no_registry() -> None:
    assert final_reference("web", LayoutSink("x"), "1").familiar == "web:1"


@pytest.mark.parametrize(
    ("image", "default_repo", "tag", "error", "names"),
    [
        pytest.param("web", None, "1", BuildError, ["web", "Docker Hub", "default_repo"], id="a name without registry"),
        pytest.param("team/web", None, "1", BuildError, ["team/web"], id="a path without registry"),
        pytest.param("web:2", "ghcr.io/x", "1", BuildError, ["web:2", "tag"], id="a name with a tag"),
        pytest.param("ko://github.com/a/b", None, "1", BuildError, ["ko://github.com/a/b", "default_repo"], id="ko's names go nowhere"),
        pytest.param("Web", "ghcr.io/x", "1", ReferenceSyntaxError, ["Web", "lower case"], id="capital letters"),
        pytest.param("web", "team", "1", ReferenceSyntaxError, ["team", "registry host"], id="a default_repo without host"),
        pytest.param("web", "ghcr.io/x", "a b", ReferenceSyntaxError, ["a b"], id="not a tag"),
        pytest.param("web", "ghcr.io/x", "", ReferenceSyntaxError, ["tag"], id="an empty tag"),
        pytest.param("", "ghcr.io/x", "1", ReferenceSyntaxError, ["''"], id="an empty name"),
    ],
)
def test_refused_names(image: str, default_repo: str | None, tag: str, error: type[ArchkitError], names: list[str]) -> None:
    with pytest.raises(error) as caught:
        final_reference(image, RegistrySink(default_repo), tag)

    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize(
    ("image", "expected"),
    [("web", False), ("team/web", False), ("localhost/web", True), ("ghcr.io/web", True), ("host:5000/web", True), ("Host/web", True)],
)
def test_writes_registry(image: str, expected: bool) -> None:
    assert writes_registry(image) is expected
