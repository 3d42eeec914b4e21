"""The three other kinds of patches: JSON patch (RFC 6902), JSON merge patch (RFC 7396) and Kubernetes' strategic merge."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archkit.testing.cluster.schemas import ANY
from archkit.testing.cluster.statuses import ApiError, bad_request

if TYPE_CHECKING:
    from archkit.testing.cluster.schemas import Schema


def json_patched(value: Any, operations: Any) -> Any:
    """What a JSON patch makes of a value.

    Raises:
        ApiError: 400 or 422, it cannot be carried out.
    """
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    root = {"": copy.deepcopy(value)}
    done: Any = None
    try:
        for done in operations:
            _operate(root, done)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        told = f"the server rejected our request due to an error in our request: {json.dumps(done)}: {error}"
        raise ApiError(422, "Invalid", told) from error
    return root[""]


def _operate(root: dict[str, Any], operation: Mapping[str, Any]) -> None:
    name, pointer = operation["op"], operation["path"]
    if name in {"add", "replace", "test"}:
        value = copy.deepcopy(operation["value"])
    elif name in {"move", "copy"}:
        value = copy.deepcopy(_found(root, operation["from"]))
        if name == "move":
            _remove(root, operation["from"])
    elif name == "remove":
        _remove(root, pointer)
        return
    else:
        raise ValueError(f"unknown operation {name!r}")
    if name == "test":
        if _found(root, pointer) != value:
            raise ValueError("testing value failed")
        return
    holder, last = _holder(root, pointer)
    if isinstance(holder, list):
        if name == "replace":
            holder[int(last)] = value
        else:
            holder.insert(len(holder) if last == "-" else int(last), value)
    else:
        if name == "replace" and last not in holder:
            raise KeyError(last)
        holder[last] = value


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]


def _holder(root: Any, pointer: str) -> tuple[Any, str]:
    *way, last = _steps(pointer)
    for step in way:
        root = root[int(step)] if isinstance(root, list) else root[step]
    return root, last


def _found(root: Any, pointer: str) -> Any:
    holder, last = _holder(root, pointer)
    return holder[int(last)] if isinstance(holder, list) else holder[last]


def _remove(root: Any, pointer: str) -> None:
    holder, last = _holder(root, pointer)
    del holder[int(last) if isinstance(holder, list) else last]


def merge_patched(value: Any, patch: Any) -> Any:
    """What a JSON merge patch makes of a value: null removes, lists are replaced."""
    if not isinstance(patch, Mapping):
        return patch
    made = dict(value) if isinstance(value, Mapping) else {}
    for name, inner in patch.items():
        if inner is None:
            made.pop(name, None)
        else:
            made[name] = merge_patched(made.get(name), inner)
    return made


_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"


def strategic_patched(schema: Schema, value: Any, patch: Any) -> Any:
    """What a strategic merge patch makes of a value: lists of named things are merged by their first key."""
    if not isinstance(patch, Mapping):
        return patch
    how = patch.get("$patch")
    if how == "delete":
        return None
    body = {name: inner for name, inner in patch.items() if not name.startswith("$")}
    if how == "replace":
        return body
    made = dict(value) if isinstance(value, Mapping) else {}
    if _RETAIN in patch:
        made = {name: inner for name, inner in made.items() if name in patch[_RETAIN]}
    for name, inner in body.items():
        known = schema.field(name) or ANY
        if inner is None:
            made.pop(name, None)
        elif isinstance(inner, list) and known.form == "list" and known.keys:
            made[name] = _patched_list(known, made.get(name) or [], inner)
        else:
            made[name] = strategic_patched(known, made.get(name), inner)
    for name, inner in patch.items():
        if name.startswith(_DELETE_FROM):
            field = name[len(_DELETE_FROM) :]
            made[field] = [item for item in made.get(field) or [] if item not in inner]
    for name, inner in patch.items():
        if name.startswith(_ORDER):
            _put_in_order(schema, made, name[len(_ORDER) :], inner)
    return made


def _patched_list(schema: Schema, value: list[Any], patch: list[Any]) -> list[Any]:
    if schema.keys == ("=",):
        return [*value, *(item for item in patch if item not in value)]
    key, item_schema = schema.keys[0], schema.item or ANY
    made = [dict(item) for item in value]
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    for item in patch:
        there = [number for number, each in enumerate(made) if each.get(key) == item.get(key)]
        if item.get("$patch") == "delete":
            made = [each for number, each in enumerate(made) if number not in there]
        elif there:
            made[there[0]] = strategic_patched(item_schema, made[there[0]], item)
        else:
            made.append(strategic_patched(item_schema, {}, item))
    return made


def _put_in_order(schema: Schema, made: dict[str, Any], name: str, order: list[Any]) -> None:
    known, items = schema.field(name) or ANY, made.get(name)
    if not isinstance(items, list) or not known.keys:
        return
    key = known.keys[0]
    wanted = order if key == "=" else [item.get(key) for item in order]
    named = [item if key == "=" else item.get(key) for item in items]
    places = {number: wanted.index(each) if each in wanted else -1 for number, each in enumerate(named)}
    sorted_numbers = sorted((number for number in places if places[number] >= 0), key=lambda number: places[number])
    fixed = iter(sorted_numbers)
    made[name] = [items[next(fixed)] if places[number] >= 0 else items[number] for number in range(len(items))]
