"""The Kubernetes API, from request to response; no sockets."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from archkit.testing.cluster import discovery
from archkit.testing.cluster.asked import Asked, asked
from archkit.testing.cluster.lists import asked_watch, events, page
from archkit.testing.cluster.objects import WriteOptions
from archkit.testing.cluster.patches import json_patched, merge_patched, strategic_patched
from archkit.testing.cluster.reading import Body
from archkit.testing.cluster.statuses import ApiError, bad_request, invalid_object, no_such_path, required
from archkit.testing.cluster.tables import metadata_only, table, wanted_form
from archkit.testing.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from archkit.testing.cluster.access import Access
    from archkit.testing.cluster.objects import Objects
    from archkit.testing.cluster.resources import Resource, Resources
    from archkit.testing.cluster.store import Object
    from archkit.testing.messages import Request

_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_JSON_PATCH, _MERGE_PATCH, _STRATEGIC = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_COMPRESSED_FROM = 128 * 1024
"""API servers compress larger answers only."""
_HEALTH = frozenset({"healthz", "livez", "readyz"})
_STREAMS = frozenset({"log", "exec", "attach", "portforward", "proxy", "ephemeralcontainers", "resize"})
_GONE_AS_OBJECT = frozenset({"pods", "namespaces"})
"""Kinds whose deletion takes its time in a real cluster: the answer is the object."""


class KubernetesApi:
    """Answers the requests of one cluster.

    Args:
        objects: What it holds.
        resources: Its kinds.
        access: Who may do what.
        version: What it says of itself, such as ``v1.36.3``.
    """

    def __init__(self, objects: Objects, resources: Resources, access: Access, version: str) -> None:
        self._objects = objects
        self._resources = resources
        self._access = access
        self._version = version

    def handle(self, request: Request) -> Response:
        """The answer to a request."""
        warnings: list[str] = []
        try:
            response = self._answer(request, warnings.append)
        except ApiError as error:
            headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
            return _json(request, error.body(), error.status, headers)
        if warnings:
            told = ", ".join(f'299 - "{each}"' for each in (text.replace("\\", "\\\\").replace('"', '\\"') for text in warnings))
            return Response(response.status, {**response.headers, "Warning": told}, response.body)
        return response

    def _answer(self, request: Request, warn: Callable[[str], None]) -> Response:
        path = request.path.strip("/")
        if path.partition("/")[0] in _HEALTH:
            return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, b"ok")
        self._access.check(request)
        if path == "version":
            return _json(request, discovery.version(self._version))
        found = discovery.document(path, request.headers.get("accept", ""), self._resources.all()) if request.method == "GET" else None
        if found is not None:
            return _json(request, found, content_type=discovery.content_type(found))
        wanted = asked(request)
        if wanted.group == "authorization.k8s.io" and wanted.verb == "create":
            return _json(request, self._review(wanted, Body(request.body).mapping()), 201)
        resource = self._resources.find(wanted.group, wanted.version, wanted.plural)
        if resource is None or (wanted.namespace and not resource.namespaced and wanted.plural != "namespaces"):
            if any((each.group, each.version) == (wanted.group, wanted.version) for each in self._resources.all()):
                raise no_such_path()
            return Response(404, {"Content-Type": "text/plain; charset=utf-8"}, b"404 page not found\n")
        if not self._access.allows(wanted):
            raise self._access.refusal(wanted)
        if wanted.part and wanted.part not in resource.parts:
            if wanted.part.partition("/")[0] in _STREAMS:
                raise ApiError(501, "NotImplemented", f"the embedded cluster does not model {wanted.resource_text}")
            raise no_such_path()
        return self._about(resource, wanted, request, warn)

    def _about(self, resource: Resource, wanted: Asked, request: Request, warn: Callable[[str], None]) -> Response:
        namespace = wanted.namespace if resource.namespaced else ""
        query, name = request.query, wanted.name
        if wanted.part in {"scale", "binding", "eviction"}:
            from archkit.testing.cluster.part_requests import part_answer

            return _json(request, *part_answer(self._objects, resource, namespace, wanted, request, options=_options(request, "", warn)))
        match wanted.verb:
            case "get":
                return self._formed(resource, request, self._objects.get(resource, namespace, name))
            case "list":
                return self._list(resource, namespace, request)
            case "watch":
                return self._watch(resource, namespace, name, request)
            case "create" if not name:
                self._needs_namespace(resource, namespace)
                made = self._objects.create(resource, namespace, _body(request), _options(request, "", warn))
                return self._formed(resource, request, made, 201)
            case "update" if name:
                made = self._objects.replace(resource, namespace, name, _body(request), _options(request, wanted.part, warn))
                return self._formed(resource, request, made)
            case "patch" if name:
                return self._patch(resource, namespace, wanted, request, _options(request, wanted.part, warn))
            case "delete":
                gone = self._objects.delete(resource, namespace, name, _delete_options(request), dry_run=_dry_run(request))
                if resource.key in _GONE_AS_OBJECT or "deletionTimestamp" in gone["metadata"]:
                    return self._formed(resource, request, gone)
                details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": gone["metadata"].get("uid", "")}
                told = {key: value for key, value in details.items() if value}
                return _json(request, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": told})
            case "deletecollection":
                found = page(self._objects.store, resource, namespace, query)
                for each in found.items:
                    place = each["metadata"].get("namespace", "")
                    self._objects.delete(resource, place, each["metadata"]["name"], _delete_options(request), dry_run=_dry_run(request))
                return _json(request, _list_object(resource, found.items, found.metadata))
            case _:
                raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def _needs_namespace(self, resource: Resource, namespace: str) -> None:
        if resource.namespaced and not namespace:
            raise no_such_path()

    # ---- reading ------------------------------------------------------------------------------------------------

    def _list(self, resource: Resource, namespace: str, request: Request) -> Response:
        found = page(self._objects.store, resource, namespace, request.query)
        form = wanted_form(request.headers.get("accept", ""))
        if form == "Table":
            return _json(request, table(resource.key, found.items, found.metadata, request.query.get("includeObject") or "Metadata"))
        if form == "PartialObjectMetadata":
            items = list(map(metadata_only, found.items))
            head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
            return _json(request, {**head, "metadata": found.metadata, "items": items})
        return _json(request, _list_object(resource, found.items, found.metadata))

    def _formed(self, resource: Resource, request: Request, obj: Object, status: int = 200) -> Response:
        form = wanted_form(request.headers.get("accept", ""))
        if form == "Table":
            return _json(request, table(resource.key, [obj], obj["metadata"], request.query.get("includeObject") or "Metadata"), status)
        return _json(request, metadata_only(obj) if form == "PartialObjectMetadata" else obj, status)

    def _watch(self, resource: Resource, namespace: str, name: str, request: Request) -> Response:
        watch = asked_watch(resource, namespace, name, request.query)
        form, include = wanted_form(request.headers.get("accept", "")), request.query.get("includeObject") or "Metadata"

        def lines(ended: Callable[[], bool]) -> Iterator[bytes]:
            for event in events(self._objects.store, watch, ended):
                obj = event["object"]
                if event["type"] not in {"ERROR", "BOOKMARK"} and form:
                    obj = table(resource.key, [obj], obj["metadata"], include) if form == "Table" else metadata_only(obj)
                yield json.dumps({"type": event["type"], "object": obj}, separators=(",", ":")).encode() + b"\n"

        return Response(200, {"Content-Type": _JSON}, stream=lines)

    def _review(self, wanted: Asked, body: Mapping[str, Any]) -> dict[str, Any]:
        """Whether something is allowed (``kubectl auth can-i``)."""
        if wanted.plural != "selfsubjectaccessreviews":
            raise no_such_path()
        about = (body.get("spec") or {}).get("resourceAttributes") or {}
        question = Asked(
            about.get("verb", ""),
            about.get("group", ""),
            about.get("version", ""),
            about.get("resource", ""),
            about.get("namespace", ""),
            about.get("name", ""),
            about.get("subresource", ""),
        )
        return {**body, "status": {"allowed": self._access.allows(question)}}

    # ---- patches ------------------------------------------------------------------------------------------------

    def _patch(self, resource: Resource, namespace: str, wanted: Asked, request: Request, options: WriteOptions) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        body = Body(request.body, yaml=kind == _APPLY)
        if kind == _APPLY:
            if not request.query.get("fieldManager"):
                raise invalid_object("PatchOptions", "meta.k8s.io", "", [required("fieldManager", "is required for apply patch")])
            self._needs_namespace(resource, namespace)
            obj, new = self._objects.apply(resource, namespace, wanted.name, body, options)
            return self._formed(resource, request, obj, 201 if new else 200)
        changes: Mapping[str, Callable[[Object], Any]] = {
            _JSON_PATCH: lambda old: json_patched(old, body.value),
            _MERGE_PATCH: lambda old: merge_patched(old, body.value),
            _STRATEGIC: lambda old: strategic_patched(resource.schema, old, body.value),
        }
        if kind not in changes or (kind == _STRATEGIC and resource.custom is not None):
            known = ", ".join([_JSON_PATCH, _MERGE_PATCH, *([] if resource.custom is not None else [_STRATEGIC]), _APPLY])
            message = f"the body of the request was in an unknown format - accepted media types include: {known}"
            raise ApiError(415, "UnsupportedMediaType", message)
        return self._formed(resource, request, self._objects.patch(resource, namespace, wanted.name, changes[kind], options))


def _list_object(resource: Resource, items: list[Object], metadata: Mapping[str, Any]) -> dict[str, Any]:
    if resource.custom is None:  # items of Kubernetes' own kinds do not say what they are
        items = [{name: value for name, value in item.items() if name not in {"apiVersion", "kind"}} for item in items]
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": items}


def _body(request: Request) -> Body:
    kind = request.headers.get("content-type", _JSON).partition(";")[0].strip()
    if kind not in {_JSON, "application/yaml", ""}:
        raise ApiError(
            415, "UnsupportedMediaType", f"the embedded cluster reads {_JSON} and application/yaml, not {kind} (use `kubectl create -f`)"
        )
    return Body(request.body, yaml=kind == "application/yaml")


def _dry_run(request: Request) -> bool:
    said = request.query.get("dryRun", "")
    if said not in {"", "All"}:
        raise bad_request(f'invalid dryRun value "{said}", supported values: "All"')
    return said == "All"


def _options(request: Request, part: str, warn: Callable[[str], None]) -> WriteOptions:
    query = request.query
    validation = query.get("fieldValidation") or "Warn"
    if validation not in {"Strict", "Warn", "Ignore"}:
        raise bad_request(f'invalid fieldValidation value "{validation}"')
    manager = query.get("fieldManager") or request.headers.get("user-agent", "unknown").partition("/")[0][:128] or "unknown"
    return WriteOptions(_dry_run(request), manager, query.get("force", "").lower() == "true", validation, part, warn)


def _delete_options(request: Request) -> Mapping[str, Any]:
    said: dict[str, Any] = Body(request.body).mapping() if request.body else {}
    if request.query.get("propagationPolicy"):
        said = {**said, "propagationPolicy": request.query["propagationPolicy"]}
    return said


def _json(
    request: Request, body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None, *, content_type: str = _JSON
) -> Response:
    content = json.dumps(body, separators=(",", ":")).encode()
    fields = {"Content-Type": content_type, **(headers or {})}
    if len(content) > _COMPRESSED_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(status, {**fields, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}, gzip.compress(content, 1))
    return Response(status, fields, content)
