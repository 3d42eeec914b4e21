"""Makes `archkit/testing/cluster/schemas.json` from the API description in Kubernetes' own Go module.

    python3 tests/helpers/kubernetes_schemas.py [FOLDER OF THE MODULE k8s.io/kubernetes]

What is kept are facts: names of fields, their types, and how lists and maps merge. `archkit/testing/cluster/schemas.py`
says how a type is written. Kinds of alpha and beta versions are left out.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[2] / "archkit" / "testing" / "cluster" / "schemas.json"
SCALARS = {"string": "s", "integer": "i", "number": "n", "boolean": "b"}
ANY = {
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceValidation",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
}
NUMBER_OR_TEXT = {"io.k8s.apimachinery.pkg.util.intstr.IntOrString", "io.k8s.apimachinery.pkg.api.resource.Quantity"}
SHORT = {
    "configmaps": "cm",
    "cronjobs": "cj",
    "customresourcedefinitions": "crd crds",
    "daemonsets": "ds",
    "deployments": "deploy",
    "endpoints": "ep",
    "events": "ev",
    "horizontalpodautoscalers": "hpa",
    "ingresses": "ing",
    "limitranges": "limits",
    "namespaces": "ns",
    "networkpolicies": "netpol",
    "nodes": "no",
    "persistentvolumeclaims": "pvc",
    "persistentvolumes": "pv",
    "poddisruptionbudgets": "pdb",
    "pods": "po",
    "priorityclasses": "pc",
    "replicasets": "rs",
    "replicationcontrollers": "rc",
    "resourcequotas": "quota",
    "serviceaccounts": "sa",
    "services": "svc",
    "statefulsets": "sts",
    "storageclasses": "sc",
}
IN_ALL = frozenset(
    "cronjobs daemonsets deployments horizontalpodautoscalers jobs pods replicasets replicationcontrollers services statefulsets".split()  # noqa: SIM905
)
UNSTORED = {"bindings", "componentstatuses", "selfsubjectreviews", "tokenreviews"}
"""What is no object that is kept."""
OTHER_VERSIONS = {("autoscaling", "v1", "horizontalpodautoscalers"), ("events.k8s.io", "v1", "events")}
"""Second versions of kinds whose fields differ: nothing is converted."""


def short_name(full: str) -> str:
    """``io.k8s.api.core.v1.PodSpec`` -> ``core.v1.PodSpec``."""
    return re.sub(r"^io\.k8s\.(?:api\.|apimachinery\.pkg\.apis\.|[a-z-]+\.pkg\.apis\.)", "", full)


class Table:
    """The types that some kinds need."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self.definitions = definitions
        self.types: dict[str, dict[str, str]] = {}
        self.atomic: set[str] = set()

    def reference(self, full: str) -> str:
        if full in ANY:
            return "x"
        if full in NUMBER_OR_TEXT:
            return "?"
        schema = self.definitions[full]
        if "properties" not in schema:
            return SCALARS.get(schema.get("type", ""), "x")
        name = short_name(full)
        if name not in self.types:
            self.types[name] = fields = {}
            if schema.get("x-kubernetes-map-type") == "atomic":
                self.atomic.add(name)
            for key, value in sorted(schema["properties"].items()):
                fields[key] = self.code(value)
        return name

    def code(self, schema: dict[str, Any]) -> str:
        if "$ref" in schema:
            return self.reference(schema["$ref"].rpartition("/")[2])
        if schema.get("type") == "array":
            item = self.code(schema["items"])
            how = schema.get("x-kubernetes-list-type", "atomic")
            inside = {"map": ",".join(schema.get("x-kubernetes-list-map-keys", ())), "set": "="}.get(how, "")
            return f"[{inside}]{item}"
        if "additionalProperties" in schema:
            return ("{!}" if schema.get("x-kubernetes-map-type") == "atomic" else "{}") + self.code(schema["additionalProperties"])
        return SCALARS.get(schema.get("type", ""), "x")


def table(swagger: dict[str, Any]) -> dict[str, Any]:
    """Everything that the embedded cluster knows of Kubernetes' own kinds."""
    made = Table(swagger["definitions"])
    kinds: dict[tuple[str, str, str], dict[str, Any]] = {}
    parts: dict[tuple[str, str, str], set[str]] = {}
    for path, methods in swagger["paths"].items():
        found = re.fullmatch(r"/apis?(?:/([a-z0-9.-]+))?/(v\d+)/(?:namespaces/\{namespace\}/)?([a-z]+)(?:/\{name\}(?:/([a-z]+))?)?", path)
        if not found:
            continue
        group, version, plural, part = found.groups(default="")
        named = methods.get("get") or methods.get("post") or {}
        kind = named.get("x-kubernetes-group-version-kind", {}).get("kind", "")
        key = (group, version, plural)
        if part:
            parts.setdefault(key, set()).add(part)
        elif "{name}" in path and "post" not in methods and kind and plural not in UNSTORED and key not in OTHER_VERSIONS:
            full = methods["get"]["responses"]["200"]["schema"]["$ref"].rpartition("/")[2]
            kinds[key] = {"kind": kind, "namespaced": "{namespace}" in path, "type": made.reference(full)}
    rows = [
        {
            "group": group,
            "version": version,
            "plural": plural,
            **entry,
            "parts": sorted(parts.get((group, version, plural), set()) & {"status", "scale", "binding", "eviction", "finalize"}),
            "short": SHORT.get(plural, "").split(),
            "all": plural in IN_ALL,
        }
        for (group, version, plural), entry in sorted(kinds.items())
    ]
    return {"version": swagger["info"]["version"], "kinds": rows, "types": made.types, "atomic": sorted(made.atomic)}


def text(module: Path) -> str:
    """The content of the table's file."""
    swagger = json.loads((module / "api" / "openapi-spec" / "swagger.json").read_text(encoding="utf-8"))
    made = table(swagger)
    lines = ['{"version": ' + json.dumps(made["version"]) + ",", '"atomic": ' + json.dumps(made["atomic"]) + ",", '"kinds": [']
    lines.append(",\n".join(json.dumps(row) for row in made["kinds"]))
    lines += ["],", '"types": {']
    lines.append(",\n".join(f"{json.dumps(name)}: {json.dumps(fields)}" for name, fields in sorted(made["types"].items())))
    return "\n".join([*lines, "}}", ""])


if __name__ == "__main__":
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(text(Path(sys.argv[1])), encoding="utf-8")
