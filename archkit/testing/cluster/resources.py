"""The kinds of objects that the embedded cluster keeps: Kubernetes' own, and those of CustomResourceDefinitions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.frozen import FrozenMap
from archkit.testing.cluster.schemas import Schema, custom_schema, schema, table

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@attrs.frozen
class Resource:
    """One kind in one version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    schema: Schema = attrs.field(eq=False, repr=False)
    parts: tuple[str, ...] = ()
    """Its subresources: ``status``, ``scale``, ``binding``, ``eviction``."""
    short: tuple[str, ...] = ()
    in_all: bool = False
    singular: str = ""
    custom: FrozenMap[str, Any] | None = attrs.field(default=None, eq=False, repr=False)
    """Of a custom resource: this version's part of its definition."""

    @property
    def api_version(self) -> str:
        """As objects name it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> str:
        """The same for every version of the kind: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def root(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def discovery(self) -> list[dict[str, Any]]:
        """Its entries in a list of resources."""
        entry: dict[str, Any] = {
            "name": self.plural,
            "singularName": self.singular or self.kind.lower(),
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": list(_VERBS),
        }
        if self.short:
            entry["shortNames"] = list(self.short)
        if self.in_all:
            entry["categories"] = ["all"]
        entries = [entry]
        for part in self.parts:
            named = {"name": f"{self.plural}/{part}", "singularName": "", "namespaced": self.namespaced, "kind": self.kind}
            verbs = ["create"] if part in {"binding", "eviction"} else ["get", "patch", "update"]
            if part == "scale":
                named |= {"group": "autoscaling", "version": "v1", "kind": "Scale"}
            entries.append({**named, "verbs": verbs})
        return entries


@lru_cache(maxsize=1)
def built_in() -> tuple[Resource, ...]:
    """Kubernetes' own kinds."""
    return tuple(
        Resource(
            row["group"],
            row["version"],
            row["plural"],
            row["kind"],
            row["namespaced"],
            schema(row["type"]),
            tuple(row["parts"]),
            tuple(row["short"]),
            row["all"],
        )
        for row in table()["kinds"]
    )


def custom(definition: Mapping[str, Any]) -> list[Resource]:
    """The kinds that a CustomResourceDefinition defines: one for each version that it serves."""
    spec = definition["spec"]
    names = spec["names"]
    return [
        Resource(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            spec["scope"] == "Namespaced",
            custom_schema((version.get("schema") or {}).get("openAPIV3Schema"), root=True),
            tuple(sorted(set(version.get("subresources") or {}) & {"status", "scale"})),
            tuple(names.get("shortNames") or ()),
            "all" in (names.get("categories") or ()),
            names.get("singular") or names["kind"].lower(),
            FrozenMap(version),
        )
        for version in spec["versions"]
        if version.get("served")
    ]


class Resources:
    """The kinds of one cluster."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Resource] = {(each.group, each.version, each.plural): each for each in built_in()}
        self._custom: dict[str, list[Resource]] = {}

    def all(self) -> tuple[Resource, ...]:
        """Every kind and version."""
        return tuple(self._known.values())

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The kind behind a path."""
        return self._known.get((group, version, plural))

    def named(self, name: str, group: str | None = None) -> Resource | None:
        """The kind of this name (``Deployment``, ``deployments``, ``deploy``), the first where several have it."""
        lower = name.lower()
        return next(
            (
                each
                for each in self._known.values()
                if (name == each.kind or lower in {each.plural, each.kind.lower(), each.key, *each.short}) and group in {None, each.group}
            ),
            None,
        )

    def of(self, api_version: str, kind: str) -> Resource | None:
        """The kind of an object."""
        group, _, version = api_version.rpartition("/")
        return next((each for each in self._known.values() if (each.group, each.version, each.kind) == (group, version, kind)), None)

    def define(self, definition: Mapping[str, Any]) -> None:
        """Take a CustomResourceDefinition in, instead of an earlier one of the same name."""
        name = definition["metadata"]["name"]
        self.forget(name)
        self._custom[name] = made = custom(definition)
        self._known.update({(each.group, each.version, each.plural): each for each in made})

    def forget(self, name: str) -> list[Resource]:
        """Take a CustomResourceDefinition out; what it defined."""
        gone = self._custom.pop(name, [])
        for each in gone:
            self._known.pop((each.group, each.version, each.plural), None)
        return gone
