"""What the fields of Kubernetes objects are, and how their lists and maps merge.

Kubernetes' own kinds stand in ``schemas.json``, made from Kubernetes' API description by
``tests/helpers/kubernetes_schemas.py``; those of custom resources come from their definitions.

A type is written as a text: ``s`` ``i`` ``n`` ``b`` are text, whole number, number and truth value, ``?`` is a number or
a text, ``x`` anything; ``[]T`` is a list that changes as a whole, ``[=]T`` a set, ``[name,…]T`` a list of mappings with
those keys; ``{}T`` is a mapping, ``{!}T`` one that changes as a whole; all else is the name of a type with fields.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

import attrs

from archkit.model.frozen import FrozenMap

if TYPE_CHECKING:
    from collections.abc import Mapping

Form = Literal["text", "integer", "number", "boolean", "scalar", "any", "list", "map", "fields"]
_SCALARS: Mapping[str, Form] = {"s": "text", "i": "integer", "n": "number", "b": "boolean", "?": "scalar"}


@attrs.frozen
class Schema:
    """One type. Of lists and maps :attr:`item` says what is in them, of mappings with fields :attr:`fields` does."""

    form: Form
    item: Schema | None = None
    keys: tuple[str, ...] = ()
    """Of a list: what tells its items apart; ``("=",)`` for a set. None: it changes as a whole."""
    atomic: bool = False
    """Whether a mapping changes as a whole. (A list does without keys.)"""
    names: FrozenMap[str, str] = attrs.field(factory=FrozenMap[str, str], eq=False)
    """Of a type of the table: the types of its fields."""
    own: FrozenMap[str, Schema] = attrs.field(factory=FrozenMap[str, Any], eq=False)
    """Of a type of a custom resource: its fields."""
    open: bool = False
    """Whether fields that are not known are kept (``x-kubernetes-preserve-unknown-fields``)."""
    embedded: bool = False
    """Whether it is an object of its own, with kind and metadata."""

    @property
    def granular(self) -> bool:
        """Whether its parts have managers of their own."""
        if self.form == "list":
            return bool(self.keys)
        return self.form in {"map", "fields", "any"} and not self.atomic

    def field(self, name: str) -> Schema | None:
        """What stands under a key of a mapping; None: no such field."""
        if self.form == "any":
            return ANY
        if self.form == "map":
            return self.item
        if (own := self.own.get(name)) is not None:
            return own
        if (code := self.names.get(name)) is not None:
            return schema(code)
        return ANY if self.open else None


ANY = Schema("any")
TEXT = Schema("text")


@lru_cache(maxsize=1)
def table() -> Mapping[str, Any]:
    """The content of ``schemas.json``."""
    content = resources.files("archkit.testing.cluster").joinpath("schemas.json").read_bytes()
    made: Mapping[str, Any] = json.loads(content)
    return made


@lru_cache(maxsize=2048)
def schema(code: str) -> Schema:
    """The type that a text stands for."""
    if code in _SCALARS:
        return Schema(_SCALARS[code])
    if code == "x":
        return ANY
    if code.startswith("["):
        inside, _, item = code[1:].partition("]")
        return Schema("list", schema(item), tuple(inside.split(",")) if inside else ())
    if code.startswith("{"):
        inside, _, item = code[1:].partition("}")
        return Schema("map", schema(item), atomic=inside == "!")
    return Schema("fields", names=FrozenMap(table()["types"][code]), atomic=code in _atomic())


@lru_cache(maxsize=1)
def _atomic() -> frozenset[str]:
    return frozenset(table()["atomic"])


def custom_schema(described: Mapping[str, Any] | None, *, root: bool = False) -> Schema:
    """The type that the ``openAPIV3Schema`` of a CustomResourceDefinition describes."""
    if not described:
        return Schema("fields", own=FrozenMap(_every_object()), open=True) if root else ANY
    preserves = described.get("x-kubernetes-preserve-unknown-fields") is True
    if described.get("x-kubernetes-int-or-string"):
        return Schema("scalar")
    form = described.get("type")
    if form == "array":
        how = described.get("x-kubernetes-list-type", "atomic")
        keys = tuple(described.get("x-kubernetes-list-map-keys", ())) if how == "map" else ("=",) if how == "set" else ()
        return Schema("list", custom_schema(described.get("items")), keys)
    atomic = described.get("x-kubernetes-map-type") == "atomic"
    extra = described.get("additionalProperties")
    if isinstance(extra, dict) and extra:
        return Schema("map", custom_schema(extra), atomic=atomic)
    if form == "object" or "properties" in described or root:
        fields = {name: custom_schema(inner) for name, inner in (described.get("properties") or {}).items()}
        embedded = described.get("x-kubernetes-embedded-resource") is True
        if root or embedded:
            fields = {**fields, **_every_object()}
        opened = preserves or extra is True
        return Schema("fields", own=FrozenMap(fields), open=opened, atomic=atomic, embedded=embedded)
    scalar: Mapping[str, Form] = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
    return Schema(scalar[form]) if isinstance(form, str) and form in scalar else ANY


@lru_cache(maxsize=1)
def _every_object() -> Mapping[str, Schema]:
    return {"apiVersion": TEXT, "kind": TEXT, "metadata": schema("meta.v1.ObjectMeta")}
