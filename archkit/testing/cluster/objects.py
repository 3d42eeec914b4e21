"""Writes of objects, as an API server carries them out: checks, managers, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from archkit.testing.cluster.completing import Completion
from archkit.testing.cluster.data import at
from archkit.testing.cluster.managers import APPLY, UPDATE, Manager, applied, managers_of, settled, updated
from archkit.testing.cluster.reading import known_only, type_errors, unknown_fields, without_nulls
from archkit.testing.cluster.statuses import (
    ApiError,
    already_exists,
    bad_request,
    changed_meanwhile,
    invalid,
    invalid_object,
    not_found,
)
from archkit.testing.cluster.validation import errors_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archkit.testing.cluster.control import ControlPlane
    from archkit.testing.cluster.reading import Body
    from archkit.testing.cluster.resources import Resource, Resources
    from archkit.testing.cluster.store import Object, Store

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


@attrs.frozen
class WriteOptions:
    """The parameters of a write."""

    dry_run: bool = False
    manager: str = "unknown"
    force: bool = False
    validation: str = "Warn"
    """``Strict``, ``Warn`` or ``Ignore``: what becomes of fields that are unknown or twice there."""
    part: str = ""
    """``status`` where only that is written."""
    warn: Callable[[str], None] = attrs.field(default=lambda _: None, eq=False)


class Objects:
    """The objects of one cluster, for whoever writes them by way of its API."""

    def __init__(self, store: Store, resources: Resources, control: ControlPlane) -> None:
        self.store = store
        self._resources = resources
        self._control = control
        self._completion = Completion(store)

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """An object, in the version that was asked for.

        Raises:
            ApiError: 404.
        """
        found = self.store.get(resource.key, namespace, name)
        if found is None:
            raise not_found(resource.plural, resource.group, name)
        return in_version(resource, found)

    # ---- create, update, patch ----------------------------------------------------------------------------------

    def create(self, resource: Resource, namespace: str, body: Body, options: WriteOptions) -> Object:
        """A new object.

        Raises:
            ApiError: It is refused.
        """
        obj = self._read(resource, body, options)
        metadata = self._addressed(resource, obj, namespace, "")
        if metadata.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + self._control.suffix()
        with self.store.lock:
            name = metadata.get("name", "")
            if self.store.get(resource.key, namespace, name) is not None:
                raise already_exists(resource.plural, resource.group, name)
            self._namespace_there(resource, namespace)
            made = self._completion.complete(resource, {**obj, "metadata": metadata}, None, part=options.part, now=self._control.now())
            made = updated(resource.schema, None, made, self._manager(resource, options))
            return self._keep(resource, made, None, options)

    def replace(self, resource: Resource, namespace: str, name: str, body: Body, options: WriteOptions) -> Object:
        """An object instead of the one that is there.

        Raises:
            ApiError: It is refused.
        """
        obj = self._read(resource, body, options)
        obj["metadata"] = self._addressed(resource, obj, namespace, name)
        with self.store.lock:
            old = self.get(resource, namespace, name)
            version = obj["metadata"].get("resourceVersion")
            if resource.custom is not None and not version:
                raise invalid_object(
                    resource.kind, resource.group, name, [invalid("metadata.resourceVersion", 0, "must be specified for an update")]
                )
            return self._write(resource, obj, old, options)

    def patch(self, resource: Resource, namespace: str, name: str, change: Callable[[Object], Any], options: WriteOptions) -> Object:
        """What a patch makes of an object.

        Raises:
            ApiError: It is refused.
        """
        with self.store.lock:
            old = self.get(resource, namespace, name)
            new = change(old)
            if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
                raise bad_request("the patch leaves no object")
            new = self._checked(resource, new, [], options)
            new["metadata"] = self._addressed(resource, new, namespace, name)
            return self._write(resource, new, old, options)

    def apply(self, resource: Resource, namespace: str, name: str, body: Body, options: WriteOptions) -> tuple[Object, bool]:
        """What server-side apply makes of an object; whether it is new.

        Raises:
            ApiError: It is refused.
        """
        config = body.mapping()
        written = at(config, ("metadata", "namespace")) or ""
        told = f"{written}/{name}; {resource.api_version}, Kind={resource.kind}"
        if config.get("apiVersion") != resource.api_version:
            message = f"Incorrect version specified in apply patch. Specified patch version: {config.get('apiVersion')}, expected: {resource.api_version}"
            raise bad_request(message)
        if config.get("kind") != resource.kind:
            raise bad_request(f"invalid object type: {config.get('apiVersion')}, Kind={config.get('kind')}")
        if at(config, ("metadata", "managedFields")) is not None:
            raise bad_request("metadata.managedFields must be nil")
        wrong = [f".{path}: field not declared in schema" for path in unknown_fields(resource.schema, config)]
        wrong += type_errors(resource.schema, config)
        if wrong:
            text = wrong[0] if len(wrong) == 1 else "errors:\n" + "\n".join(f"  {each}" for each in wrong)
            raise ApiError(500, "", f"failed to create typed patch object ({told}): {text}")
        if body.repeated and options.validation == "Strict":
            listed = "\n".join(f'  key "{key}" already set in map' for key in body.repeated)
            raise bad_request(f"error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n{listed}")
        for key in body.repeated if options.validation == "Warn" else ():
            options.warn(f'key "{key}" already set in map')
        config = {**config, "metadata": self._addressed(resource, config, namespace, name)}
        manager = self._manager(resource, options, APPLY)
        with self.store.lock:
            old = self.store.get(resource.key, namespace, name)
            if old is None:
                if options.part:
                    raise not_found(resource.plural, resource.group, name)
                self._namespace_there(resource, namespace)
            live = None if old is None else in_version(resource, old)
            self._fits(resource, config["metadata"], live)
            try:
                new, managers = applied(resource.schema, live, _only_part(config, options.part), manager)
            except ValueError as error:
                raise ApiError(500, "", f"failed to create typed patch object ({told}): {error}") from error
            new["metadata"] = {**new["metadata"], "name": name, **({"namespace": namespace} if resource.namespaced else {})}
            new = self._completion.complete(resource, without_nulls(new), live, part=options.part, now=self._control.now())
            new = settled(resource.schema, live, new, managers, manager, force=options.force)
            return self._keep(resource, new, live, options), old is None

    def bind(self, resource: Resource, pod: Object, node: str) -> None:
        """Give a pod its node, as a scheduler does."""
        with self.store.lock:
            self.store.put(resource.key, {**pod, "spec": {**pod["spec"], "nodeName": node}})
            self._control.settle()

    # ---- delete -------------------------------------------------------------------------------------------------

    def delete(self, resource: Resource, namespace: str, name: str, options: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Remove an object; as it was.

        Raises:
            ApiError: 404, or a precondition does not hold.
        """
        with self.store.lock:
            old = self.get(resource, namespace, name)
            for field, wanted in (options.get("preconditions") or {}).items():
                if old["metadata"].get(field) != wanted:
                    raise changed_meanwhile(resource.plural, resource.group, name)
            if dry_run:
                return old
            policy = options.get("propagationPolicy") or ("Orphan" if options.get("orphanDependents") else "Background")
            if policy == "Orphan":
                self._orphan(old)
            if old["metadata"].get("finalizers") or resource.key == "namespaces":
                metadata = {**old["metadata"], "deletionTimestamp": self._control.now(), "deletionGracePeriodSeconds": 0}
                gone = {**old, "metadata": metadata}
                if resource.key == "namespaces":
                    gone["status"] = {"phase": "Terminating"}
                old = self.store.put(resource.key, gone)
            else:
                self._drop(resource, old)
            self._control.settle()
            return old

    def _drop(self, resource: Resource, old: Object) -> None:
        self.store.drop(resource.key, old["metadata"].get("namespace", ""), old["metadata"]["name"])
        if resource.key == DEFINITIONS:
            for each in self._resources.forget(old["metadata"]["name"]):
                for obj in self.store.objects(each.key):
                    self.store.drop(each.key, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def _orphan(self, owner: Object) -> None:
        uid = owner["metadata"].get("uid")
        for kind, obj in self.store.everything():
            owners = obj["metadata"].get("ownerReferences") or []
            left = [each for each in owners if each.get("uid") != uid]
            if len(left) != len(owners):
                metadata = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
                self.store.put(kind, {**obj, "metadata": {**metadata, "ownerReferences": left} if left else metadata})

    # ---- steps of a write ---------------------------------------------------------------------------------------

    def _read(self, resource: Resource, body: Body, options: WriteOptions) -> Object:
        obj = dict(body.mapping())
        if not obj.get("kind") or not obj.get("apiVersion"):
            raise bad_request(f"Object 'Kind' or 'apiVersion' is missing in '{json.dumps(obj)[:200]}'")
        if obj["apiVersion"] != resource.api_version:
            message = f"the API version in the data ({obj['apiVersion']}) does not match the expected API version ({resource.api_version})"
            raise bad_request(message)
        if obj["kind"] != resource.kind:
            raise bad_request(f"the kind in the data ({obj['kind']}) does not match the expected kind ({resource.kind})")
        return self._checked(resource, obj, body.repeated, options)

    def _checked(self, resource: Resource, obj: Object, repeated: list[str], options: WriteOptions) -> Object:
        """The object without what is unknown."""
        start = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
        wrong = type_errors(resource.schema, obj)
        if wrong and resource.custom is not None:
            errors = [invalid(each.partition(": ")[0].lstrip("."), None, each.partition(": ")[2]) for each in wrong]
            raise invalid_object(resource.kind, resource.group, str(at(obj, ("metadata", "name")) or ""), errors)
        if wrong:
            raise bad_request(start + "; ".join(wrong))
        told = [f'unknown field "{path}"' for path in unknown_fields(resource.schema, obj)] + [
            f'duplicate field "{key}"' for key in repeated
        ]
        if told and options.validation == "Strict":
            raise bad_request(f"{start}strict decoding error: {', '.join(told)}")
        if options.validation == "Warn":
            for each in told:
                options.warn(each)
        known = known_only(resource.schema, obj)
        return dict(known if resource.custom is not None else without_nulls(known))

    def _addressed(self, resource: Resource, obj: Mapping[str, Any], namespace: str, name: str) -> dict[str, Any]:
        """The object's metadata, with the names of the path."""
        metadata = dict(obj.get("metadata") or {})
        if resource.namespaced:
            if metadata.get("namespace", namespace) != namespace:
                raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
            metadata["namespace"] = namespace
        else:
            metadata.pop("namespace", None)
        if name and metadata.get("name", name) != name:
            raise bad_request(f"the name of the object ({metadata.get('name')}) does not match the name on the URL ({name})")
        return {**metadata, "name": name} if name else metadata

    def _namespace_there(self, resource: Resource, namespace: str) -> None:
        if resource.namespaced and self.store.get("namespaces", "", namespace) is None:
            raise not_found("namespaces", "", namespace)

    def _fits(self, resource: Resource, metadata: Mapping[str, Any], old: Object | None) -> None:
        """Whether the write is about the object that is there."""
        version, uid = metadata.get("resourceVersion"), metadata.get("uid")
        if version and (old is None or version != old["metadata"]["resourceVersion"]):
            raise changed_meanwhile(resource.plural, resource.group, metadata["name"])
        if old is not None and uid and uid != old["metadata"]["uid"]:
            raise changed_meanwhile(resource.plural, resource.group, metadata["name"])

    def _write(self, resource: Resource, obj: Object, old: Object, options: WriteOptions) -> Object:
        self._fits(resource, obj["metadata"], old)
        new = self._completion.complete(resource, obj, old, part=options.part, now=self._control.now())
        new = updated(resource.schema, old, new, self._manager(resource, options))
        return self._keep(resource, new, old, options)

    def _manager(self, resource: Resource, options: WriteOptions, operation: str = UPDATE) -> Manager:
        return Manager(options.manager, operation, resource.api_version, frozenset(), self._control.now(), options.part)

    def _keep(self, resource: Resource, obj: Object, old: Object | None, options: WriteOptions) -> Object:
        errors = errors_of(resource, obj, old)
        name = obj["metadata"].get("name", "")
        if errors:
            raise invalid_object(resource.kind, resource.group, name, errors)
        if old is not None and _same(obj, old):
            return old
        if options.dry_run:
            return obj
        if resource.key == DEFINITIONS:
            obj = _established(obj, self._control.now())
        kept = self.store.put(resource.key, obj)
        if resource.key == DEFINITIONS:
            self._resources.define(kept)
        if "deletionTimestamp" in obj["metadata"] and not obj["metadata"].get("finalizers") and resource.key != "namespaces":
            self._drop(resource, kept)
        self._control.settle()
        return kept


def in_version(resource: Resource, obj: Object) -> Object:
    """An object in another version of its kind; custom resources have no other conversion here."""
    return obj if obj.get("apiVersion") == resource.api_version else {**obj, "apiVersion": resource.api_version}


def _same(obj: Object, old: Object) -> bool:
    """Whether nothing changes but the times of managers."""

    def plain(each: Object) -> tuple[Any, Any, Any]:
        metadata = {name: value for name, value in each["metadata"].items() if name != "managedFields"}
        managers = [attrs.evolve(manager, time="") for manager in managers_of(each)]
        return {**each, "metadata": None}, metadata, managers

    return plain(obj) == plain(old)


def _only_part(config: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    """What counts of what is applied: the status where that is written, and everything else where it is not."""
    if part:
        return {name: value for name, value in config.items() if name in {"apiVersion", "kind", "metadata", part}}
    return config


def _established(definition: Object, now: str) -> Object:
    names = definition["spec"]["names"]
    told = [
        {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found", "lastTransitionTime": now},
        {
            "type": "Established",
            "status": "True",
            "reason": "InitialNamesAccepted",
            "message": "the initial names have been accepted",
            "lastTransitionTime": now,
        },
    ]
    storage = [version["name"] for version in definition["spec"]["versions"] if version.get("storage")]
    return {**definition, "status": {"conditions": told, "acceptedNames": names, "storedVersions": storage}}
