"""Who manages which fields of an object: server-side apply, and what every other write means for it.

Source: Kubernetes documentation, Server-Side Apply; the behaviour of the API server's field manager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from archkit.testing.cluster.fieldsets import (
    NO_FIELDS,
    Changes,
    FieldSet,
    Path,
    compare,
    field_set,
    from_v1,
    merged,
    to_v1,
    without,
    written_path,
)
from archkit.testing.cluster.statuses import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archkit.testing.cluster.schemas import Schema

APPLY, UPDATE = "Apply", "Update"
_UNMANAGED = (
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
        )
    ),
)


@attrs.frozen
class Manager:
    """One entry of ``managedFields``."""

    name: str
    operation: str
    api_version: str
    fields: FieldSet
    time: str
    subresource: str = ""

    def same(self, other: Manager) -> bool:
        """Whether both are one manager; one that applies may change its API version."""
        versions = self.operation == APPLY or self.api_version == other.api_version
        return versions and (self.name, self.operation, self.subresource) == (other.name, other.operation, other.subresource)

    def entry(self) -> dict[str, Any]:
        """As the API writes it."""
        entry = {
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_v1(self.fields),
            "manager": self.name,
            "operation": self.operation,
            "time": self.time,
        }
        return {**entry, "subresource": self.subresource} if self.subresource else entry

    def __str__(self) -> str:
        part = f' with subresource "{self.subresource}"' if self.subresource else ""
        using = f" using {self.api_version}" if self.operation == UPDATE else ""
        return f'"{self.name}"{part}{using}'


def managers_of(obj: Mapping[str, Any] | None) -> tuple[Manager, ...]:
    """The managers of an object, in the order of ``managedFields``."""
    entries: Sequence[Mapping[str, Any]] = ((obj or {}).get("metadata") or {}).get("managedFields") or ()
    return tuple(
        Manager(
            entry.get("manager", ""),
            entry["operation"],
            entry.get("apiVersion", ""),
            from_v1(entry.get("fieldsV1") or {}),
            entry.get("time", ""),
            entry.get("subresource", ""),
        )
        for entry in entries
    )


def with_managers(obj: dict[str, Any], managers: Sequence[Manager]) -> dict[str, Any]:
    """The object with these managers."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    entries = [manager.entry() for manager in managers if manager.fields]
    return {**obj, "metadata": {**metadata, "managedFields": entries} if entries else metadata}


def _managed(fields: FieldSet) -> FieldSet:
    return fields - frozenset(_UNMANAGED)


def _unmanaged_object(obj: Mapping[str, Any] | None) -> dict[str, Any]:
    obj = obj or {}
    metadata = {name: value for name, value in (obj.get("metadata") or {}).items() if name != "managedFields"}
    return {**obj, "metadata": metadata}


def _changes(schema: Schema, live: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Changes:
    found = compare(schema, _unmanaged_object(live), _unmanaged_object(new))
    return Changes(_managed(found.added), _managed(found.modified), _managed(found.removed))


def updated(schema: Schema, live: Mapping[str, Any] | None, new: dict[str, Any], manager: Manager) -> dict[str, Any]:
    """What a create, update or patch makes of ``managedFields``; ``new`` may name its own managers or leave them as they are.

    Args:
        schema: Of the object.
        live: The object before; None: there was none.
        new: The object after, with defaults.
        manager: Who writes; its fields do not matter.
    """
    given = (new.get("metadata") or {}).get("managedFields")
    before = managers_of(new) if given else () if given == [] else managers_of(live)
    changes = _changes(schema, live, new)
    after: list[Manager] = []
    own = NO_FIELDS
    for each in before:
        if each.same(manager):
            own = each.fields
        else:
            after.append(attrs.evolve(each, fields=each.fields - changes.written - changes.removed))
    mine = (own - changes.removed) | changes.written
    if mine != own or not any(each.same(manager) for each in before):
        after.append(attrs.evolve(manager, fields=mine))
    else:
        after.extend(each for each in before if each.same(manager))
    return with_managers(new, after)


def applied(
    schema: Schema, live: dict[str, Any] | None, config: Mapping[str, Any], manager: Manager
) -> tuple[dict[str, Any], tuple[Manager, ...]]:
    """What server-side apply makes of an object, before defaults; and who manages what then, unless defaults change it.

    Args:
        schema: Of the object.
        live: The object before; None: there was none.
        config: What is applied.
        manager: Who applies.
    """
    before = managers_of(live)
    others = [each for each in before if not each.same(manager)]
    last = next((each.fields for each in before if each.same(manager)), NO_FIELDS)
    mine = _managed(field_set(schema, config))
    new = merged(schema, _unmanaged_object(live), config) if live is not None else dict(config)
    owned = mine.union(*(each.fields for each in others))
    dropped = last - owned
    if dropped:
        new = without(schema, new, _removable(dropped, owned))
    return new, (*others, attrs.evolve(manager, fields=mine))


def _removable(dropped: FieldSet, owned: FieldSet) -> set[Path]:
    """What nobody manages any more; what holds something that somebody manages stays."""
    holders = {path[:length] for path in owned for length in range(1, len(path))}
    return {path for path in dropped if path not in holders}


def settled(
    schema: Schema, live: dict[str, Any] | None, new: dict[str, Any], managers: Sequence[Manager], manager: Manager, *, force: bool
) -> dict[str, Any]:
    """The applied object, with defaults, and its managers.

    Raises:
        ApiError: 409, it changes what others manage, and ``force`` is not said.
    """
    changes = _changes(schema, live, new)
    conflicts = [
        (each, path) for each in managers if not each.same(manager) for path in sorted(each.fields & changes.written, key=written_path)
    ]
    if conflicts and not force:
        raise conflict(conflicts)
    after: list[Manager] = []
    for each in managers:
        if each.same(manager):
            old = next((earlier for earlier in managers_of(live) if earlier.same(manager)), None)
            kept = (
                old is not None
                and old.fields == each.fields
                and old.api_version == each.api_version
                and not (changes.written or changes.removed)
            )
            after.append(old if kept and old is not None else each)
        else:
            after.append(attrs.evolve(each, fields=each.fields - changes.written - changes.removed))
    return with_managers(new, after)


def conflict(conflicts: Sequence[tuple[Manager, Path]]) -> ApiError:
    """The refusal of an apply that changes what others manage."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": written_path(path)}
        for manager, path in conflicts
    ]
    if len(conflicts) == 1:
        message = f"Apply failed with 1 conflict: conflict with {conflicts[0][0]}: {written_path(conflicts[0][1])}"
        return ApiError(409, "Conflict", message, causes=causes)
    lines: list[str] = []
    for told in sorted({str(manager) for manager, _ in conflicts}):
        lines.append(f"conflicts with {told}:")
        lines += [f"- {written_path(path)}" for manager, path in conflicts if str(manager) == told]
    text = "\n".join(lines)
    return ApiError(409, "Conflict", f"Apply failed with {len(conflicts)} conflicts: {text}", causes=causes)
