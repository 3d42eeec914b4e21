"""What an API server adds to an object that is written, and what it keeps of the one before."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from archkit.testing.cluster.data import at
from archkit.testing.cluster.defaults import defaulted

if TYPE_CHECKING:
    from archkit.testing.cluster.resources import Resource
    from archkit.testing.cluster.store import Object, Store

_NO_GENERATION = frozenset(
    {"configmaps", "secrets", "serviceaccounts", "services", "namespaces", "nodes", "endpoints", "events", "leases.coordination.k8s.io"}
)
_KEPT_METADATA = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


class Completion:
    """Completes the objects of one cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def complete(self, resource: Resource, obj: Object, old: Object | None, *, part: str, now: str) -> Object:
        """With defaults, and with what its writer cannot change.

        Args:
            resource: Of what kind it is.
            obj: As it was written.
            old: As it is; None: it is new.
            part: ``status`` where only that is written.
            now: The time.
        """
        metadata = dict(obj["metadata"])
        with_status = "status" in resource.parts
        if old is None:
            metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now}
            if resource.key not in _NO_GENERATION:
                metadata["generation"] = 1
            made = {**obj, "metadata": metadata}
            if with_status and resource.key != "nodes":
                made.pop("status", None)
            if resource.key == "pods":
                made["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        else:
            before = old["metadata"]
            for name in _KEPT_METADATA:
                metadata.pop(name, None)
                if name in before:
                    metadata[name] = before[name]
            metadata["resourceVersion"] = before["resourceVersion"]
            made = {**obj, "metadata": metadata}
            if part:
                made = {**old, "metadata": {**before, "managedFields": metadata.get("managedFields", before.get("managedFields"))}}
                made["metadata"] = {name: value for name, value in made["metadata"].items() if value is not None}
                made |= {"status": obj["status"]} if "status" in obj else {}
            elif with_status:
                made.pop("status", None)
                made |= {"status": old["status"]} if "status" in old else {}
        made = self._defaulted(resource, made, old)
        if old is not None and resource.key not in _NO_GENERATION and _spec_of(made) != _spec_of(old):
            made["metadata"]["generation"] = int(old["metadata"].get("generation", 1)) + 1
        return made

    def _defaulted(self, resource: Resource, obj: Object, old: Object | None) -> Object:
        if resource.custom is not None:
            from archkit.testing.cluster.custom_rules import custom_defaults

            described = (resource.custom.get("schema") or {}).get("openAPIV3Schema") or {}
            return dict(custom_defaults(described, obj))
        made = defaulted(resource, obj)
        spec = made.get("spec")
        if resource.key == "services" and isinstance(spec, dict) and spec.get("type") != "ExternalName":
            address = at(old, ("spec", "clusterIP")) or self._address()
            spec.setdefault("clusterIP", address)
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
        return made

    def _address(self) -> str:
        number = len(self._store.objects("services")) + 10
        return f"10.96.{number // 250}.{number % 250 + 1}"


def _spec_of(obj: Object) -> dict[str, Any]:
    return {name: value for name, value in obj.items() if name not in {"metadata", "status", "apiVersion"}}
