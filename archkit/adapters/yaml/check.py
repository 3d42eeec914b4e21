"""Compares a document after its edits with what it should say: the old events with the intended ones between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import attrs
import yaml
from yaml.resolver import Resolver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archkit.adapters.yaml.tree import Tree
    from archkit.planning.edits import Data

_TEXT_TAG = "tag:yaml.org,2002:str"


@attrs.frozen
class _Start:
    kind: type[yaml.Event]
    anchor: str | None = None
    tag: str | None = None


@attrs.frozen
class _End:
    kind: type[yaml.Event]


@attrs.frozen
class _Leaf:
    value: object
    anchor: str | None = None


_Atom: TypeAlias = "_Start | _End | _Leaf"


@attrs.frozen
class Change:
    """Events that take the place of others."""

    at: int
    skip: int
    atoms: tuple[_Atom, ...]

    @classmethod
    def insert(cls, mapping: int, entries: Iterable[tuple[str, Data]]) -> Change:
        """Keys before the others."""
        return cls(mapping + 1, 0, tuple(atom for key, value in entries for atom in (_Leaf(key), *_atoms(value))))

    @classmethod
    def append(cls, tree: Tree, sequence: int, items: Iterable[Data]) -> Change:
        """Items behind the others."""
        return cls(tree.end(sequence), 0, tuple(atom for item in items for atom in _atoms(item)))

    @classmethod
    def fill(cls, tree: Tree, node: int, value: Data) -> Change:
        """A value where there was none; its anchor stays."""
        first, *rest = _atoms(value)
        event = tree.event(node)
        tag = event.tag if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)) else None
        if isinstance(first, _Start):
            first = attrs.evolve(first, anchor=event.anchor, tag=tag)
        return cls(node, tree.end(node) - node + 1, (first, *rest))

    @classmethod
    def replace(cls, tree: Tree, node: int, value: str) -> Change:
        """Another text; its anchor stays."""
        return cls(node, 1, (_Leaf(value, tree.event(node).anchor),))


def _atoms(value: Data) -> Iterator[_Atom]:
    if isinstance(value, Mapping):
        yield _Start(yaml.MappingStartEvent)
        for key, item in value.items():
            yield _Leaf(key)
            yield from _atoms(item)
        yield _End(yaml.MappingEndEvent)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield _Start(yaml.SequenceStartEvent)
        for item in value:
            yield from _atoms(item)
        yield _End(yaml.SequenceEndEvent)
    else:
        yield _Leaf(value)


def difference(before: Tree, after: Tree, changes: Iterable[Change]) -> str:
    """Where the two differ in more than the changes; an empty text when they do not."""
    old, new = before.events, after.events
    left = right = 0
    for change in sorted(changes, key=lambda item: item.at):
        length = change.at - left
        for one, other in zip(old[left : change.at], new[right : right + length], strict=False):
            if not _same(one, other):
                return _said(after, other)
        right += length
        for atom, event in zip(change.atoms, new[right : right + len(change.atoms)], strict=False):
            if not _fits(event, atom):
                return _said(after, event)
        right += len(change.atoms)
        left = change.at + change.skip
    if len(old) - left != len(new) - right:
        return f"it has {len(new)} values and marks, expected {len(old) - left + right}"
    for one, other in zip(old[left:], new[right:], strict=True):
        if not _same(one, other):
            return _said(after, other)
    return ""


def _same(one: yaml.Event, other: yaml.Event) -> bool:
    kind = one.__class__
    if kind is not other.__class__:
        return False
    if isinstance(one, yaml.ScalarEvent) and isinstance(other, yaml.ScalarEvent):
        return one.value == other.value and one.implicit == other.implicit and one.tag == other.tag and one.anchor == other.anchor
    if isinstance(one, yaml.CollectionStartEvent) and isinstance(other, yaml.CollectionStartEvent):
        return one.tag == other.tag and one.anchor == other.anchor
    if isinstance(one, yaml.AliasEvent) and isinstance(other, yaml.AliasEvent):
        return one.anchor == other.anchor
    return True


def _fits(event: yaml.Event, atom: _Atom) -> bool:
    if isinstance(atom, _Start):
        return (
            isinstance(event, yaml.CollectionStartEvent)
            and event.__class__ is atom.kind
            and (event.anchor, event.tag) == (atom.anchor, atom.tag)
        )
    if isinstance(atom, _End):
        return event.__class__ is atom.kind
    if not isinstance(event, yaml.ScalarEvent) or event.anchor != atom.anchor:
        return False
    if isinstance(atom.value, str):
        return event.value == atom.value and (not event.implicit[0] or _tag(event.value) == _TEXT_TAG)
    return event.implicit[0] and yaml.safe_load(event.value) == atom.value and type(yaml.safe_load(event.value)) is type(atom.value)


_resolver = Resolver()


def _tag(value: str) -> str:
    """What PyYAML takes a plain scalar for; not archkit's own table, which chose the quotes."""
    return str(cast("Any", _resolver).resolve(yaml.ScalarNode, value, (True, False)))


def _said(tree: Tree, event: yaml.Event) -> str:
    index = event.start_mark.index if event.start_mark is not None else 0
    return f"unexpected {type(event).__name__.removesuffix('Event')} in line {tree.line_of(index)}"
