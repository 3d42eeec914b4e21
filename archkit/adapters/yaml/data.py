"""Manifests as plain data, for sending: whatever would be lost or changed on the way is refused instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import yaml

from archkit.adapters.yaml.documents import ManifestLimits, split
from archkit.adapters.yaml.events import Templated, read
from archkit.adapters.yaml.tree import Oversized
from archkit.errors import ManifestSyntaxError, ManifestTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archkit.adapters.yaml.tree import Tree


@attrs.frozen
class Loaded:
    """One document."""

    line: int
    """Where it begins in the whole text, counted from 1."""
    data: object = attrs.field(repr=False)
    """Scalars as YAML 1.1 reads them, as kubectl does; dates stay texts."""


def load_documents(text: str, name: str, limits: ManifestLimits | None = None) -> Iterator[Loaded]:
    """The documents of a manifest in order; empty ones are left out.

    Args:
        text: YAML or JSON.
        name: What messages call it.
        limits: How much is read.

    Raises:
        ManifestSyntaxError: Not YAML, a template, a key that stands twice, or one that is no text.
        ManifestTooLarge: Beyond a limit.
    """
    limits = limits or ManifestLimits()
    for chunk in split(text, name, limits):
        try:
            tree = read(chunk, name, limits)
            if tree is None:
                continue
            data = tree.value(0)
        except Templated as error:
            raise ManifestSyntaxError(name, f"it is a template and not yet YAML: {error.reason}", error.line) from error
        except Oversized as error:
            raise ManifestTooLarge(name, "it has more values than any manifest means", chunk.line) from error
        _check(tree, name)
        if data is not None:
            yield Loaded(tree.line_of_node(0), data)


def _check(tree: Tree, name: str) -> None:
    """Refuse what :meth:`Tree.value` reads over."""
    if tree.repeated:
        mapping, key = min(tree.repeated.items())
        raise ManifestSyntaxError(name, f"the key {key!r} stands twice in one mapping", tree.line_of_node(mapping))
    for mapping, kind in enumerate(tree.kinds):
        if kind is not yaml.MappingStartEvent:
            continue
        at, last = mapping + 1, tree.ends[mapping]
        while at < last:
            if tree.kinds[tree.resolve(at)] is not yaml.ScalarEvent:
                raise ManifestSyntaxError(name, "a key is no text", tree.line_of_node(at))
            value = tree.end(at) + 1
            at = tree.end(value) + 1
