"""One document as objects: dicts and lists, or the round-trip mappings of ruamel.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from archkit.errors import ManifestSyntaxError, ManifestTooLarge
from archkit.planning.edits import at, path_text
from archkit.planning.kinds import TooManyPods
from archkit.planning.objects import ObjectGraph, TooDeep, edited_copy
from archkit.rendering.work import render_document

if TYPE_CHECKING:
    from collections.abc import Collection

    from archkit.planning.edits import Edit, Path
    from archkit.planning.kinds import FoundPod
    from archkit.rendering.work import Report, Seen, Tools


def render_object(value: object, number: int, tools: Tools, seen: Seen, report: Report) -> object:
    """One document, rendered: a copy where something changed, else the object itself.

    Raises:
        ManifestSyntaxError: Neither a mapping nor None, or it contains itself.
        ManifestTooLarge: Beyond a limit.
    """
    where = f"{report.name}[{number}]"
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ManifestSyntaxError(where, f"a manifest is a mapping, this is {type(value).__name__}")
    try:
        form = _ObjectForm(value, where, ObjectGraph(value, tools.limits.depth, tools.limits.nodes))
        render_document(form, cast("object", value), tools, seen, report)
    except TooDeep as error:
        raise ManifestTooLarge(where, str(error)) from error
    except TooManyPods as error:
        raise ManifestTooLarge(where, "values that stand in several places lead to too many pods") from error
    return form.result


_NULL = object()
"""Stands for a null that is there, as None stands for what is not there."""


class _ObjectReader:
    """Mappings and sequences as they are."""

    def child(self, node: object, key: str) -> object | None:
        if not isinstance(node, Mapping) or key not in node:
            return None
        return _NULL if node[key] is None else node[key]

    def items(self, node: object) -> Sequence[object]:
        return node if isinstance(node, Sequence) and not isinstance(node, str) else ()

    def keys(self, node: object) -> Sequence[str]:
        return [key for key in node if isinstance(key, str)] if isinstance(node, Mapping) else ()

    def text(self, node: object) -> str | None:
        return node if isinstance(node, str) else None

    def value(self, node: object) -> object:
        return None if node is _NULL else node


class _ObjectForm:
    def __init__(self, value: object, name: str, graph: ObjectGraph) -> None:
        self.reader = _ObjectReader()
        self.result: Any = value
        self._name = name
        self._graph = graph

    def where(self, pod: FoundPod[object], path: Path) -> str:
        return f"{self._name} {pod.object_name} {path_text(path)}"

    def repeated_key(self, pod: FoundPod[object]) -> str | None:
        del pod  # a mapping holds each key once
        return None

    def before(self, path: Path) -> str:
        found = at(self.result, path)
        return found if isinstance(found, str) else ""

    def edit(self, groups: Sequence[Sequence[Edit]]) -> Collection[int]:
        self.result, refused = edited_copy(self.result, groups, self._graph)
        return refused
