"""Edits of the data as splices of the text, checked by reading the result again."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

import attrs
import yaml

from archkit.adapters.yaml.check import Change, difference, keys
from archkit.adapters.yaml.events import keys_of
from archkit.adapters.yaml.places import Splice, append, fill, insert, replace
from archkit.errors import ArchkitError
from archkit.planning.edits import Append, Edit, Fill, Insert
from archkit.planning.sharing import refused_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from archkit.adapters.yaml.tree import Tree


@attrs.define(eq=False, slots=False)
class EditError(ArchkitError, RuntimeError):
    """An edit did not give the intended data; the text was left as it was. A defect of archkit."""

    name: str
    reason: str

    hint = "please report it with the document; render it with other means until then"

    def problem(self) -> str:
        return f"archkit could not edit {self.name} safely: {self.reason}"


@attrs.frozen
class Edited:
    """A document after its edits."""

    text: str
    refused: frozenset[int]
    """Groups of edits that were not made, because aliases share their place with something that must not change."""


_ORDER = attrgetter("start", "rank")
_Place: TypeAlias = tuple[type, int, str]
"""Kind of edit, node, and the key of an ``Insert``."""


def edit(tree: Tree, groups: Sequence[Sequence[Edit]], name: str) -> Edited:
    """The document with every group of edits made as a whole or not at all.

    Raises:
        EditError: The result does not say what it should; nothing was changed.
    """
    refused = frozenset[int]()
    if tree.aliases:
        refused = refused_groups(groups, lambda item: _place(tree, item), lambda item: tree.sharing.uses(_place(tree, item)[1]))
    places: dict[_Place, Edit] = {}
    for number, group in enumerate(groups):
        if number not in refused:
            for item in group:
                places.setdefault(_place(tree, item), item)
    if not places:
        return Edited(tree.source, refused)
    splices: list[Splice] = []
    changes: list[Change] = []
    inserts: dict[int, list[Insert]] = {}
    for (_, node, _), item in places.items():
        if isinstance(item, Insert):
            inserts.setdefault(node, []).append(item)
            continue
        if isinstance(item, Append):
            splices += append(tree, item, node)
            changes.append(Change.append(tree, node, item.items))
        elif isinstance(item, Fill):
            splices += fill(tree, item, node)
            changes.append(Change.fill(tree, node, item.value))
        else:
            splices += replace(tree, item, node)
            changes.append(Change.replace(tree, node, item.value))
    for node, items in inserts.items():
        splices += insert(tree, items, node)
        changes += [Change.insert(node, item.key, item.value) for item in items]
    text = _spliced(tree.source, splices, name)
    _check(tree, text, changes, name)
    return Edited(text, refused)


def _place(tree: Tree, item: Edit) -> _Place:
    node = tree.resolve(tree.trail(item.target)[-1])
    return (type(item), node, item.key if isinstance(item, Insert) else "")


def _spliced(source: str, splices: Iterable[Splice], name: str) -> str:
    parts: list[str] = []
    at = 0
    for splice in sorted(splices, key=_ORDER):
        if splice.start < at:
            raise EditError(name, "two edits overlap")
        parts += (source[at : splice.start], splice.text)
        at = splice.end
    return "".join((*parts, source[at:]))


def _check(tree: Tree, text: str, changes: Sequence[Change], name: str) -> None:
    properties = "&" in tree.source or "!" in tree.source
    try:
        after = keys_of(text, properties=properties)
    except yaml.YAMLError as error:
        raise EditError(name, f"the edited text cannot be read: {error}") from error
    wrong = difference(keys(tree.events, properties=properties), after, changes)
    if wrong is not None:
        raise EditError(name, f"the edited text does not say what it should, from value {wrong} of {len(after)} on")
