"""pytest plugin: archkit's test kits as fixtures.

``archkit_registry`` is an :class:`archkit.testing.EmbeddedRegistry`, ``archkit_images`` an
:class:`archkit.testing.ImageFactory` that puts images into it, ``archkit_cluster`` an
:class:`archkit.testing.EmbeddedCluster`; all live for one test. While one is in use, no tool that the test starts finds
the registry credentials or the kubeconfig of the person who runs it. ``archkit_process`` is an
:class:`archkit.testing.FakeRunner`, which stands for every tool that archkit would start.

pytest loads this module in every run of an environment that has archkit installed, so it imports nothing of archkit
by itself; a fixture loads its kit when a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Protocol

    from archkit.ports.runner import Completed
    from archkit.testing import EmbeddedCluster, EmbeddedRegistry, ExchangeLog, FakeRunner, ImageFactory

    class Checked(Protocol):
        """A kit that knows after a test whether all came that it was prepared for."""

        def check(self) -> None: ...

    class Logged(Protocol):
        """A kit that keeps what it was asked."""

        log: ExchangeLog


_KITS = pytest.StashKey["list[Checked]"]()
_SERVERS = pytest.StashKey["list[tuple[str, Logged]]"]()
_MOST_LINES = 60


@pytest.fixture
def archkit_registry_options() -> dict[str, Any]:
    """What ``archkit_registry`` is made with, such as ``{"tls": True, "auth": BearerAuth()}``; override it for a module or a class."""
    return {}


@pytest.fixture
def archkit_registry(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    archkit_registry_options: dict[str, Any],
) -> Iterator[EmbeddedRegistry]:
    """An embedded registry for this test alone.

    A rule of ``on()`` that waited for requests which did not come fails the test. What came is shown beside a failure.
    """
    from archkit.testing import EmbeddedRegistry

    folder = tmp_path_factory.mktemp("archkit-credentials")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(folder / "auth.json"))
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    registry = EmbeddedRegistry(**archkit_registry_options)
    registry.start()
    request.node.stash.setdefault(_KITS, []).append(registry)
    request.node.stash.setdefault(_SERVERS, []).append(("archkit_registry", registry))
    yield registry
    registry.stop()


@pytest.fixture
def archkit_cluster_options() -> dict[str, Any]:
    """What ``archkit_cluster`` is made with, such as ``{"tls": True, "version": "v1.33.0"}``; override it for a module or a class."""
    return {}


@pytest.fixture
def archkit_cluster(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    archkit_cluster_options: dict[str, Any],
) -> Iterator[EmbeddedCluster]:
    """An embedded Kubernetes API for this test alone; ``KUBECONFIG`` leads to it.

    Its nodes pull from ``archkit_registry`` where the test has one. A rule of ``on()`` that waited for requests which did
    not come fails the test. What came is shown beside a failure.
    """
    from archkit.testing import EmbeddedCluster

    options = dict(archkit_cluster_options)
    if "archkit_registry" in request.fixturenames:
        options.setdefault("registry", request.getfixturevalue("archkit_registry"))
    cluster = EmbeddedCluster(**options)
    cluster.start()
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path_factory.mktemp("archkit-kubectl")))  # kubectl remembers kinds by port
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    request.node.stash.setdefault(_KITS, []).append(cluster)
    request.node.stash.setdefault(_SERVERS, []).append(("archkit_cluster", cluster))
    yield cluster
    cluster.stop()


@pytest.fixture
def archkit_images(archkit_registry: EmbeddedRegistry) -> ImageFactory:
    """Makes images and puts them into this test's ``archkit_registry``."""
    from archkit.testing import ImageFactory

    return ImageFactory(archkit_registry)


@pytest.fixture
def archkit_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeRunner:
    """Stands for every tool that archkit would start: ``archkit_process.on("ko", "build", ...).answer("...")``.

    A command that no rule is about fails the test, and so does a rule whose command did not come.
    """
    from archkit.adapters.process import ProcessRunner
    from archkit.testing import FakeRunner

    runner = FakeRunner()

    def run(_: ProcessRunner, *command: Any, **options: Any) -> Completed:
        return runner.run(*command, **options)

    monkeypatch.setattr(ProcessRunner, "run", run)
    request.node.stash.setdefault(_KITS, []).append(runner)
    return runner


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fails a test that passed although a rule of a kit was never met: a failure, not an error beside a pass."""
    result = yield
    for kit in item.stash.get(_KITS, ()):
        kit.check()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows beside a failure what the servers were asked."""
    report = yield
    if report.when == "call" and report.failed:
        for name, server in item.stash.get(_SERVERS, ()):
            table = server.log.table().splitlines()
            left_out = [f"... {len(table) - _MOST_LINES} lines are left out"] if len(table) > _MOST_LINES else []
            report.sections.append((name, "\n".join([*table[:1], *left_out, *table[1:][-_MOST_LINES:]])))
    return report
