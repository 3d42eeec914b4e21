"""Sets of fields of an object: what an object has, what changed, and how the API writes such sets (``FieldsV1``).

A path is a tuple of the elements that FieldsV1 uses: ``f:NAME`` is a field, ``k:{"name":"app"}`` the item of a list that
has these keys, ``v:"x"`` the item of a set. Source: Kubernetes API reference, ManagedFieldsEntry, and the behaviour of
structured-merge-diff, which API servers use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from archkit.testing.cluster.schemas import ANY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archkit.testing.cluster.schemas import Schema

Path = tuple[str, ...]
FieldSet = frozenset[Path]
NO_FIELDS: FieldSet = frozenset()
_SELF = "."
_KEY_DEFAULTS: Mapping[str, str] = {"protocol": "TCP"}
"""Keys of list items that may be left out."""
_ALWAYS_THERE = frozenset(
    {"containers", "metadata", "spec", "status", "template", "strategy", "updateStrategy", "jobTemplate", "resources"}
)
"""Fields that are part of their owner in Kubernetes' own code: they are never added, only what is in them is."""


@attrs.frozen
class Changes:
    """How one object differs from another."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    @property
    def written(self) -> FieldSet:
        """What has a new value."""
        return self.added | self.modified


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def list_element(schema: Schema, item: Any) -> str:
    """The path element of an item of a list with keys, or of a set.

    Raises:
        ValueError: The item lacks a key.
    """
    if schema.keys == ("=",):
        return f"v:{_text(item)}"
    if not isinstance(item, Mapping):
        raise ValueError(  # noqa: TRY004 - what the API server says of an object
            f"associative list with keys has an element that is no map: {_text(item)}"
        )
    found: dict[str, object] = {}
    for key in schema.keys:
        value = item.get(key, _KEY_DEFAULTS.get(key))
        if value is None:
            raise ValueError(f"associative list with keys has an element that omits key field {key!r} (and doesn't have default value)")
        found[key] = value
    return f"k:{_text(found)}"


def parts(schema: Schema, value: object) -> Iterator[tuple[str, Schema, object]] | None:
    """The parts of a mapping or list that have managers of their own: element, type, value. None: it has none."""
    if isinstance(value, Mapping):
        if not schema.granular or schema.form == "list":
            return None
        return ((f"f:{name}", schema.field(name) or ANY, inner) for name, inner in value.items())
    if isinstance(value, list) and schema.form == "list" and schema.keys:
        return ((list_element(schema, inner), schema.item or ANY, inner) for inner in value)
    return None


def field_set(schema: Schema, value: object, at: Path = ()) -> FieldSet:
    """The fields that somebody who applies this object manages."""
    found: set[Path] = set()
    _collect(schema, value, at, found)
    return frozenset(found)


def _collect(schema: Schema, value: object, at: Path, found: set[Path]) -> None:
    inside = parts(schema, value)
    if inside is None:
        found.add(at)
        return
    for element, inner_schema, inner in inside:
        path = (*at, element)
        _collect(inner_schema, inner, path, found)
        known = schema.form == "fields" and schema.field(element[2:]) is not None
        if not element.startswith("f:") or inner in (None, {}) or not known:
            found.add(path)


def compare(schema: Schema, old: object, new: object) -> Changes:
    """What changed between two objects of one type."""
    added: set[Path] = set()
    modified: set[Path] = set()
    removed: set[Path] = set()
    _compare(schema, old, new, (), (added, modified, removed))
    return Changes(frozenset(added), frozenset(modified), frozenset(removed))


_ABSENT = object()


def _compare(schema: Schema, old: object, new: object, at: Path, into: tuple[set[Path], set[Path], set[Path]]) -> None:
    added, modified, removed = into
    before = None if old is _ABSENT else parts(schema, old)
    after = None if new is _ABSENT else parts(schema, new)
    empty = old in (_ABSENT, None, {}, []) and new in (_ABSENT, None, {}, [])
    if empty or ((before is None) and (after is None)) or (before is None and old is not _ABSENT) or (after is None and new is not _ABSENT):
        if old is _ABSENT:
            added.add(at)
        elif new is _ABSENT:
            removed.add(at)
        elif old != new:
            modified.add(at)
        return
    left = {element: (inner_schema, inner) for element, inner_schema, inner in before or ()}
    right = {element: (inner_schema, inner) for element, inner_schema, inner in after or ()}
    for element in {**left, **right}:
        inner_schema = (left.get(element) or right[element])[0]
        first = left[element][1] if element in left else _ABSENT
        second = right[element][1] if element in right else _ABSENT
        path = (*at, element)
        _compare(inner_schema, first, second, path, into)
        part = schema.form == "fields" and element[2:] in _ALWAYS_THERE
        if first is _ABSENT and not part:
            added.add(path)
        elif second is _ABSENT and not part:
            removed.add(path)


# ---- FieldsV1 -------------------------------------------------------------------------------------------------------


def to_v1(fields: FieldSet) -> dict[str, Any]:
    """As ``managedFields`` writes it."""
    root: dict[str, Any] = {}
    for path in sorted(fields):
        place = root
        for element in path[:-1]:
            place = place.setdefault(element, {})
        leaf = place.setdefault(path[-1], {})
        leaf[_SELF] = {}
    _drop_lone_marks(root)
    return root


def _drop_lone_marks(place: dict[str, Any]) -> None:
    for inner in place.values():
        if list(inner) == [_SELF]:
            inner.clear()
        else:
            _drop_lone_marks({name: value for name, value in inner.items() if name != _SELF})


def from_v1(fields: Mapping[str, Any], at: Path = ()) -> FieldSet:
    """What ``managedFields`` says."""
    found: set[Path] = set()
    for element, inner in fields.items():
        if element == _SELF:
            found.add(at)
        elif inner:
            found |= from_v1(inner, (*at, element))
        else:
            found.add((*at, element))
    return frozenset(found)


def written_path(path: Path) -> str:
    """A path as messages write it.

    >>> written_path(("f:spec", 'k:{"name":"app"}', "f:image"))
    '.spec[name="app"].image'
    """
    return "".join(map(_written, path))


def _written(element: str) -> str:
    kind, text = element[0], element[2:]
    if kind == "f":
        return f".{text}"
    if kind == "v":
        return f"[={text}]"
    return f"[{','.join(f'{name}={_text(value)}' for name, value in json.loads(text).items())}]"


# ---- merging --------------------------------------------------------------------------------------------------------


def merged(schema: Schema, live: Any, applied: Any) -> Any:
    """The live value with what is applied over it; neither is changed."""
    if isinstance(live, Mapping) and isinstance(applied, Mapping) and schema.granular:
        result = dict(live)
        for name, value in applied.items():
            result[name] = merged(schema.field(name) or ANY, live[name], value) if name in live else value
        return result
    if isinstance(live, list) and isinstance(applied, list) and schema.form == "list" and schema.keys:
        return _merged_lists(schema, live, applied)
    return applied


def _merged_lists(schema: Schema, live: list[Any], applied: list[Any]) -> list[Any]:
    """Items in the order of what is applied; others stay behind what they stood behind."""
    left = {list_element(schema, item): item for item in live}
    right = {list_element(schema, item): item for item in applied}
    order: list[str] = []
    waiting = list(left)
    for element in right:
        while waiting and waiting[0] not in right:
            order.append(waiting.pop(0))
        if waiting and waiting[0] == element:
            waiting.pop(0)
        order.append(element)
    order += [element for element in waiting if element not in right]
    item = schema.item or ANY
    return [
        merged(item, left[element], right[element]) if element in left and element in right else right.get(element, left.get(element))
        for element in dict.fromkeys(order)
    ]


def without(schema: Schema, value: Any, fields: Iterable[Path]) -> Any:
    """The value without these fields; a mapping or list that they leave empty goes too."""
    by_element: dict[str, list[Path]] = {}
    for path in fields:
        by_element.setdefault(path[0], []).append(path[1:])
    inside = parts(schema, value)
    if inside is None:
        return value
    kept: list[tuple[str, Any]] = []
    for element, inner_schema, inner in inside:
        rest = by_element.get(element)
        if rest is None:
            kept.append((element, inner))
        elif () not in rest:
            left = without(inner_schema, inner, rest)
            if left not in ({}, []) or inner in ({}, []):
                kept.append((element, left))
    if isinstance(value, Mapping):
        return {element[2:]: inner for element, inner in kept}
    return [inner for _, inner in kept]
