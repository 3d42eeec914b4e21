"""pytest plugin: archkit's test kits as fixtures.

``archkit_registry`` is an :class:`archkit.testing.EmbeddedRegistry`, ``archkit_images`` an
:class:`archkit.testing.ImageFactory` that puts images into it; both live for one test. While one is in use, no tool that
the test starts finds the registry credentials of the person who runs it.

pytest loads this module in every run of an environment that has archkit installed, so it imports nothing of archkit
by itself; a fixture loads its kit when a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from archkit.testing import EmbeddedRegistry, ImageFactory

_REGISTRIES = pytest.StashKey["list[EmbeddedRegistry]"]()


@pytest.fixture
def archkit_registry(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedRegistry]:
    """An embedded registry for this test alone.

    A rule of ``on()`` that waited for requests which did not come fails the test.
    """
    from archkit.testing import EmbeddedRegistry

    folder = tmp_path_factory.mktemp("archkit-credentials")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(folder / "auth.json"))
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    registry = EmbeddedRegistry()
    registry.start()
    request.node.stash.setdefault(_REGISTRIES, []).append(registry)
    yield registry
    registry.stop()


@pytest.fixture
def archkit_images(archkit_registry: EmbeddedRegistry) -> ImageFactory:
    """Makes images and puts them into this test's ``archkit_registry``."""
    from archkit.testing import ImageFactory

    return ImageFactory(archkit_registry)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fails a test that passed although a rule of its registry was never met: a failure, not an error beside a pass."""
    result = yield
    for registry in item.stash.get(_REGISTRIES, ()):
        registry.check()
    return result
