"""Assertions about images, with messages that show what is there instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.imagery import inspect, verify
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.testing.embedded_registry import EmbeddedRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archkit.imagery import ImageDetails
    from archkit.model.reference import ImageReference
    from archkit.ports.registry import ImageStore


def assert_index(
    reference: ImageReference | str,
    platforms: PlatformSet | str | Iterable[Platform | str],
    registry: EmbeddedRegistry | ImageStore | None = None,
    *,
    in_order: bool = False,
) -> ImageDetails:
    """Fail unless the reference is an index of exactly these platforms; what is there.

    Args:
        reference: A tag or a digest; of an ``EmbeddedRegistry`` it needs no host. ``oci:PATH[:TAG]`` is a layout.
        platforms: The platforms wanted.
        registry: Where it is; an ``EmbeddedRegistry`` is asked with its own client, which shows in its log.
        in_order: The entries must stand in this order.

    Raises:
        AssertionError: With a table of what is wanted and what is there.
        RegistryError: It is not there, or cannot be read.
    """
    __tracebackhide__ = True
    wanted = PlatformSet(platforms)
    details = _inspected(reference, registry)
    if not details.is_index:
        raise AssertionError(f"{details.reference} is no index, but a single image for {details.platform}; wanted was an index of {wanted}")
    there = details.platforms
    if set(there) != set(wanted):
        rows = [(str(platform), platform in wanted, platform in there) for platform in PlatformSet([*wanted, *there])]
        lines = [f"{' ' if want == have else '>'} {name:24} {_yes(want):8} {_yes(have)}" for name, want, have in rows]
        table = "\n".join([f"  {'platform':24} wanted   there", *lines])
        raise AssertionError(f"{details.reference} has other platforms than wanted:\n{table}")
    if in_order and list(there) != list(wanted):
        raise AssertionError(f"{details.reference} has its platforms in another order:\n  wanted {wanted}\n  there  {there}")
    return details


def assert_runs_on(
    reference: ImageReference | str, platform: Platform | str, registry: EmbeddedRegistry | ImageStore | None = None
) -> Platform:
    """Fail unless a node of this platform can run the image; the platform of the image that it would run.

    The image must be whole, what it says of its platforms true, and the program that it starts for the CPU.

    Args:
        reference: A tag or a digest; of an ``EmbeddedRegistry`` it needs no host. ``oci:PATH[:TAG]`` is a layout.
        platform: Of the node.
        registry: Where it is; an ``EmbeddedRegistry`` is asked with its own client, which shows in its log.

    Raises:
        AssertionError: No image runs there, with a table of those that there are.
        DefectiveImageError: The image is not whole or not true.
        RegistryError: It is not there, or cannot be read.
    """
    __tracebackhide__ = True
    node = Platform.parse(platform) if isinstance(platform, str) else platform
    details = _inspected(reference, registry)
    found = next((each for each in details.platforms if each.runs_on(node)), None)
    if found is None:
        lines = "\n".join(f"> {each}" for each in details.platforms) or "> none"
        raise AssertionError(f"{details.reference} has no image that runs on {node}; there are\n{lines}")
    store, where = _store(registry), _full(reference, registry)
    verify(where, store)
    return found


def _inspected(reference: ImageReference | str, registry: EmbeddedRegistry | ImageStore | None) -> ImageDetails:
    return inspect(_full(reference, registry), _store(registry))


def _store(registry: EmbeddedRegistry | ImageStore | None) -> ImageStore | None:
    return registry.client() if isinstance(registry, EmbeddedRegistry) else registry


def _full(reference: ImageReference | str, registry: EmbeddedRegistry | ImageStore | None) -> ImageReference | str:
    if isinstance(registry, EmbeddedRegistry) and not str(reference).startswith("oci:"):
        return registry.reference(reference)
    return reference


def _yes(value: bool) -> str:
    return "yes" if value else "no"
