"""Edits carried out on objects: dicts and lists, or mappings that behave like them and keep comments."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import TYPE_CHECKING, Any, cast

from archkit.planning.edits import Append, Edit, Fill, Insert, Path, at
from archkit.planning.sharing import refused_groups

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class TooDeep(ValueError):
    """Objects beyond a limit, or one that contains itself."""


class ObjectGraph:
    """How many paths lead to each container of a document: loaders give one object for every alias of an anchor."""

    def __init__(self, root: object, depth: int, nodes: int) -> None:
        self._parents: dict[int, list[int]] = {id(root): []}
        self._known: dict[int, int] = {id(root): 1}
        self._shared = False
        done: set[int] = set()
        opened: list[tuple[object, Iterator[object]]] = [(root, _containers(root))]
        inside = {id(root)}
        while opened:
            node, children = opened[-1]
            child = next(children, None)
            if child is None:
                opened.pop()
                inside.discard(id(node))
                done.add(id(node))
                continue
            if id(child) in inside:
                raise TooDeep("a value contains itself")
            self._parents.setdefault(id(child), []).append(id(node))
            self._shared = self._shared or len(self._parents[id(child)]) > 1
            if id(child) in done:
                continue
            if len(opened) >= depth:
                raise TooDeep(f"deeper than the limit of {depth} levels (depth)")
            if len(self._parents) > nodes:
                raise TooDeep(f"more than the limit of {nodes} values (nodes)")
            inside.add(id(child))
            opened.append((child, _containers(child)))

    def uses(self, container: object) -> int:
        """How many paths from the root lead to a container."""
        if not self._shared:
            return 1
        stack = [id(container)]
        while stack:
            node = stack[-1]
            unknown = [parent for parent in self._parents[node] if parent not in self._known]
            if node in self._known:
                stack.pop()
            elif unknown:
                stack += unknown
            else:
                self._known[node] = sum(self._known[parent] for parent in self._parents[node])
                stack.pop()
        return self._known[id(container)]


def _containers(node: object) -> Iterator[object]:
    values = node.values() if isinstance(node, Mapping) else cast("Sequence[object]", node)
    return (value for value in values if isinstance(value, (Mapping, Sequence)) and not isinstance(value, (str, bytes)))


def edited_copy(root: object, groups: Sequence[Sequence[Edit]], graph: ObjectGraph) -> tuple[Any, Collection[int]]:
    """A copy with every group of edits made as a whole or not at all, and the groups that sharing forbids."""

    def place(edit: Edit) -> tuple[int, str | int]:
        path = edit.target
        if isinstance(edit, Insert):
            return id(at(root, path)), edit.key
        if isinstance(edit, Append):
            return id(at(root, path)), ""
        return id(at(root, path[:-1])), path[-1]

    def uses(edit: Edit) -> int:
        path = edit.target
        return graph.uses(at(root, path if isinstance(edit, (Insert, Append)) else path[:-1]))

    refused = refused_groups(groups, place, uses)
    wanted = {place(edit): edit for number, group in enumerate(groups) if number not in refused for edit in group}
    if not wanted:
        return root, refused
    result = copy.deepcopy(root)
    for edit in wanted.values():
        _apply(result, edit)
    return result, refused


def _apply(root: object, edit: Edit) -> None:
    if isinstance(edit, Insert):
        _insert(cast("MutableMapping[str, Any]", at(root, edit.mapping)), edit.key, _plain(edit.value))
    elif isinstance(edit, Append):
        cast("MutableSequence[Any]", at(root, edit.sequence)).extend(_plain(item) for item in edit.items)
    else:
        path: Path = edit.at
        holder = cast("MutableMapping[Any, Any]", at(root, path[:-1]))
        value = edit.value
        if not isinstance(edit, Fill) and type(holder[path[-1]]) is not str:
            value = _like(holder[path[-1]], edit.value)
        holder[path[-1]] = _plain(value)


def _like(old: object, text: str) -> Any:
    """A text of the same class as another one: ruamel.yaml keeps quotes in the class."""
    kind = cast("type[str]", type(old))
    return kind(text)


def _insert(mapping: MutableMapping[str, Any], key: str, value: object) -> None:
    if hasattr(mapping, "insert"):  # ruamel.yaml's mappings keep comments by place
        cast("Any", mapping).insert(0, key, value)
        return
    rest = list(mapping.items())
    mapping.clear()
    mapping[key] = value
    mapping.update(rest)


def _plain(value: object) -> Any:
    """A copy of its own, so that no two places of a document share what was written."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
