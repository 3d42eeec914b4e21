"""What the embedded cluster says of itself: versions, groups, kinds, and the parameters of its patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archkit.testing.cluster.resources import Resource

_AGGREGATED = ("g=apidiscovery.k8s.io", "as=APIGroupDiscoveryList")


def version(text: str) -> dict[str, Any]:
    """The answer of ``/version``."""
    major, minor = text.lstrip("v").split(".")[:2]
    built = {"gitCommit": "0" * 40, "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go", "compiler": "gc"}
    return {"major": major, "minor": minor, "gitVersion": text, **built, "platform": "linux/amd64"}


def document(path: str, accept: str, resources: Iterable[Resource]) -> dict[str, Any] | None:
    """The answer of a path of discovery; None: it is none.

    Args:
        path: Without slashes at its ends.
        accept: The ``Accept`` header.
        resources: The kinds that there are.
    """
    steps = path.split("/")
    listed = list(resources)
    if steps[0] == "openapi":
        return _openapi(steps[1:], listed)
    if path in {"api", "apis"}:
        kinds = [each for each in listed if bool(each.group) is (path == "apis")]
        if all(word in accept for word in _AGGREGATED):
            return _aggregated(kinds)
        if path == "api":
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        groups = [_group(name, kinds) for name in dict.fromkeys(each.group for each in kinds)]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    if steps[0] == "apis" and len(steps) == 2:
        if not any(each.group == steps[1] for each in listed):
            return None
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(steps[1], listed)}
    found = [each for each in listed if each.root == f"/{path}"]
    if not found:
        return None
    entries = [entry for each in found for entry in each.discovery()]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": found[0].api_version, "resources": entries}


def _versions(group: str, kinds: Iterable[Resource]) -> list[dict[str, str]]:
    names = dict.fromkeys(each.version for each in kinds if each.group == group)
    return [{"groupVersion": f"{group}/{name}", "version": name} for name in sorted(names, reverse=True)]


def _group(name: str, kinds: Iterable[Resource]) -> dict[str, Any]:
    versions = _versions(name, kinds)
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _aggregated(kinds: list[Resource]) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for group in dict.fromkeys(each.group for each in kinds):
        names = sorted(dict.fromkeys(each.version for each in kinds if each.group == group), reverse=True)
        versions = [
            {
                "version": name,
                "freshness": "Current",
                "resources": [_aggregated_resource(each) for each in kinds if (each.group, each.version) == (group, name)],
            }
            for name in names
        ]
        items.append({"metadata": {"name": group} if group else {}, "versions": versions})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_resource(resource: Resource) -> dict[str, Any]:
    own, *parts = resource.discovery()
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": own["singularName"],
        "verbs": own["verbs"],
    }
    for name in ("shortNames", "categories"):
        if name in own:
            entry[name] = own[name]
    if parts:
        entry["subresources"] = [
            {
                "subresource": part["name"].partition("/")[2],
                "responseKind": {
                    "group": part.get("group", resource.group),
                    "version": part.get("version", resource.version),
                    "kind": part["kind"],
                },
                "verbs": part["verbs"],
            }
            for part in parts
        ]
    return entry


def content_type(body: Mapping[str, Any]) -> str:
    """What the answer is called."""
    if body.get("kind") == "APIGroupDiscoveryList":
        return "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    return "application/json"


def _openapi(steps: list[str], kinds: list[Resource]) -> dict[str, Any] | None:
    """The OpenAPI documents, as far as they say which parameters a patch takes: clients look that up before they use one."""
    if steps[:1] != ["v3"]:
        return None
    roots = {each.root.strip("/"): each for each in kinds}
    if len(steps) == 1:
        return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots}}
    root = "/".join(steps[1:])
    if root not in roots:
        return None
    paths: dict[str, Any] = {}
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string"}} for name in ("dryRun", "fieldManager", "fieldValidation", "force")
    ]
    for each in kinds:
        if each.root.strip("/") == root:
            middle = "/namespaces/{namespace}" if each.namespaced else ""
            kind = {"group": each.group, "version": each.version, "kind": each.kind}
            patch = {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind, "parameters": parameters}
            paths[f"/{root}{middle}/{each.plural}/{{name}}"] = {"patch": {**patch, "responses": {"200": {"description": "OK"}}}}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "unversioned"}, "paths": paths}
