"""Label and field selectors, as lists and watches take them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from archkit.testing.cluster.statuses import bad_request

_SET = re.compile(r"\s*([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)\s*")
_EQUAL = re.compile(r"\s*([^\s!=,()]+)\s*(==|=|!=)\s*([^\s,()]*)\s*")
_EXISTS = re.compile(r"\s*(!?)\s*([^\s!=,()]+)\s*")
Selects = Callable[[Mapping[str, Any]], bool]


def label_selector(text: str) -> Callable[[Mapping[str, str]], bool]:
    """What a ``labelSelector`` asks of labels.

    Raises:
        ApiError: 400, it is none.
    """
    tests: list[Callable[[Mapping[str, str]], bool]] = []
    for piece in _pieces(text):
        if found := _SET.fullmatch(piece):
            key, operator, values = found.group(1), found.group(2), {value.strip() for value in found.group(3).split(",")}
            tests.append(_one_of(key, values, wanted=operator == "in"))
        elif found := _EQUAL.fullmatch(piece):
            tests.append(_one_of(found.group(1), {found.group(3)}, wanted=found.group(2) != "!="))
        elif found := _EXISTS.fullmatch(piece):
            tests.append(_exists(found.group(2), wanted=not found.group(1)))
        else:
            raise bad_request(f"unable to parse requirement: {piece!r} is no label selector")
    return lambda labels: all(test(labels) for test in tests)


def _pieces(text: str) -> list[str]:
    return [piece for piece in re.split(r",(?![^(]*\))", text) if piece.strip()]


def _one_of(key: str, values: set[str], *, wanted: bool) -> Callable[[Mapping[str, str]], bool]:
    if wanted:
        return lambda labels: labels.get(key) in values
    return lambda labels: labels.get(key) not in values


def _exists(key: str, *, wanted: bool) -> Callable[[Mapping[str, str]], bool]:
    return lambda labels: (key in labels) is wanted


def label_selector_matches(selector: Mapping[str, Any] | None, labels: Mapping[str, Any]) -> bool:
    """Whether an object's ``LabelSelector`` selects these labels; an empty one selects all, none selects nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_meets(item, labels) for item in selector.get("matchExpressions") or ())


def _meets(item: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, operator, values = str(item.get("key")), item.get("operator"), item.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return (key in labels) is (operator == "Exists")


def field_selector(text: str) -> Selects:
    """What a ``fieldSelector`` asks of objects: ``metadata.name=x,status.phase!=Running``.

    Raises:
        ApiError: 400, it is none.
    """
    tests: list[tuple[list[str], str, bool]] = []
    for piece in filter(None, text.split(",")):
        found = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", piece)
        if not found:
            raise bad_request(f"invalid field selector: {piece!r}")
        tests.append((found.group(1).split("."), found.group(3), found.group(2) != "!="))
    return lambda obj: all((_value(obj, path) == value) is wanted for path, value, wanted in tests)


def _value(obj: Any, path: list[str]) -> str:
    for name in path:
        obj = obj.get(name) if isinstance(obj, Mapping) else None
    return "" if obj is None else str(obj).lower() if isinstance(obj, bool) else str(obj)


def selects(labels: str, fields: str) -> Selects:
    """Both selectors of a list or watch as one test."""
    by_label, by_field = label_selector(labels), field_selector(fields)
    return lambda obj: by_label((obj.get("metadata") or {}).get("labels") or {}) and by_field(obj)
