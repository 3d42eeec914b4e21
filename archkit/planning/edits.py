"""Edits of a manifest as values: what is to change at which place of the data; the editors carry them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias, cast

import attrs

from archkit.planning.recent import Recent

Path: TypeAlias = tuple["str | int", ...]
"""Keys and list indexes from the root of a document."""

Data: TypeAlias = "Mapping[str, Data] | Sequence[Data] | str | int | float | bool | None"
"""What JSON can hold."""


@attrs.frozen
class Insert:
    """A key that a mapping does not have yet; it is written before the others."""

    mapping: Path
    key: str
    value: Data = attrs.field(hash=False)

    @property
    def target(self) -> Path:
        """The place that must be there already."""
        return self.mapping


@attrs.frozen
class Append:
    """Items behind those that a sequence has."""

    sequence: Path
    items: Sequence[Data] = attrs.field(hash=False)

    @property
    def target(self) -> Path:
        """The place that must be there already."""
        return self.sequence


@attrs.frozen
class Fill:
    """A value where there is null, ``{}`` or ``[]``."""

    at: Path
    value: Data = attrs.field(hash=False)

    @property
    def target(self) -> Path:
        """The place that must be there already."""
        return self.at


@attrs.frozen
class Replace:
    """Another text where there is a text."""

    at: Path
    value: str

    @property
    def target(self) -> Path:
        """The place that must be there already."""
        return self.at


Edit: TypeAlias = Insert | Append | Fill | Replace


def is_empty(value: object) -> bool:
    """Whether a value says nothing: null, ``{}`` or ``[]``."""
    return value is None or (isinstance(value, (Mapping, Sequence)) and not isinstance(value, str) and not value)


def put(holder: Path, data: object, keys: Sequence[str], value: Data) -> Edit:
    """The edit that gives ``value`` the place ``keys`` below ``holder``, making the mappings on the way.

    Args:
        holder: Where ``data`` stands.
        data: The mapping there; what ``keys`` lead to is absent or empty.
        keys: At least one.
        value: What shall stand there.
    """
    for depth, key in enumerate(keys):
        rest = keys[depth + 1 :]
        if not isinstance(data, Mapping) or key not in data:
            return Insert((*holder, *keys[:depth]), key, nested(rest, value))
        data = data[key]
        if is_empty(data):
            return Fill((*holder, *keys[: depth + 1]), nested(rest, value))
    raise AssertionError((holder, keys))


def nested(keys: Sequence[str], value: Data) -> Data:
    """``value`` inside one mapping per key."""
    for key in reversed(keys):
        value = {key: value}
    return value


def at(data: object, path: Sequence[str | int]) -> object:
    """What stands at a path; None where nothing does."""
    for step in path:
        if isinstance(step, str):
            data = data.get(step) if isinstance(data, Mapping) else None
        else:
            data = data[step] if isinstance(data, Sequence) and not isinstance(data, str) and step < len(data) else None
    return data


@lru_cache(maxsize=1024)
def path_text(path: Path) -> str:
    """The path as people write it.

    >>> path_text(("spec", "containers", 0, "image"))
    'spec.containers[0].image'
    """
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def applied(data: object, base: Path, edits: Sequence[Edit]) -> object:
    """A copy of plain data after its edits.

    Args:
        data: What stands at ``base``.
        base: From the document's root.
        edits: Below ``base``; others are left out.
    """
    copy = _copied(data)
    for edit in edits:
        path = edit.target
        if path[: len(base)] != base:
            continue
        path = path[len(base) :]
        found = at(copy, path if isinstance(edit, (Insert, Append)) else path[:-1])
        if isinstance(edit, Insert) and isinstance(found, dict):
            found[edit.key] = edit.value
        elif isinstance(edit, Append) and isinstance(found, list):
            found.extend(edit.items)
        elif isinstance(edit, (Fill, Replace)) and isinstance(found, (dict, list)):
            cast("dict[object, object]", found)[path[-1]] = edit.value
    return copy


def _copied(data: object) -> object:
    if isinstance(data, Mapping):
        return {key: _copied(value) for key, value in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, str):
        return [_copied(item) for item in data]
    return data


def described(edit: Edit) -> tuple[Path, str]:
    """The path of the value that an edit changes, and what it gives it: a text as it is, structure as JSON."""
    if isinstance(edit, Replace):
        return edit.at, edit.value
    if isinstance(edit, Append):
        return edit.sequence, _json(list(edit.items))
    text = _known_json.get(edit.value, "", lambda: _json(edit.value))
    return (*edit.mapping, edit.key) if isinstance(edit, Insert) else edit.at, text


_known_json: Recent[str] = Recent()


def _json(value: Data) -> str:
    import json  # only when something changed

    return json.dumps(value, ensure_ascii=False)
