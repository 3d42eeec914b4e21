"""The parts of objects that are no objects themselves: ``scale``, ``binding`` and ``eviction``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archkit.testing.cluster.data import at
from archkit.testing.cluster.patches import json_patched, merge_patched
from archkit.testing.cluster.reading import Body
from archkit.testing.cluster.statuses import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archkit.testing.cluster.asked import Asked
    from archkit.testing.cluster.objects import Objects, WriteOptions
    from archkit.testing.cluster.resources import Resource
    from archkit.testing.cluster.store import Object
    from archkit.testing.messages import Request


def part_answer(
    objects: Objects, resource: Resource, namespace: str, wanted: Asked, request: Request, *, options: WriteOptions
) -> tuple[Mapping[str, Any], int]:
    """The answer about a part of an object, and its status.

    Raises:
        ApiError: It is refused.
    """
    obj = objects.get(resource, namespace, wanted.name)
    if wanted.part == "scale":
        return _scaled(objects, resource, obj, wanted, request, options=options), 200
    if wanted.verb != "create":
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    if wanted.part == "eviction":
        objects.delete(resource, namespace, wanted.name, {}, dry_run=options.dry_run)
    else:
        _bind(objects, resource, obj, Body(request.body).mapping(), options)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201


def _scale(obj: Object) -> dict[str, Any]:
    selector = at(obj, ("spec", "selector", "matchLabels")) or {}
    metadata = {
        name: value
        for name, value in obj["metadata"].items()
        if name in {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}
    }
    labels = ",".join(f"{key}={value}" for key, value in selector.items()) if isinstance(selector, dict) else ""
    replicas = at(obj, ("spec", "replicas"))
    status = {"replicas": at(obj, ("status", "replicas")) or 0, "selector": labels}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _scaled(objects: Objects, resource: Resource, obj: Object, wanted: Asked, request: Request, *, options: WriteOptions) -> dict[str, Any]:
    old = _scale(obj)
    if wanted.verb == "get":
        return old
    body = Body(request.body).value
    change_old = json_patched if isinstance(body, list) else merge_patched
    new = body if wanted.verb == "update" else change_old(old, body)
    replicas = at(new, ("spec", "replicas")) or 0
    if not isinstance(replicas, int):
        raise bad_request("spec.replicas of a Scale is a number")
    version = at(new, ("metadata", "resourceVersion"))

    def change(each: Object) -> Object:
        metadata = {**each["metadata"], "resourceVersion": version} if wanted.verb == "update" and version else each["metadata"]
        return {**each, "metadata": metadata, "spec": {**each["spec"], "replicas": replicas}}

    return _scale(objects.patch(resource, obj["metadata"].get("namespace", ""), wanted.name, change, options))


def _bind(objects: Objects, resource: Resource, pod: Object, binding: Mapping[str, Any], options: WriteOptions) -> None:
    name = at(binding, ("target", "name"))
    if pod["spec"].get("nodeName"):
        message = f'Operation cannot be fulfilled on pods/binding "{pod["metadata"]["name"]}": pod is already assigned to node'
        raise ApiError(409, "Conflict", f'{message} "{pod["spec"]["nodeName"]}"')
    if not name:
        raise bad_request("a binding names its target")
    if not options.dry_run:
        objects.bind(resource, pod, str(name))
