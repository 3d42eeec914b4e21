"""The fixtures, in pytest runs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from archkit import PlatformSet

if TYPE_CHECKING:
    import pytest

    from archkit.testing import EmbeddedRegistry, ImageFactory


def run(tmp_path: Path, source: str, *options: str) -> str:
    """What pytest prints about a test file, in a folder and a process of their own."""
    (tmp_path / "test_it.py").write_text(textwrap.dedent(source))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(tmp_path), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_", "COV_"))}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False).stdout


def test_a_registry_for_one_test(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    archkit_images.push("team/app:1", ["linux/amd64", "linux/arm64"])
    assert archkit_registry.client().platforms(f"{archkit_registry.host}/team/app:1") == PlatformSet("linux/amd64,linux/arm64")


def test_the_next_test_has_an_empty_one(archkit_registry: EmbeddedRegistry) -> None:
    assert archkit_registry.tags("team/app") == []


def test_credentials_of_the_person_are_out_of_sight(archkit_registry: EmbeddedRegistry) -> None:
    folder = Path(os.environ["DOCKER_CONFIG"])
    assert list(folder.iterdir()) == []
    assert Path(os.environ["REGISTRY_AUTH_FILE"]).parent == folder
    assert "DOCKER_AUTH_CONFIG" not in os.environ


def test_the_environment_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", "/mine")
    out = run(
        tmp_path,
        """
        import os

        def test_inside(archkit_registry):
            assert os.environ["DOCKER_CONFIG"] != "/mine"

        def test_afterwards():
            assert os.environ["DOCKER_CONFIG"] == "/mine"
        """,
    )
    assert "2 passed" in out


def test_a_rule_that_nothing_met_fails_the_test_itself(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        def test_strict(archkit_registry):
            archkit_registry.on("PUT", kind="manifest").answer(500)

        def test_optional(archkit_registry):
            archkit_registry.on("PUT", kind="manifest").answer(500).optional()

        def test_failing_anyway(archkit_registry):
            archkit_registry.on("PUT", kind="manifest").answer(500)
            assert not "the test's own failure"
        """,
        "-rN",
    )
    assert "2 failed, 1 passed" in out
    assert "error" not in out.splitlines()[-1]
    assert out.count("rules that waited for requests which did not come") == 1
    assert "the test's own failure" in out


def test_the_fixtures_are_listed_with_what_they_are(tmp_path: Path) -> None:
    out = run(tmp_path, "", "--fixtures")
    assert "archkit_registry" in out
    assert "An embedded registry for this test alone." in out
    assert "archkit_images" in out


CLUSTER = """
    import os
    from pathlib import Path

    def test_a_cluster_for_one_test(archkit_cluster):
        archkit_cluster.add_node("linux/arm64")
        assert [node["metadata"]["name"] for node in archkit_cluster.objects("nodes")] == ["node-1"]
        assert Path(os.environ["KUBECONFIG"]) == archkit_cluster.kubeconfig
        assert "KUBERNETES_SERVICE_HOST" not in os.environ

    def test_the_next_test_has_an_empty_one(archkit_cluster):
        assert archkit_cluster.objects("nodes") == []

    def test_its_nodes_pull_from_the_registry_of_the_test(archkit_cluster, archkit_registry, archkit_images):
        archkit_images.push("app:1", ["linux/amd64", "linux/arm64"])
        archkit_cluster.add_node("linux/s390x")
        spec = {"containers": [{"name": "app", "image": f"{archkit_registry.host}/app:1"}]}
        archkit_cluster.load({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec})
        assert archkit_cluster.get("Pod", "one")["status"]["phase"] == "Pending"
"""


def test_a_cluster_for_each_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/mine")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    after = """
    def test_the_environment_comes_back():
        assert os.environ["KUBECONFIG"] == "/mine"
        assert os.environ["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"
    """
    assert "4 passed" in run(tmp_path, CLUSTER + after)


def test_a_rule_of_a_cluster_is_strict_too_and_its_log_is_shown(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        import pytest
        from archkit.testing import Request

        @pytest.fixture
        def archkit_cluster_options():
            return {"version": "v1.33.0"}

        def test_strict(archkit_cluster):
            archkit_cluster.on("GET", resource="nodes").answer(500)
            assert b"v1.33.0" in archkit_cluster.handle(Request("GET", "/version")).body
        """,
    )
    assert "1 failed" in out
    assert "on('GET', resource='nodes').answer(500) met 0 requests" in out
    assert "- archkit_cluster -" in out
    assert "GET    /version" in out


def test_tests_run_side_by_side(tmp_path: Path) -> None:
    """Two workers of pytest-xdist, every kit in use at the same time."""
    more = """
    import pytest

    @pytest.mark.parametrize("number", range(12))
    def test_kits_of_their_own(number, archkit_registry, archkit_images, archkit_cluster):
        archkit_images.push("app:1", ["linux/amd64"])
        archkit_cluster.add_node(count=number)
        client = archkit_registry.client()
        assert client.tags(f"{archkit_registry.host}/app") == ["1"]
        assert len(archkit_cluster.objects("nodes")) == number
        Path(f"ports-{number}").write_text(f"{archkit_registry.host} {archkit_cluster.host}")

    @pytest.mark.parametrize("number", range(4))
    def test_failures_come_back_whole(number, archkit_registry):
        archkit_registry.on("PUT").answer(500)
    """
    out = run(tmp_path, CLUSTER + more, "-n", "2")
    assert "4 failed, 15 passed" in out, out
    assert out.count("rules that waited for requests which did not come") >= 4
    assert len(list(tmp_path.glob("ports-*"))) == 12


def test_an_unused_plugin_loads_nothing_of_archkit(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        import sys

        def test_loaded():
            loaded = {name for name in sys.modules if name.split(".")[0] in {"archkit", "attrs", "attr", "urllib3", "yaml", "kubernetes"}}
            assert loaded == {"archkit", "archkit._version", "archkit.pytest_plugin"}
        """,
    )
    assert "1 passed" in out, out


def test_what_came_is_shown_beside_a_failure_only(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        def test_failing(archkit_registry):
            for number in range(70):
                archkit_registry.client().head(f"{archkit_registry.host}/app:{number}")
            assert not "enough"

        def test_passing(archkit_registry):
            archkit_registry.client().head(f"{archkit_registry.host}/other:1")
        """,
    )
    assert "1 failed, 1 passed" in out
    assert "- archkit_registry -" in out
    assert "/v2/app/manifests/69" in out
    assert "... 11 lines are left out" in out
    assert "/v2/app/manifests/9\n" not in out
    assert "/v2/other/" not in out


def test_a_module_says_how_its_registry_is_made(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        import pytest
        from archkit.testing import BasicAuth

        @pytest.fixture
        def archkit_registry_options():
            return {"auth": BasicAuth("bob", "secret"), "delete": False}

        def test_it(archkit_registry, archkit_images):
            archkit_images.push("app:1", "linux/amd64")
            assert not archkit_registry.client().delete_tag(f"{archkit_registry.host}/app:1")
            assert archkit_registry.log[-1].user == "bob"
        """,
    )
    assert "1 passed" in out
