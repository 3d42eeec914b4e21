"""Compares a document after its edits with what it should say: the old events with the intended ones between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import attrs
import yaml
from yaml.resolver import Resolver

from archkit.planning.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archkit.adapters.yaml.tree import Tree
    from archkit.planning.edits import Data

_MANY = 8
_PLACE = itemgetter(0)
_STYLES = frozenset({"'", '"', "|", ">"})
_TEXT_TAG = "tag:yaml.org,2002:str"


Key: TypeAlias = object
"""What must be equal of one event, so that lists of them are compared at C's speed: a scalar's text with the sign of its
style before it (no plain text begins with such a sign), with anchor and tag where a document has any; the class of an
event without value."""


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
    tag: str | None = None


_Atom: TypeAlias = "_Start | _End | _Leaf"


class Change(NamedTuple):
    """Events that take the place of others."""

    at: int
    skip: int
    atoms: tuple[_Atom, ...]

    @classmethod
    def insert(cls, mapping: int, key: str, value: Data) -> Change:
        """A key before the others."""
        return cls(mapping + 1, 0, _known_atoms.get(value, key, lambda: (_Leaf(key), *_atoms(value))))

    @classmethod
    def append(cls, tree: Tree, sequence: int, items: Sequence[Data]) -> Change:
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
        """Another text; its anchor and tag stay."""
        event = cast("yaml.ScalarEvent", tree.event(node))
        return cls(node, 1, (_Leaf(value, event.anchor, event.tag),))


_known_atoms: Recent[tuple[_Atom, ...]] = Recent()
_known_good: Recent[list[Key]] = Recent()


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


def keys(events: Iterable[yaml.Event], *, properties: bool) -> list[Key]:
    """The keys of events; ``properties`` where there may be anchors and tags."""
    scalar: Any = yaml.ScalarEvent
    if not properties:
        return [event.style + event.value if event.__class__ is scalar else event.__class__ for event in cast("Iterable[Any]", events)]
    return [
        (event.style + event.value, event.anchor, event.tag, event.implicit)
        if event.__class__ is scalar
        else (event.__class__, getattr(event, "anchor", None), getattr(event, "tag", None))
        for event in cast("Iterable[Any]", events)
    ]


def difference(old: Sequence[Key], new: Sequence[Key], changes: Iterable[Change]) -> int | None:
    """The place after the edits that is not what it should be; None when all are."""
    left = right = 0
    for at, skip, atoms in sorted(changes, key=_PLACE):
        right_end = right + at - left
        if old[left:at] != new[right:right_end]:
            return _first_difference(old[left:at], new[right:right_end], right)
        right = right_end
        right_end += len(atoms)
        wrong = _unfit(new[right:right_end], atoms)
        if wrong is not None:
            return right + wrong
        left, right = at + skip, right_end
    return None if old[left:] == new[right:] else _first_difference(old[left:], new[right:], right)


def _first_difference(old: Sequence[Key], new: Sequence[Key], start: int) -> int:
    for index, (one, other) in enumerate(zip(old, new, strict=False)):
        if one != other:
            return start + index
    return start + min(len(old), len(new))


def _unfit(found: Sequence[Key], atoms: tuple[_Atom, ...]) -> int | None:
    """The first key that does not say what it should; None when all do."""
    if len(found) < len(atoms):
        return len(found)
    many = len(atoms) > _MANY  # structure that goes into many pods: what was found right once is right
    known = _known_good.get(atoms, "", list) if many else []
    if known and known == found:
        return None
    for index, (key, atom) in enumerate(zip(found, atoms, strict=True)):
        if not _fits(key, atom):
            return index
    if many:
        known[:] = found
    return None


def _fits(key: Key, atom: _Atom) -> bool:
    found: tuple[Any, ...] = key if isinstance(key, tuple) else (key,)
    if isinstance(atom, (_Start, _End)):
        wanted = (atom.anchor, atom.tag) if isinstance(atom, _Start) else (None, None)
        return found[0] is atom.kind and (found[1:] or (None, None)) == wanted
    text = found[0]
    if not isinstance(text, str) or (found[1:3] or (None, None)) != (atom.anchor, atom.tag):
        return False
    plain = text[:1] not in _STYLES
    value = text if plain else text[1:]
    if isinstance(atom.value, str):
        return bool(value == atom.value and (not plain or _tag(value) == _TEXT_TAG))
    read = yaml.safe_load(value)
    return bool(plain and read == atom.value and type(read) is type(atom.value))


_resolver = Resolver()


@lru_cache(maxsize=1024)
def _tag(value: str) -> str:
    """What PyYAML takes a plain scalar for; not archkit's own table, which chose the quotes."""
    return str(cast("Any", _resolver).resolve(yaml.ScalarNode, value, (True, False)))
